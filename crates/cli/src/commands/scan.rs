//! `mana scan`.

use mana_control::releases::{self, Order};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::making;
use crate::show::scan;

const EXAMPLES: &str = "\
Examples:
  mana scan chat-backend           its newest release, by what is known today
  mana scan chat-backend v1.6.0    another one: by version, id, digest or commit
  mana scan chat-backend --json | jq -r '.findings[] | select(.stops) | .id'

Looks every package of the bill of materials up in `releases.advisories`, and for secrets in every file: keys and tokens that can be \
told by their form, and the environment's own. Ends with 1 where something stops the release: HIGH and above, a secret, or advisories \
that are missing or older than `releases.advisories_max_age`. `releases.accepted` accepts a finding until a day.";

/// Scans a release for known vulnerabilities and for secrets
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Of which service
    service: String,

    /// Version, id, digest or commit [default: the newest]
    release: Option<String>,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let manifest = context.manifest()?;
    let plan = context.plan()?;
    let known = plan.services.iter().map(|service| service.name.as_str());
    Failure::unless_known("service", &args.service, known)?;
    let order = Order { manifest: &manifest, plan, service: &args.service, reference: None };
    let fail = |error| making::failure(error, &order, context);
    let release = releases::store(plan, &args.service).find(args.release.as_deref());
    let release = release.map_err(|error| fail(error.into()))?;
    making::refresh(plan)?;
    let report = releases::scan(plan, &release).map_err(fail)?;
    let mut output = context.output();
    if args.json {
        output.json(&report)?;
    } else {
        output.lines(&scan::lines(&report, output.style()))?;
    }
    Ok(if report.stops { Exit::Failed } else { Exit::Ok })
}
