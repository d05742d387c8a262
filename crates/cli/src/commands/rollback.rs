//! `mana rollback`.

use mana_control::api::PutBack;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Who;
use crate::rolling;
use crate::running::Running;

const EXAMPLES: &str = "\
Examples:
  mana rollback chat-backend        the version before serves again

While the old version is warm this is one change of weights; afterwards it is started first. Data is never rolled back. It ends the \
rollout that is under way, wherever that is.";

/// Puts the version before back
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service
    service: String,

    /// Print each change as a line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: Who,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let put_back = PutBack { service: args.service.clone(), by: args.who.name()?, slot: None };
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let view = client.put_back(&put_back).await.map_err(|error| context.failure(error))?;
        // What was asked for is that it goes back.
        let (exit, view) = rolling::follow_to(&client, view, true, args.json, context).await?;
        Ok(match view.stage.as_str() {
            "rolled-back" | "aborted" | "superseded" => Exit::Ok,
            "done" => {
                return Err(Failure::Failed {
                    what: format!("the version before could not be started again; {} serves on", view.version),
                    help: format!("`{}` says why", context.command(&format!("rollout show {}", view.number))),
                });
            }
            _ => exit,
        })
    })
}
