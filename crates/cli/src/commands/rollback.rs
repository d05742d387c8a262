//! `mana rollback`.

use mana_control::api::{EdgeChange, PutBack, SERVES_ALREADY};
use mana_control::client::Client;

use crate::clock;
use crate::context::{Context, block_on, quoted};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::meant;
use crate::operator::Who;
use crate::patience::{self, Patience};
use crate::replacing::{self, EDGE};
use crate::running::Running;
use crate::{report, rolling, several};

const EXAMPLES: &str = "\
Examples:
  mana rollback chat-backend         the version before serves again
  mana rollback chat-backend v1.5.2  one that has served here before
  mana rollback chat                 all services of a project, last one first
  mana rollback edge                 the edge's own version before

While the old version is warm this is one change of weights; afterwards it is started first. Data is never rolled back. It ends the \
rollout that is under way, wherever that is; what serves already is left as it is. A release that has served here before is not checked, staged, approved or watched again. An edge that was \
rolled back is not taken again by `mana up`; `mana deploy edge` does.";

/// Puts the version before back, or one from before that
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service, or a project
    service: String,

    /// A release that has served here before [default: the version before]
    release: Option<String>,

    /// Print each change as a line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: Who,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let by = args.who.name()?;
    block_on(async {
        let Running { client, status } = context.running().await?;
        if args.service == EDGE && args.release.is_none() {
            let events = client.edge(EdgeChange::Back).await.map_err(|error| context.failure(error))?;
            return replacing::follow(events, EDGE, "is what it was before", args.json, context).await;
        }
        let mut services = meant::services(&args.service, &status)?;
        services.reverse();
        let one = async |service: &str| {
            if services.len() > 1 && !was_rolled_out(&client, service, context).await? {
                report::note(&format!("nothing was rolled out for {service} yet: it stays as it is"));
                return Ok(Exit::Ok);
            }
            let put_back = PutBack {
                service: service.to_owned(),
                by: by.clone(),
                slot: None,
                release: args.release.clone(),
                key: Some(clock::key()),
            };
            bring_back(&client, &put_back, args, context).await
        };
        let release = args.release.as_deref().map(|release| format!(" {}", quoted(release))).unwrap_or_default();
        several::each(&services, context, one, |service| context.command(&format!("rollback {service}{release}"))).await
    })
}

async fn was_rolled_out(client: &Client, service: &str, context: &Context) -> Result<bool, Failure> {
    let rolled_out = client.rollouts(Some(service)).await.map_err(|error| context.failure(error))?;
    Ok(!rolled_out.is_empty())
}

async fn bring_back(client: &Client, put_back: &PutBack, args: &Args, context: &Context) -> Result<Exit, Failure> {
    let question = async |client: &Client| client.put_back(put_back).await;
    let view = match patience::told(&mut Patience::default(), client, context, question).await {
        Ok(view) => view,
        // It is as was asked for.
        Err(Failure::Refused(problem)) if problem.title == SERVES_ALREADY => {
            report::note(&problem.detail);
            return Ok(Exit::Ok);
        }
        Err(failure) => return Err(failure),
    };
    let begun = view.why.is_none();
    // What was asked for is that it goes back; a rollout of its own is there once it serves.
    let (exit, view) = rolling::follow_to(client, view, !begun, args.json, context).await?;
    Ok(match view.stage.as_str() {
        "rolled-back" | "aborted" | "superseded" if !begun => Exit::Ok,
        "done" if !begun => {
            return Err(Failure::Failed {
                what: format!("the version before could not be started again; {} serves on", view.version),
                help: format!("`{}` says why", context.command(&format!("rollout show {}", view.number))),
            });
        }
        _ => exit,
    })
}
