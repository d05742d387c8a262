//! `mana deploy`.

use mana_control::api::{Deploy, EdgeChange};
use mana_control::client::Client;
use mana_delivery::migration::Override;
use mana_release::source::{Commit, Dirty};

use crate::clock;
use crate::context::{Context, block_on, quoted};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::meant;
use crate::operator::Who;
use crate::patience::{self, Patience};
use crate::replacing::{self, EDGE};
use crate::rolling;
use crate::running::Running;
use crate::several;

const EXAMPLES: &str = "\
Examples:
  mana deploy chat-backend         what is checked out
  mana deploy chat-backend v1.6.0  that release, or one of that tag
  mana deploy chat                 all services of a project, until one waits or fails
  mana deploy edge                 the edge as it is installed, also where it was rolled back
  mana deploy chat-backend --pause-at cutting-over
  mana deploy chat-backend --wait --json    to the very end, as JSON

A commit is checked and built, unless that was done before; the release is scanned and, from production, brought into staging, where \
its smoke tests run; then, once it is approved, started beside the one that serves, probed, given a share of the traffic behind gates, \
then all of it; the old one stays warm for a while. Where the manifest does not say how a service is built, it is the newest release. \
`rollout` in the manifest says how long and within which limits. What fails goes back by \
itself. Ctrl-C leaves it going: `mana rollout watch N` follows it again, `mana rollout abort N` ends it.";

/// Brings a release of a service into this environment
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(crate) struct Args {
    /// The service, or a project
    service: String,

    /// A release by version, digest or commit, or a tag, branch or commit to make one of [default: what is checked out]
    #[arg(value_name = "WHAT")]
    release: Option<String>,

    /// End those that are under way or wait, in favour of this one
    #[arg(long)]
    supersede: bool,

    /// Stop before this stage until somebody says `mana rollout promote`
    #[arg(long, value_name = "STAGE")]
    pause_at: Option<String>,

    /// Run a statement of its migrations that the guard refuses, as the refusal names it
    #[arg(long = "allow-migration", value_name = "FILE:FINGERPRINT", requires = "reason")]
    allowed: Vec<String>,

    /// Why it may run; goes to the audit log
    #[arg(long, value_name = "TEXT", requires = "allowed")]
    reason: Option<String>,

    /// Do not follow it
    #[arg(long)]
    detach: bool,

    /// Follow it to the very end, when the old version is stopped
    #[arg(long, conflicts_with = "detach")]
    wait: bool,

    /// Print each change as a line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: Who,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let by = args.who.name()?;
    block_on(async {
        if args.service == EDGE && args.release.is_none() {
            let Running { client, .. } = context.running().await?;
            let events = client.edge(EdgeChange::Installed).await.map_err(|error| context.failure(error))?;
            return replacing::follow(events, EDGE, "is the installed version", args.json, context).await;
        }
        let what = what(args, context).await?;
        let overrides = overrides(args)?;
        let Running { client, status } = context.running().await?;
        let one = async |service: &str| {
            let deploy = Deploy {
                service: service.to_owned(),
                release: what.clone(),
                by: by.clone(),
                supersede: args.supersede,
                pause_at: args.pause_at.clone(),
                overrides: overrides.clone(),
                key: Some(clock::key()),
            };
            let begin = async |client: &Client| client.deploy(&deploy).await;
            let view = patience::told(&mut Patience::default(), &client, context, begin).await?;
            if args.detach {
                rolling::show(&view, args.json, context)?;
                return Ok(Exit::Ok);
            }
            rolling::follow(&client, view, args.wait, args.json, context).await
        };
        // What the next one needs has to serve before it.
        let services = meant::services(&args.service, &status)?;
        several::in_order(&services, one, |service| context.command(&again(service, what.as_deref(), args))).await
    })
}

/// The same for one of those that were left.
fn again(service: &str, what: Option<&str>, args: &Args) -> String {
    let mut words = vec!["deploy".to_owned(), service.to_owned()];
    words.extend(what.map(quoted));
    words.extend(args.supersede.then(|| "--supersede".to_owned()));
    words.extend(args.pause_at.as_ref().map(|stage| format!("--pause-at {stage}")));
    words.extend(args.wait.then(|| "--wait".to_owned()));
    words.extend(args.allowed.iter().map(|statement| format!("--allow-migration {}", quoted(statement))));
    words.extend(args.reason.as_ref().map(|reason| format!("--reason {}", quoted(reason))));
    words.join(" ")
}

/// What is meant by nothing: on another machine what is checked out here, and not there.
async fn what(args: &Args, context: &Context) -> Result<Option<String>, Failure> {
    if args.release.is_some() || !context.is_elsewhere() {
        return Ok(args.release.clone());
    }
    let folder = std::env::current_dir()?;
    let found = Commit::find(&folder, &folder.join(".mana"), None, Dirty::Refused).await;
    let found = found.map_err(|error| Failure::Failed {
        what: error.to_string(),
        help: "another machine builds commits only: commit, push, and deploy again, or name a release".to_owned(),
    })?;
    Ok(Some(found.id))
}

/// Statements that a person answers for.
fn overrides(args: &Args) -> Result<Vec<Override>, Failure> {
    let one = |text: &String| {
        let (file, fingerprint) = text.rsplit_once(':').ok_or_else(|| Failure::Usage {
            what: format!("{text} names no statement"),
            help: "write --allow-migration FILE:FINGERPRINT, as the refusal shows them".to_owned(),
        })?;
        let reason = args.reason.clone().unwrap_or_default();
        Ok(Override { file: file.to_owned(), fingerprint: fingerprint.to_owned(), reason })
    };
    args.allowed.iter().map(one).collect()
}
