//! `mana switch`.

use std::time::Duration;

use mana_control::api::{PutBack, RolloutView};
use mana_control::client::Client;

use crate::clock;
use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Who;
use crate::patience::{self, Patience};
use crate::running::Running;
use crate::{meant, report, rolling, several};

/// Between two looks on this machine: a switch is there within a fraction of a second.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const EXAMPLES: &str = "\
Examples:
  mana switch chat-backend blue     all requests go to blue, green stays ready
  mana switch chat-backend green    and back
  mana switch chat blue             all services of a project, last one first

For the time in which both versions are ready, after a cutover. `mana rollback` works always.";

/// Gives all requests to one of the two slots, while both are ready
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service, or a project
    service: String,

    /// `blue` or `green`
    slot: String,

    /// Print as JSON, a line for each service
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: Who,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let by = args.who.name()?;
    block_on(async {
        let Running { client, status } = context.running().await?;
        let mut services = meant::services(&args.service, &status)?;
        services.reverse();
        let one = async |service: &str| {
            let newest = newest(&client, service, context).await?;
            if services.len() > 1 && newest.is_none() {
                report::note(&format!("nothing was rolled out for {service} yet: it stays as it is"));
                return Ok(Exit::Ok);
            }
            let put_back = PutBack {
                service: service.to_owned(),
                by: by.clone(),
                slot: Some(args.slot.clone()),
                release: None,
                key: Some(clock::key()),
            };
            let question = async |client: &Client| client.put_back(&put_back).await;
            let asked = patience::told(&mut Patience::default(), &client, context, question).await;
            let view = match (asked, newest) {
                (Ok(view), _) => brought(&client, view, &args.slot, context).await?,
                // Both are ready no more, or never were; it is as was asked for.
                (Err(Failure::Refused(_)), Some(view)) if view.over && serves(&view, &args.slot) => view,
                (Err(failure), _) => return Err(failure),
            };
            rolling::show(&view, args.json, context)?;
            Ok(if serves(&view, &args.slot) { Exit::Ok } else { Exit::Failed })
        };
        several::each(&services, context, one, |service| context.command(&format!("switch {service} {}", args.slot)))
            .await
    })
}

async fn newest(client: &Client, service: &str, context: &Context) -> Result<Option<RolloutView>, Failure> {
    let all = client.rollouts(Some(service)).await.map_err(|error| context.failure(error))?;
    Ok(all.into_iter().next())
}

/// Said is not done: the edge has to serve it.
async fn brought(
    client: &Client,
    mut view: RolloutView,
    slot: &str,
    context: &Context,
) -> Result<RolloutView, Failure> {
    let pause = if context.is_elsewhere() { patience::interval(context) } else { LOOK_EVERY };
    let mut patience = Patience::default();
    while !serves(&view, slot) && !view.over && view.why.is_none() {
        tokio::time::sleep(pause).await;
        view = rolling::look(client, view.number, &mut patience, context).await?;
    }
    Ok(view)
}

/// Whether all requests go to that slot.
fn serves(view: &RolloutView, slot: &str) -> bool {
    [&view.old, &view.new].into_iter().any(|one| one.slot == slot && one.percent == 100)
}
