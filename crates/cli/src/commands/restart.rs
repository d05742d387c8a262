//! `mana restart`.

use mana_control::api::Restart;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::{self, Outcome};
use crate::report;
use crate::running::Running;
use crate::show::style::Tone;
use crate::show::units;

const EXAMPLES: &str = "\
Examples:
  mana restart chat-backend        replace its instances; the old ones finish first
  mana restart edge                the edge itself; it hands its sockets over
  mana restart chat-web --json     every step as one line of JSON

New instances are ready before the old ones are stopped, so no request is lost. The edge \
hands its listening sockets to its successor: nothing is refused, and what is in flight finishes.";

/// Replaces the instances of a service beside the running ones
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Its name; `edge` too
    service: String,

    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, status } = context.running().await?;
        let known = status.services.iter().map(|service| service.name.as_str());
        Failure::unless_known("service", &args.service, known)?;
        let restart = Restart { service: args.service.clone() };
        let events = client.restart(&restart).await.map_err(|error| context.failure(error))?;
        let mut output = context.output();
        match progress::follow_until_interrupted(events, args.json, &mut output, context).await? {
            Outcome::Settled(took) => {
                if !args.json {
                    let name = output.style().paint(Tone::Strong, &args.service);
                    output.line(&format!("{name} is restarted, after {}", units::duration(took)))?;
                }
                Ok(Exit::Ok)
            }
            Outcome::Failed(reason) => {
                Err(Failure::NotUp { reason, status: context.command("status"), down: context.command("down") })
            }
            Outcome::Interrupted => {
                report::note(&format!(
                    "the restart goes on in the background: `{}` shows how",
                    context.command("status")
                ));
                Ok(Exit::Interrupted)
            }
        }
    })
}
