//! The program: `chat-backend` serves, `chat-backend migrate` brings the database up to date.

use std::process::ExitCode;

use chat_backend::{Config, MIGRATIONS, start};
use kit::cache::Cache;
use kit::config::{Env, Error};
use kit::{Failure, database, service};

fn main() -> ExitCode {
    kit::run(|env, arguments| async move {
        match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => serve(&env).await,
            ["migrate"] => MIGRATIONS.command(&env).await,
            _ => Err(Error::Usage("usage: chat-backend [migrate]".into()).into()),
        }
    })
}

async fn serve(env: &Env) -> Result<(), Failure> {
    let config = Config::read(env)?;
    let base = config.base.clone();
    let cache = Cache::connect(base.redis_url.as_ref())?;
    let database = database::connect(base.database_url.as_ref()).await?;
    let (service, rest) = start(config, &database, cache).split();
    let outcome = service::serve(&base, service).await;
    rest.finish().await;
    outcome
}
