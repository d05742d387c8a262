//! `mana run`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use mana_control::api::{RunRequest, RunSpec};
use mana_control::client::{Client, ClientError};

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mana run mana-core-auth -- grant --email ada@example.com --credits 100
  mana run mana-core-auth -- make-admin --email ada@example.com
  mana run mana-core-auth -- check-ledger
  mana run chat-backend -- migrate           bring its database up to date
  mana run chat-backend -- --help            which commands it has

The program gets the environment of the running service, its secrets and database included, but no port. Its input and
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
    let spec = block_on(async {
        match Client::connect(&data).await {
            Ok(client) => client.run(&request).await.map(Some).map_err(|error| context.failure(error)),
            Err(ClientError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(context.failure(error)),
        }
    })?;
    become_program(spec.ok_or(Failure::Cut)?)
}

/// Replaces this process, so that input, output, signals and the exit code are the program's own.
fn become_program(spec: RunSpec) -> Result<Exit, Failure> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return Err(Failure::Failed {
            what: "this service has no program".into(),
            help: "only a service with a `command` can be run".into(),
        });
    };
    let source = Command::new(program).args(arguments).current_dir(&spec.cwd).env_clear().envs(&spec.env).exec();
    Err(Failure::File { what: "run", path: PathBuf::from(program), source })
}
