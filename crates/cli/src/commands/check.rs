//! `mana check`.

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana check                       every environment
  mana -e production check         only this one
  mana -m other/mana.toml check --json | jq -r '.problems[].message'

Reports every problem at once with file, line, column and what to write instead. Ends with 0 when there is none, else 64.
Reads nothing but the manifest and starts nothing.";

/// Checks the manifest, all of it, before anything starts
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let plan = context.plan()?;
    if args.json {
        context.output().json(plan)?;
    }
    Ok(Exit::Ok)
}
