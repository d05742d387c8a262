//! `mana top`.

use std::time::Duration;

use crate::clock;
use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::top::{self, Order};
use crate::watch;

const EXAMPLES: &str = "\
Examples:
  mana top                         redrawn every two seconds until Ctrl-C
  mana top --sort memory           the largest first
  mana top --once                  once, also where the output is no terminal
  mana top --json | jq 'map(.memory_bytes) | add'

CPU is the share of one core over the last few seconds, memory is resident memory, both with child processes.";

/// How often the picture is drawn anew; the control plane measures about as often.
const REFRESH: Duration = Duration::from_secs(2);

/// Shows what takes processor and memory, the greatest first
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// What comes first
    #[arg(long, value_enum, default_value = "cpu", value_name = "MEASURE")]
    sort: Order,

    /// Print once instead of redrawing
    #[arg(long)]
    once: bool,

    /// Print once, as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let client = context.running().await?.client;
        let mut output = context.output();
        let rows = async || {
            let status = client.status().await.map_err(|error| context.failure(error))?;
            Ok::<_, Failure>(top::rows(&status, args.sort))
        };
        if args.json {
            output.json(&rows().await?)?;
        } else if args.once || !output.abilities.live {
            let lines = top::lines(&rows().await?, clock::now(), output.style(), output.width(), None);
            output.lines(&lines)?;
        } else {
            return watch::until_interrupted(&mut output, REFRESH, async |output| {
                let rows = rows().await?;
                Ok((top::lines(&rows, clock::now(), output.style(), output.width(), output.height()), Exit::Ok))
            })
            .await;
        }
        Ok(Exit::Ok)
    })
}
