//! `mana status`.

use std::time::Duration;

use mana_control::api::Status;
use serde::Serialize;

use crate::clock;
use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::last_known::{self, LastKnown};
use crate::running::Running;
use crate::show;
use crate::watch;

const EXAMPLES: &str = "\
Examples:
  mana status                      desired against actual, differences by name
  mana status --watch              the same, redrawn every second until Ctrl-C
  mana status --json | jq -r '.differences[]'
  until mana status >/dev/null; do sleep 1; done
                                   wait until everything is as desired

Ends with 0 only when everything is as desired, 3 when something is not, 4 when no control plane runs.";

/// How often `--watch` asks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Shows desired against actual, and what differs by name
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print everything as JSON
    #[arg(long, conflicts_with = "watch")]
    json: bool,

    /// Redraw until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

/// What `--json` says when no control plane runs.
#[derive(Serialize)]
struct NotRunning<'a> {
    control: &'static str,
    last_known: &'a Option<LastKnown>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, status } = match context.running().await {
            Err(failure @ Failure::NotRunning { .. }) => return not_running(args, context, failure).await,
            other => other?,
        };
        let mut output = context.output();
        if args.watch {
            return watch::until_interrupted(&mut output, WATCH_EVERY, async |output| {
                let status = client.status().await.map_err(|error| context.failure(error))?;
                let lines = show::status::lines(&status, clock::now(), output.style(), output.width());
                Ok((lines, exit(&status)))
            })
            .await;
        }
        if args.json {
            output.json(&status)?;
        } else {
            output.lines(&show::status::lines(&status, clock::now(), output.style(), output.width()))?;
        }
        Ok(exit(&status))
    })
}

fn exit(status: &Status) -> Exit {
    if status.differences.is_empty() { Exit::Ok } else { Exit::NotAsDesired }
}

/// Traffic does not need the control plane: what still answers is said before the complaint.
async fn not_running(args: &Args, context: &Context, failure: Failure) -> Result<Exit, Failure> {
    let last_known = last_known::of(&context.data()?).await;
    let mut output = context.output();
    if args.json {
        output.json(&NotRunning { control: "not running", last_known: &last_known })?;
        return Ok(failure.exit());
    }
    if let Some(last_known) = &last_known {
        output.lines(&last_known.lines(output.style()))?;
    }
    Err(failure)
}
