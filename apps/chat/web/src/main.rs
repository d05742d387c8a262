//! The program: `chat-web` serves, `chat-web migrate` brings the database up to date.

use std::process::ExitCode;

use chat_web::{Config, MIGRATIONS};
use kit::config::{Env, Error};
use kit::{Failure, database};

fn main() -> ExitCode {
    kit::run(|env, arguments| async move {
        match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => serve(&env).await,
            ["migrate"] => MIGRATIONS.command(&env).await,
            _ => Err(Error::Usage("usage: chat-web [migrate]".into()).into()),
        }
    })
}

async fn serve(env: &Env) -> Result<(), Failure> {
    let config = Config::read(env)?;
    let database = database::connect(config.base.database_url.as_ref()).await?;
    kit::service::serve(&config.base, chat_web::service(&config, &database)).await
}
