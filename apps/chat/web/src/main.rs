//! The program: `chat-web` serves, `chat-web migrate` brings the database up to date.

use std::process::ExitCode;

use chat_web::{Config, MIGRATIONS};
use kit::config::{Env, Error};
use kit::{Failure, database};
use secrecy::SecretString;

fn main() -> ExitCode {
    kit::run(|env, arguments| async move {
        match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => serve(&env).await,
            ["migrate"] => migrate(&env).await,
            _ => Err(Error::Usage("usage: chat-web [migrate]".into()).into()),
        }
    })
}

async fn serve(env: &Env) -> Result<(), Failure> {
    let config = Config::read(env)?;
    let database = database::connect(config.base.database_url.as_ref()).await?;
    kit::service::serve(&config.base, chat_web::service(&config, &database)).await
}

async fn migrate(env: &Env) -> Result<(), Failure> {
    let url = env.optional("DATABASE_URL").map(SecretString::from);
    let database = database::connect(url.as_ref()).await?;
    let applied = MIGRATIONS.run(&database).await.map_err(Failure::new)?;
    tracing::info!(?applied, "the database is up to date");
    Ok(())
}
