//! A copy of a database's schema, in a database of its own beside it.
//!
//! `pg_dump --schema-only` says what the schema is, `psql` makes it again. The copy is dropped however its rehearsal ends; what a control
//! plane that was killed has left is found by its name: at the next rehearsal of the service, and when the control plane starts.

use std::process::{Output, Stdio};

use mana_delivery::migration::Step;
use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::{LONGEST, Scratch, Stopped, no_history, pending};
use crate::database::server;
use crate::postgres::{Connection, Server, for_programs, in_words};

/// Whoever looks for what was left must not meet what is being used.
static TURN: Mutex<()> = Mutex::const_new(());

/// How it sorts and what it is written in has to be the same.
const LIKE: &str = "SELECT pg_catalog.quote_literal(pg_catalog.pg_encoding_to_char(encoding)::text), pg_catalog.quote_literal(datcollate::text), \
    pg_catalog.quote_literal(datctype::text) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
const LEFT: &str = "SELECT datname::text FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname::text, $1)";

/// How many files ran.
pub(super) async fn rehearse(url: &SecretString, steps: &[Step<'_>], scratch: &Scratch) -> Result<usize, Stopped> {
    let server = server(url).map_err(Stopped::NoCopy)?;
    let real = server.connect().await.map_err(|error| Stopped::NoCopy(error.to_string()))?;
    let steps = pending(steps, &has_run(&real.client).await?);
    if steps.is_empty() {
        return Ok(0);
    }
    let _turn = TURN.lock().await;
    drop_left(&real.client, scratch).await.map_err(|error| Stopped::NoCopy(in_words(&error)))?;
    let name = scratch.name();
    create(&real.client, &name).await?;
    let rehearsed = in_copy(url, &server, &name, &steps).await;
    if let Err(error) = drop_database(&real.client, &name).await {
        tracing::warn!(database = name, why = in_words(&error), "the copy of a rehearsal is not dropped yet");
    }
    rehearsed.map(|()| steps.len())
}

/// Drops what was left behind.
pub(super) async fn forget_left(url: &SecretString, scratch: &Scratch) -> Result<(), String> {
    let real = server(url)?.connect().await.map_err(|error| error.to_string())?;
    let _turn = TURN.lock().await;
    drop_left(&real.client, scratch).await.map_err(|error| in_words(&error))
}

async fn drop_left(client: &Client, scratch: &Scratch) -> Result<(), Error> {
    for row in client.query(LEFT, &[&scratch.prefix]).await? {
        let name: String = row.get(0);
        tracing::info!(database = name, "a rehearsal left it behind; it is dropped");
        drop_database(client, &name).await?;
    }
    Ok(())
}

/// The names are our own: letters, digits and `_`.
async fn drop_database(client: &Client, name: &str) -> Result<(), Error> {
    client.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await
}

async fn has_run(client: &Client) -> Result<Vec<i64>, Stopped> {
    let rows = client.query("SELECT version::text FROM schema_migrations", &[]).await.map_err(|error| {
        let none = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN];
        if error.code().is_some_and(|code| none.contains(code)) {
            no_history()
        } else {
            Stopped::NoCopy(in_words(&error))
        }
    })?;
    Ok(rows.iter().filter_map(|row| row.get::<_, Option<&str>>(0)?.parse().ok()).collect())
}

async fn create(client: &Client, name: &str) -> Result<(), Stopped> {
    let no_copy = |error: Error| {
        let may_not = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        let why = if may_not {
            "the service's role may not create databases (`ALTER ROLE … CREATEDB`)".to_owned()
        } else {
            in_words(&error)
        };
        Stopped::NoCopy(why)
    };
    let like = client.query_one(LIKE, &[]).await.map_err(no_copy)?;
    let (encoding, collate, ctype): (String, String, String) = (like.get(0), like.get(1), like.get(2));
    let create = format!(
        "CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING {encoding} LC_COLLATE {collate} LC_CTYPE {ctype}"
    );
    client.batch_execute(&create).await.map_err(no_copy)
}

async fn in_copy(url: &SecretString, server: &Server, name: &str, steps: &[&Step<'_>]) -> Result<(), Stopped> {
    let late = |_| Stopped::NoCopy(format!("copying the schema takes longer than {} s", LONGEST.as_secs()));
    timeout(LONGEST, copy_schema(url, name)).await.map_err(late)?.map_err(Stopped::NoCopy)?;
    let mut server = server.clone();
    // What a statement may take is said by each step.
    server.config.dbname(name).options("");
    let copy = server.connect().await.map_err(|error| Stopped::NoCopy(error.to_string()))?;
    let ran = timeout(LONGEST, async {
        for step in steps {
            run(&copy, step).await?;
        }
        Ok(())
    });
    ran.await.unwrap_or_else(|_| Err(Stopped::too_long()))
}

async fn copy_schema(url: &SecretString, name: &str) -> Result<(), String> {
    let (real, password) = for_programs(url.expose_secret())?;
    let mut copy = real.clone();
    copy.set_path(name);
    let program = |program: &str| {
        let mut command = Command::new(program);
        command.envs(password.as_ref().map(|password| ("PGPASSWORD", password))).env("PGCONNECT_TIMEOUT", "5");
        command.stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let not_there =
        |error: std::io::Error| format!("pg_dump and psql cannot be run ({error}); install postgresql-client");
    let mut dump = program("pg_dump");
    dump.args(["--schema-only", "--no-owner", "--no-privileges", "--no-comments", "--no-publications"]);
    dump.args(["--no-subscriptions", "--no-security-labels", "--no-password", "--lock-wait-timeout=5s", "--dbname"]);
    let mut dump = dump.arg(real.as_str()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(not_there)?;
    let said: Stdio = match dump.stdout.take().map(TryInto::try_into) {
        Some(Ok(said)) => said,
        _ => return Err("pg_dump says nothing".to_owned()),
    };
    let mut restore = program("psql");
    restore
        .args(["--no-psqlrc", "--quiet", "--no-password", "--set", "ON_ERROR_STOP=1", "--dbname"])
        .arg(copy.as_str());
    let restore = restore.stdin(said).stdout(Stdio::null()).spawn().map_err(not_there)?;
    let (dumped, made) = tokio::join!(dump.wait_with_output(), restore.wait_with_output());
    let failed = |what: &str, output: std::io::Result<Output>| match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{what}: {error}")),
    };
    // Whoever reads tells why, where it is what ended the other.
    failed("psql", made)?;
    failed("pg_dump", dumped)
}

async fn run(copy: &Connection, step: &Step<'_>) -> Result<(), Stopped> {
    let settings =
        step.before.iter().map(String::as_str).chain(step.begin).chain(step.within.iter().map(String::as_str));
    let statements = settings.chain(step.statements.iter().copied()).chain(step.begin.map(|_| "COMMIT"));
    for statement in statements.chain(step.after.iter().map(String::as_str)) {
        // A call that takes one statement only.
        let ran = copy.client.execute(statement, &[]).await;
        ran.map_err(|error| Stopped::at(step, statement, &in_words(&error)))?;
    }
    Ok(())
}
