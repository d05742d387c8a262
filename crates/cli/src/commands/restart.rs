//! `mana restart`.

use mana_control::api::Restart;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::replacing;
use crate::running::Running;

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
        replacing::follow(events, &args.service, "is restarted", args.json, context).await
    })
}
