//! `mana schema`.

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana schema > docs/mana.schema.json

With `#:schema ./docs/mana.schema.json` as the first line of mana.toml editors complete and check it.";

/// Prints the JSON Schema of mana.toml, for editors
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    context.output().json(&mana_manifest::schema())?;
    Ok(Exit::Ok)
}
