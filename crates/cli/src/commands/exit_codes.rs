//! `mana help exit-codes`, and the same as a command.

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Lists the exit codes of mana
#[derive(Debug, clap::Args)]
#[command(after_help = Exit::table())]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    context.output().line(&Exit::table())?;
    Ok(Exit::Ok)
}
