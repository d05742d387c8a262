//! `mana switch`.

use mana_control::api::PutBack;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Who;
use crate::rolling;
use crate::running::Running;

const EXAMPLES: &str = "\
Examples:
  mana switch chat-backend blue     all requests go to blue, green stays ready
  mana switch chat-backend green    and back

For the time in which both versions are ready, after a cutover. `mana rollback` works always.";

/// Gives all requests to one of the two slots, while both are ready
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service
    service: String,

    /// `blue` or `green`
    slot: String,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: Who,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let put_back =
        PutBack { service: args.service.clone(), by: args.who.name()?, slot: Some(args.slot.clone()), release: None };
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let mut view = client.put_back(&put_back).await.map_err(|error| context.failure(error))?;
        // Said is not done: the edge has to serve it.
        let serves = |view: &mana_control::api::RolloutView| {
            [&view.old, &view.new].into_iter().any(|slot| slot.slot == args.slot && slot.percent == 100)
        };
        let mut patience = Patience::default();
        while !serves(&view) && !view.over && view.why.is_none() {
            tokio::time::sleep(LOOK_EVERY.max(patience::interval(context) / 10)).await;
            view = rolling::look(&client, view.number, &mut patience, context).await?;
        }
        rolling::show(&view, args.json, context)?;
        Ok(if serves(&view) { Exit::Ok } else { Exit::Failed })
    })
}
