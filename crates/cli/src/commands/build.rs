//! `mana build`.

use mana_control::releases::{self, Order};
use mana_release::record::Release;
use mana_release::scan::report::Report;
use serde::Serialize;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::making;
use crate::show::style::Tone;
use crate::show::{scan, units};

const EXAMPLES: &str = "\
Examples:
  mana build chat-backend          a release of what is checked out
  mana build chat-backend --ref v1.6.0
                                   of a tag, a branch or a commit
  mana -e production build chat-backend
                                   refused while anything is not committed
  mana build chat-backend --json   every step as one line of JSON, the release last

The commit is checked out into a folder of its own and built there as its own manifest says, with limits on processors, memory and \
time; nothing of the environment but paths and proxies gets in, and no secret; MANA_VERSION and MANA_COMMIT say what is built. A commit that was built before is not built again. \
In development, uncommitted changes get in and the release says so. It is scanned at the end (`mana help scan`); what \
stops it makes this end with 1, the release is kept for whoever looks into it. Releases beyond `releases.keep` are removed, those in use \
never.";

/// Makes a release of a service from a commit
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which one
    service: String,

    /// Tag, branch or commit [default: what is checked out]
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,

    /// Build even if this commit was built before
    #[arg(long)]
    again: bool,

    /// Print each event as a line of JSON, the release last
    #[arg(long)]
    json: bool,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    event: &'static str,
    id: String,
    #[serde(flatten)]
    release: &'a Release,
    removed: &'a [String],
    scan: &'a Report,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let manifest = context.manifest()?;
    let plan = context.plan()?;
    let known = plan.services.iter().map(|service| service.name.as_str());
    Failure::unless_known("service", &args.service, known)?;
    let order = Order { manifest: &manifest, plan, service: &args.service, reference: args.reference.as_deref() };
    let store = releases::store(plan, &args.service);
    mana_control::daemon::make_data_folder(&plan.data)?;
    let made = block_on(making::watch(context, args.json, async |events| {
        let fail = |error| making::failure(error, &order, context);
        if !args.again
            && let Some(release) = releases::built_before(&order).await.map_err(fail)?
        {
            return Ok((release, false));
        }
        let prepared = releases::prepare(&order, events).await.map_err(fail)?;
        Ok((prepared.build(&store, events).await.map_err(fail)?, true))
    }))?;
    let Some((release, fresh)) = made else { return Ok(Exit::Interrupted) };
    let mut in_use = releases::in_use(plan).map_err(|error| making::failure(error, &order, context))?;
    in_use.insert(release.id());
    let removed =
        releases::collect(plan, &args.service, &in_use).map_err(|error| making::failure(error, &order, context))?;
    making::refresh(plan)?;
    let report = releases::scan(plan, &release).map_err(|error| making::failure(error, &order, context))?;
    let exit = if report.stops { Exit::Failed } else { Exit::Ok };
    let mut output = context.output();
    if args.json {
        let id = release.id();
        output.json_line(&Answer { event: "release", id, release: &release, removed: &removed, scan: &report })?;
        return Ok(exit);
    }
    let style = output.style();
    let how = if fresh { "" } else { ", built before" };
    let mark = style.paint(Tone::Good, "✓");
    let id = style.paint(Tone::Name, &release.id());
    output.line(&format!("{mark} {} {id}{how}", release.service))?;
    if !removed.is_empty() {
        output.line(&format!("  {} removed: {}", units::count(removed.len(), "old release"), removed.join(", ")))?;
    }
    output.lines(&scan::lines(&report, style))?;
    Ok(exit)
}
