//! `mana plan`.

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana plan                        ports, hosts and environment of each service in development
  mana -e production plan          the same in production
  mana plan --json | jq -r '.services[].public_url | select(.)'
  diff <(mana -e staging plan) <(mana -e production plan)

Secrets stand in it by name only. Reads nothing but the manifest and starts nothing.";

/// Prints what the manifest means: ports, hosts, environment of each service
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let plan = context.plan()?;
    let mut output = context.output();
    if args.json {
        output.json(plan)?;
    } else {
        output.text(&mana_manifest::render(plan))?;
    }
    Ok(Exit::Ok)
}
