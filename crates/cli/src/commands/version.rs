//! `mana version`.

use serde::Serialize;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana version                     of this binary, and of the control plane that runs
  mana version --json
  mana --version                   of this binary alone";

/// Shows the version of this binary and of the control plane that runs
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Versions {
    mana: &'static str,
    platform: String,
    /// `None`: none runs, or no ecosystem is near.
    control_plane: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    // Outside an ecosystem, or with nothing running, this binary's version is still the answer.
    let running = block_on(context.running()).ok();
    let versions = Versions {
        mana: env!("CARGO_PKG_VERSION"),
        platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        control_plane: running.map(|running| running.status.version),
    };
    let mut output = context.output();
    if args.json {
        output.json(&versions)?;
        return Ok(Exit::Ok);
    }
    output.line(&format!("mana {} ({})", versions.mana, versions.platform))?;
    match &versions.control_plane {
        None => output.line("no control plane runs here")?,
        Some(version) if version == versions.mana => output.line(&format!("control plane {version}"))?,
        Some(version) => output.line(&format!(
            "control plane {version}: another version than this binary; `{}` and `{}` bring it up to date",
            context.command("down"),
            context.command("up")
        ))?,
    }
    Ok(Exit::Ok)
}
