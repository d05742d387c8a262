//! `mana smoke`.

use mana_control::api::SmokeRequest;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::Running;
use crate::show::style::Tone;

const EXAMPLES: &str = "\
Examples:
  mana smoke chat-backend             what the manifest declares, against what serves in development
  mana -e staging smoke chat-backend  as a rollout into production does after staging
  mana smoke chat-backend --json

Requests go through the edge, one after the other; the first that is not answered as it has to be ends them, with 1.";

/// Sends a service its smoke tests
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service
    service: String,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, status } = context.running().await?;
        let known = status.services.iter().map(|service| service.name.as_str());
        Failure::unless_known("service", &args.service, known)?;
        let request = SmokeRequest { service: args.service.clone(), digest: None };
        let report = client.smoke(&request).await.map_err(|error| context.failure(error))?;
        let exit = if report.passed { Exit::Ok } else { Exit::Failed };
        let mut output = context.output();
        if args.json {
            output.json(&report)?;
            return Ok(exit);
        }
        let style = output.style();
        for test in &report.tests {
            let mark = match &test.failed {
                None => style.paint(Tone::Good, "✓"),
                Some(_) => style.paint(Tone::Bad, "✗"),
            };
            let took = style.paint(Tone::Faint, &format!("({} ms)", test.took_ms));
            output.line(&format!("{mark} {} {} {took}", style.paint(Tone::Strong, &test.name), test.request))?;
            if let Some(why) = &test.failed {
                output.line(&format!("  {}", style.paint(Tone::Bad, why)))?;
            }
        }
        if report.tests.is_empty() {
            output
                .line(&format!("{0} has no smoke tests: declare some in [services.{0}.smoke.NAME]", report.service))?;
        }
        Ok(exit)
    })
}
