//! `mana test`.

use mana_control::releases::{self, Order};

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::making;
use crate::show::style::Tone;
use crate::show::units;

const EXAMPLES: &str = "\
Examples:
  mana test chat-backend           its checks, on what is checked out
  mana test chat-backend --ref v1.6.0
                                   on a tag, a branch or a commit
  mana test chat-backend --json    every line as JSON

What `checks` in [services.NAME.build] names runs side by side in a clean checkout, each within `check_timeout`, all of them within the \
limits of a build. One failure ends with 1; the others are run to their end all the same.";

/// Runs the checks of a service: lint, types, tests
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which one
    service: String,

    /// Tag, branch or commit [default: what is checked out]
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,

    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let manifest = context.manifest()?;
    let plan = context.plan()?;
    let known = plan.services.iter().map(|service| service.name.as_str());
    Failure::unless_known("service", &args.service, known)?;
    let order = Order { manifest: &manifest, plan, service: &args.service, reference: args.reference.as_deref() };
    mana_control::daemon::make_data_folder(&plan.data)?;
    let checked = block_on(making::watch(context, args.json, async |events| {
        let fail = |error| making::failure(error, &order, context);
        let prepared = releases::prepare(&order, events).await.map_err(fail)?;
        let store = releases::store(plan, &args.service);
        prepared.check(&store, |_| true, events, |_| ()).await.map_err(fail)
    }))?;
    let Some(checked) = checked else { return Ok(Exit::Interrupted) };
    let failed: Vec<_> = checked.iter().filter(|check| !check.end.success()).collect();
    if !failed.is_empty() {
        let lines = failed.iter().map(|check| format!("- {}: {} ({})", check.name, check.end, check.log.display()));
        let lines: Vec<String> = lines.collect();
        let what = format!("{} of {} failed:\n{}", units::count(failed.len(), "check"), args.service, lines.join("\n"));
        return Err(Failure::Failed { what, help: "their output is above, and in the files named here".into() });
    }
    if !args.json {
        let mut output = context.output();
        let mark = output.style().paint(Tone::Good, "✓");
        let text = match checked.len() {
            0 => format!(
                "{mark} {} has no checks: name some with `checks` in [services.{}.build]",
                args.service, args.service
            ),
            count => format!("{mark} {} of {} passed", units::count(count, "check"), args.service),
        };
        output.line(&text)?;
    }
    Ok(Exit::Ok)
}
