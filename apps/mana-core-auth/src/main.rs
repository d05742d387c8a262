//! The program: serves, or runs one command.

use std::process::ExitCode;

use mana_core_auth::commands::{self, Arguments};
use mana_core_auth::config::Config;

fn main() -> ExitCode {
    kit::run(async |env, arguments| {
        if let Some(command) = Arguments::read(arguments)?.command {
            return commands::run(&env, command).await;
        }
        let config = Config::read(&env)?;
        let service = mana_core_auth::service(&config).await?;
        kit::service::serve(&config.base, service).await
    })
}
