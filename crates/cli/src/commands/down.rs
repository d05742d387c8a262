//! `mana down`.

use mana_control::api::Status;
use mana_control::client::ClientError;
use mana_control::paths;
use serde::Serialize;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::{self, Outcome};
use crate::report;
use crate::running::{self, Running};
use crate::show::style::Tone;
use crate::show::units;
use crate::start;

const EXAMPLES: &str = "\
Examples:
  mana down                        stop everything that was started, then the control plane
  mana -e staging down             the same for staging
  mana down --json | jq .          every step as one line of JSON

Only what this ecosystem started is stopped. Requests in flight may finish first. Data, logs and secrets stay. \
When nothing runs it says so and ends with 0. When the control plane was killed, it is started once more so that it can \
find and stop what it had started.";

/// Stops everything that was started, and the control plane
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// As typed without flags.
    pub(super) fn in_words() -> Self {
        Self { json: false }
    }
}

/// What `--json` says when there was nothing to stop.
#[derive(Serialize)]
struct Nothing {
    event: &'static str,
    took_ms: u64,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let data = context.data()?;
    block_on(async {
        let (Running { client, status }, started) = match running::find(&data).await {
            // No memory, so nothing was ever started here.
            Err(ClientError::NotRunning { .. }) if !paths::database(&data).exists() => return nothing(args, context),
            _ => start::ensure(context, &data).await?,
        };
        let process = start::hold(status.control_pid);
        let events = client.down().await.map_err(|error| context.failure(error))?;
        if started && !anything_runs(&status) {
            progress::wait(events, context).await?;
            start::wait_for_end(process)?;
            return nothing(args, context);
        }
        let mut output = context.output();
        match progress::follow_until_interrupted(events, args.json, &mut output, context).await? {
            Outcome::Settled(took) => {
                start::wait_for_end(process)?;
                if !args.json {
                    let done = output.style().paint(Tone::Strong, "everything is stopped");
                    output.line(&format!("{done}, after {}", units::duration(took)))?;
                }
                Ok(Exit::Ok)
            }
            Outcome::Failed(reason) => Err(not_down(reason, context)),
            Outcome::Interrupted => {
                report::note("stopping goes on in the background");
                Ok(Exit::Interrupted)
            }
        }
    })
}

fn anything_runs(status: &Status) -> bool {
    status.services.iter().flat_map(|service| &service.instances).any(|instance| instance.pid.is_some())
}

fn not_down(what: String, context: &Context) -> Failure {
    let (down, logs) = (context.command("down"), context.command("logs control"));
    Failure::Failed { what, help: format!("ask again with `{down}`; `{logs}` shows why") }
}

fn nothing(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let mut output = context.output();
    if args.json {
        output.json_line(&Nothing { event: "settled", took_ms: 0 })?;
    } else {
        output.line("nothing is running")?;
    }
    Ok(Exit::Ok)
}
