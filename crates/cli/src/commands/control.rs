//! `mana control`: the control plane as a process. Started by `mana up`; not typed by people.

use mana_control::daemon::{self, ExitReason, Options};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Runs the control plane of a data folder (`mana up` starts it)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context) -> Result<Exit, Failure> {
    let options = Options::new(context.data()?)?;
    match daemon::run(options)? {
        ExitReason::Down | ExitReason::Signal => Ok(Exit::Ok),
    }
}
