//! `mana deploy`.

use mana_control::api::Deploy;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operator::Who;
use crate::rolling;
use crate::running::Running;

const EXAMPLES: &str = "\
Examples:
  mana deploy chat-backend                  the newest release of it
  mana deploy chat-backend v1.6.0           that one
  mana deploy chat-backend --pause-at cutting-over
  mana deploy chat-backend --wait --json    to the very end, each change as one line of JSON

The release is scanned, started beside the one that serves, probed, given a share of the traffic behind gates, then all of it; \
the old one stays warm for a while. `rollout` in the manifest says how long and within which limits. What fails goes back by \
itself. Ctrl-C leaves it going: `mana rollout watch N` follows it again, `mana rollout abort N` ends it.";

/// Brings a release of a service into this environment
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(crate) struct Args {
    /// The service
    service: String,

    /// Version, digest or commit of a release [default: the newest]
    release: Option<String>,

    /// End those that are under way or wait, in favour of this one
    #[arg(long)]
    supersede: bool,

    /// Stop before this stage until somebody says `mana rollout promote`
    #[arg(long, value_name = "STAGE")]
    pause_at: Option<String>,

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
        let Running { client, status } = context.running().await?;
        let known = status.services.iter().map(|service| service.name.as_str());
        Failure::unless_known("service", &args.service, known)?;
        let deploy = Deploy {
            service: args.service.clone(),
            release: args.release.clone(),
            by,
            supersede: args.supersede,
            pause_at: args.pause_at.clone(),
        };
        let view = client.deploy(&deploy).await.map_err(|error| context.failure(error))?;
        if args.detach {
            rolling::show(&view, args.json, context)?;
            return Ok(Exit::Ok);
        }
        rolling::follow(&client, view, args.wait, args.json, context).await
    })
}
