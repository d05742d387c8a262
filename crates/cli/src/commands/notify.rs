//! `mana notify`.

use mana_control::notifications;
use mana_control::secrets::Secrets;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana notify test                 through every channel of [notifications] in development
  mana -e production notify test ops

Ends with 1 where a channel did not take it. Needs no control plane; sends once, without trying again.";

/// Tests the channels through which people are told what happens
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Sends a test message and says how it went
    #[command(after_long_help = "Examples:\n  mana notify test\n  mana -e production notify test ops")]
    Test {
        /// Through which channel [default: all]
        name: Option<String>,
    },
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let Action::Test { name } = &args.action;
    let plan = context.plan()?;
    if let Some(name) = name {
        let known = plan.notifications.iter().map(|channel| channel.name.as_str());
        Failure::unless_known("channel", name, known)?;
    }
    let secrets = Secrets::load(&context.data()?)?;
    let mut output = context.output();
    let asked = plan.notifications.iter().filter(|channel| name.as_ref().is_none_or(|name| *name == channel.name));
    let mut exit = Exit::Ok;
    for channel in asked {
        let tested = block_on(async { Ok(notifications::test(channel, plan.environment.as_str(), &secrets).await) })?;
        match tested {
            Ok(()) => output.line(&format!("{}: sent", channel.name))?,
            Err(why) => {
                exit = Exit::Failed;
                output.line(&format!("{}: not sent: {why}", channel.name))?;
            }
        }
    }
    if plan.notifications.is_empty() {
        output.line("there is no channel; add [notifications.NAME] to the manifest")?;
    }
    Ok(exit)
}
