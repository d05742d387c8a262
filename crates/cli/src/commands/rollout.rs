//! `mana rollout`: one rollout, and the way all of them go.

use clap::Subcommand;
use mana_control::api::{RolloutCommand, RolloutDetail};
use mana_control::client::Client;
use mana_delivery::rollout::{Command, Digest, Stage, graph};

use crate::clock;
use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Who;
use crate::patience::{self, Patience};
use crate::rolling;
use crate::running::Running;
use crate::show::rollout;

const EXAMPLES: &str = "\
Examples:
  mana rollout watch 17                     follow it
  mana rollout show 17                      everything that happened to it, with the gate's figures
  mana rollout approve 17 --comment \"looked at the diff\"
  mana rollout abort 17                     end it; what moved goes back
  mana rollout graph --dot | dot -Tsvg > rollout.svg";

/// Shows or steers one rollout
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// Which rollout, and who asks.
#[derive(Debug, clap::Args)]
struct One {
    /// Its number
    number: u64,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Follows it until it is over, or waits for a person
    #[command(after_long_help = "Examples:\n  mana rollout watch 17 --json")]
    Watch {
        /// Its number
        number: u64,

        /// Print each change as a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows everything that happened to it
    #[command(after_long_help = "Examples:\n  mana rollout show 17 --json | jq .looks")]
    Show {
        /// Its number
        number: u64,

        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Lets it go to production
    #[command(after_long_help = "Examples:\n  mana rollout approve 17 --as bob --comment \"looked at the diff\"")]
    Approve {
        #[command(flatten)]
        one: One,

        /// For the record
        #[arg(long)]
        comment: Option<String>,
    },
    /// Does not let it go to production
    #[command(after_long_help = "Examples:\n  mana rollout reject 17 --comment \"not on a Friday\"")]
    Reject {
        #[command(flatten)]
        one: One,

        /// For the record
        #[arg(long)]
        comment: Option<String>,
    },
    /// Lets it go on from where it was held, or from where it asks
    #[command(after_long_help = "Examples:\n  mana rollout promote 17")]
    Promote {
        #[command(flatten)]
        one: One,
    },
    /// Ends it; what moved goes back
    #[command(after_long_help = "Examples:\n  mana rollout abort 17")]
    Abort {
        #[command(flatten)]
        one: One,
    },
    /// Tries what failed once more
    #[command(after_long_help = "Examples:\n  mana rollout retry 17")]
    Retry {
        #[command(flatten)]
        one: One,
    },
    /// Stops it before a stage, until somebody says `promote`
    #[command(after_long_help = "Examples:\n  mana rollout pause 17 --at canary")]
    Pause {
        #[command(flatten)]
        one: One,

        /// `canary`, `cutting-over`, …
        #[arg(long, value_name = "STAGE", default_value = "cutting-over")]
        at: String,
    },
    /// Draws the way that rollouts go
    #[command(after_long_help = "Examples:\n  mana rollout graph --dot | dot -Tsvg > rollout.svg")]
    Graph {
        /// For `dot`
        #[arg(long)]
        dot: bool,
    },
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    match &args.what {
        What::Watch { number, json } => block_on(async {
            let Running { client, .. } = context.running().await?;
            let view = client.rollout_view(*number).await.map_err(|error| context.failure(error))?;
            rolling::follow(&client, view, true, *json, context).await
        }),
        What::Show { number, json } => block_on(async {
            let Running { client, .. } = context.running().await?;
            let detail = client.rollout(*number).await.map_err(|error| context.failure(error))?;
            show(&detail, *json, context)
        }),
        What::Approve { one, comment } => block_on(async {
            let Running { client, .. } = context.running().await?;
            let view = client.rollout_view(one.number).await.map_err(|error| context.failure(error))?;
            let digest = Digest(view.new.digest.unwrap_or_default());
            command(one, Command::Approve { digest, comment: comment.clone() }, context).await
        }),
        What::Reject { one, comment } => steer(one, Command::Reject { comment: comment.clone() }, context),
        What::Promote { one } => steer(one, Command::Promote, context),
        What::Abort { one } => steer(one, Command::Abort, context),
        What::Retry { one } => steer(one, Command::Retry, context),
        What::Pause { one, at } => {
            let names = Stage::ALL.iter().filter(|stage| stage.can_pause()).map(|stage| stage.name());
            let stage = Stage::named(at).ok_or_else(|| Failure::unknown("stage", at, names))?;
            steer(one, Command::PauseAt { stage }, context)
        }
        What::Graph { dot } => {
            let graph = graph();
            context.output().text(&if *dot { graph.dot() } else { graph.text() })?;
            Ok(Exit::Ok)
        }
    }
}

fn steer(one: &One, what: Command, context: &Context) -> Result<Exit, Failure> {
    block_on(command(one, what, context))
}

async fn command(one: &One, command: Command, context: &Context) -> Result<Exit, Failure> {
    let Running { client, .. } = context.running().await?;
    let command = RolloutCommand { by: one.who.name()?, key: Some(clock::key()), command };
    let question = async |client: &Client| client.rollout_command(one.number, &command).await;
    let view = patience::told(&mut Patience::default(), &client, context, question).await?;
    rolling::show(&view, one.json, context)?;
    Ok(Exit::Ok)
}

fn show(detail: &RolloutDetail, json: bool, context: &Context) -> Result<Exit, Failure> {
    let mut output = context.output();
    if json {
        output.json(detail)?;
        return Ok(Exit::Ok);
    }
    let style = output.style();
    let view = &detail.view;
    output.line(&rollout::line(view, style))?;
    output.line(&format!("begun {} by {}; {}", view.begun_at, view.started_by, view.about))?;
    for look in &detail.looks {
        output.line("")?;
        output.line(&format!("{} of generation {}: {:?}", look.stage, look.generation, look.judgement.verdict))?;
        for finding in &look.judgement.findings {
            let met = if finding.met { "" } else { "   not met" };
            output.line(&format!(
                "  {:<32} {:>12.4}   limit {:>12.4}{met}",
                finding.figure, finding.value, finding.limit
            ))?;
        }
    }
    output.line("")?;
    for entry in &detail.journal {
        let event = serde_json::to_string(&entry.event).map_err(std::io::Error::other)?;
        output.line(&format!("{:>5}  {}  {event}", entry.number, entry.at))?;
        for effect in &entry.effects {
            let effect = serde_json::to_string(effect).map_err(std::io::Error::other)?;
            output.line(&format!("       → {effect}"))?;
        }
    }
    Ok(Exit::Ok)
}
