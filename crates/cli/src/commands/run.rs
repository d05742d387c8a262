//! `mana run`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use mana_control::api::{RunRequest, RunSpec};
use mana_control::client::ClientError;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running;

mod offline;

const EXAMPLES: &str = "\
Examples:
  mana run mana-core-auth -- grant --email ada@example.com --credits 100
  mana run mana-core-auth -- make-admin --email ada@example.com
  mana run mana-core-auth -- check-ledger
  mana run chat-backend -- migrate           bring its database up to date
  mana run chat-backend -- --help            which commands it has

The program gets the environment of the running service, its secrets and database included, but no port. Its input and \
output are this command's, and so is its exit code. It works whether or not anything runs.";

/// Runs a one-off command of a service, in the service's environment
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Whose program and environment
    service: String,

    /// Arguments for the program
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let request = RunRequest { service: args.service.clone(), args: args.args.clone() };
    let data = context.data()?;
    let told = block_on(async {
        match running::find(&data).await {
            Ok(running) => running.client.run(&request).await.map(Some).map_err(|error| context.failure(error)),
            Err(ClientError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(context.failure(error)),
        }
    })?;
    let spec = match told {
        Some(spec) => spec,
        None => offline::spec(context, &request)?,
    };
    become_program(&spec)
}

/// Taken over from this command's environment, for a person at a terminal; everything else is the service's own.
const INHERITED: [&str; 8] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TERM", "COLORTERM", "NO_COLOR"];

/// Replaces this process, so that input, output, signals and the exit code are the program's own.
fn become_program(spec: &RunSpec) -> Result<Exit, Failure> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return Err(Failure::Failed {
            what: "this service has no program".into(),
            help: "only a service with a `command` can be run".into(),
        });
    };
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&spec.cwd).env_clear().envs(inherited).envs(&spec.env);
    let source = command.exec();
    Err(Failure::File { what: "run", path: PathBuf::from(program), source })
}
