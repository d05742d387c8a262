//! `mana completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana completions bash > ~/.local/share/bash-completion/completions/mana
  mana completions zsh > ~/.zfunc/_mana          with ~/.zfunc in fpath
  mana completions fish > ~/.config/fish/completions/mana.fish";

/// Prints completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mana", &mut script);
    context.output().text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
