//! The rehearsal of migrations: what is to run runs first on a copy of the schema, without a row, in the very order and with the very
//! timeouts. A statement that the engine does not take (a name that is taken, a type that is not there, a trigger that would not compile) is
//! found before anything of the service is touched. What rows and locks would bring about, it cannot find.
//!
//! | module | where the copy is |
//! |---|---|
//! | `sqlite` | in memory |
//! | `postgres` | in a database of its own on the same server, which is dropped in any case |
//!
//! What has run already is read where the service notes it, in the table `schema_migrations` by the column `version`. Where no copy can be
//! made, that is said and nothing else follows from it: the guard has seen every statement, and staging has run them.

mod postgres;
mod sqlite;

use std::path::Path;
use std::time::{Duration, Instant};

use mana_delivery::migration::Step;
use mana_manifest::plan::{Plan, Service};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use crate::database::Database;

/// Longest time for making the copy, and then for all that runs in it: there are no rows, so that even a large schema takes seconds.
const LONGEST: Duration = Duration::from_mins(1);
/// Most characters of a statement that are shown.
const MAX_SHOWN: usize = 200;

/// What a copy is called, so that one which was left behind is found again.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    /// Of all copies that this control plane makes for the service.
    prefix: String,
    rollout: u64,
}

impl Scratch {
    pub(crate) fn of(data: &Path, service: &Service, rollout: u64) -> Self {
        // Another control plane may use the same server.
        let whose = Sha256::digest(format!("{}\n{}", data.display(), service.name));
        Self { prefix: format!("mana_rehearsal_{}_", hex::encode(&whose[..6])), rollout }
    }

    fn name(&self) -> String {
        format!("{}{}", self.prefix, self.rollout)
    }
}

/// Why a rehearsal did not get to its end.
#[derive(Debug, PartialEq, Eq)]
enum Stopped {
    /// There is no copy to try it on.
    NoCopy(String),
    /// It would not have worked.
    Fails(String),
}

impl Stopped {
    fn at(step: &Step<'_>, statement: &str, why: &str) -> Self {
        let mut shown: String = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = shown.char_indices().nth(MAX_SHOWN) {
            shown.truncate(end);
            shown.push('…');
        }
        Self::Fails(format!("{} fails on a copy of the schema: `{shown}`: {why}", step.file.name()))
    }

    fn too_long() -> Self {
        Self::Fails(format!("they take longer than {} s on a copy of the schema, which has no rows", LONGEST.as_secs()))
    }
}

/// Tries what is to run; says how it went, or why it must not run. Blocks, on a thread of the runtime that may.
pub(crate) fn rehearse(database: &Database, steps: &[Step<'_>], scratch: &Scratch) -> Result<String, String> {
    let began = Instant::now();
    let ran = match database {
        Database::Sqlite(path) => sqlite::rehearse(path, steps, LONGEST),
        Database::Postgres(url) => Handle::current().block_on(postgres::rehearse(url, steps, scratch)),
    };
    match ran {
        Ok(0) => Ok("its migrations have run here before".to_owned()),
        Ok(files) => {
            let (files, took) =
                (if files == 1 { "1 migration".to_owned() } else { format!("{files} migrations") }, began.elapsed());
            Ok(format!("{files} rehearsed on a copy of the schema, in {:.1} s", took.as_secs_f64()))
        }
        Err(Stopped::NoCopy(why)) => Ok(format!("its migrations were not rehearsed: {why}")),
        Err(Stopped::Fails(why)) => Err(why),
    }
}

/// Removes what a control plane that was killed has left on the servers. Blocks, on a thread of the runtime that may.
pub(crate) fn forget_left(plan: &Plan) {
    let migrates = |service: &&Service| service.build.as_ref().is_some_and(|build| build.migrations.is_some());
    for service in plan.services.iter().filter(migrates) {
        let Ok(Database::Postgres(url)) = Database::of(plan, service) else { continue };
        if let Err(why) = Handle::current().block_on(postgres::forget_left(&url, &Scratch::of(&plan.data, service, 0)))
        {
            tracing::info!(service = service.name, why, "it cannot be looked for what a rehearsal left behind");
        }
    }
}

/// What the service's own table would say.
fn no_history() -> Stopped {
    Stopped::NoCopy("it notes nowhere what has run (a table schema_migrations with the column version)".to_owned())
}

/// Those that have not run.
fn pending<'a, 'b>(steps: &'b [Step<'a>], ran: &[i64]) -> Vec<&'b Step<'a>> {
    steps.iter().filter(|step| !ran.contains(&step.file.version().0)).collect()
}

#[cfg(test)]
mod tests;
