//! A copy of a file's schema, in memory.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use mana_delivery::migration::Step;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection, Error, ErrorCode, OpenFlags};

use super::{Stopped, no_history, pending};

/// What makes the schema, in an order in which it can be made. The tables behind a virtual one come with it.
const SCHEMA: &str = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
    AND tbl_name NOT IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow') \
    ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid";
const TABLES: &str = "SELECT name, type = 'virtual' FROM pragma_table_list \
    WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

/// How many files ran.
pub(super) fn rehearse(file: &Path, steps: &[Step<'_>], longest: Duration) -> Result<usize, Stopped> {
    let no_copy = |error: Error| Stopped::NoCopy(error.to_string());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let real = Connection::open_with_flags(file, flags).map_err(no_copy)?;
    real.busy_timeout(Duration::from_secs(5)).map_err(no_copy)?;
    let steps = pending(steps, &has_run(&real)?);
    let copy = copy_of(&real).map_err(no_copy)?;
    drop(real);
    within(&copy, longest, || {
        let written = what_cannot_be_written(&copy).map_err(no_copy)?;
        for step in &steps {
            run(&copy, step)?;
        }
        let now = what_cannot_be_written(&copy).map_err(no_copy)?;
        match now.into_iter().find(|(statement, _)| !written.iter().any(|(before, _)| before == statement)) {
            None => Ok(steps.len()),
            Some((statement, why)) => {
                Err(Stopped::Fails(format!("after them, on a copy of the schema, `{statement}` does not work: {why}")))
            }
        }
    })
}

fn has_run(real: &Connection) -> Result<Vec<i64>, Stopped> {
    let mut query =
        real.prepare("SELECT CAST(version AS INTEGER) FROM schema_migrations").map_err(|error| {
            match error.sqlite_error_code() {
                Some(ErrorCode::Unknown) | None => no_history(),
                _ => Stopped::NoCopy(error.to_string()),
            }
        })?;
    let rows = query.query_map([], |row| row.get(0)).and_then(Iterator::collect);
    rows.map_err(|error: Error| Stopped::NoCopy(error.to_string()))
}

fn copy_of(real: &Connection) -> Result<Connection, Error> {
    let copy = Connection::open_in_memory()?;
    let mut query = real.prepare(SCHEMA)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        copy.execute_batch(&row.get::<_, String>(0)?)?;
    }
    copy.execute_batch("PRAGMA foreign_keys = ON")?;
    Ok(copy)
}

/// What is not done by then is interrupted.
fn within<T>(copy: &Connection, longest: Duration, work: impl FnOnce() -> Result<T, Stopped>) -> Result<T, Stopped> {
    let handle = copy.get_interrupt_handle();
    let (done, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            // It ends at once when the work does.
            let late = ended.recv_timeout(longest) == Err(RecvTimeoutError::Timeout);
            if late {
                handle.interrupt();
            }
            late
        });
        let worked = work();
        drop(done);
        match watch.join() {
            Ok(false) => worked,
            _ => Err(Stopped::too_long()),
        }
    })
}

fn run(copy: &Connection, step: &Step<'_>) -> Result<(), Stopped> {
    let one = |statement: &str| only(copy, statement).map_err(|why| Stopped::at(step, statement, &why));
    let settings =
        step.before.iter().map(String::as_str).chain(step.begin).chain(step.within.iter().map(String::as_str));
    settings.chain(step.statements.iter().copied()).chain(step.begin.map(|_| "COMMIT")).try_for_each(one)?;
    step.after.iter().try_for_each(|statement| one(statement))
}

/// Runs one statement, whether it gives rows or not; what the engine reads as more is refused.
fn only(copy: &Connection, sql: &str) -> Result<(), String> {
    let run = || -> Result<bool, Error> {
        let mut batch = Batch::new(copy, sql);
        if let Some(mut statement) = batch.next()? {
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(batch.next()?.is_none())
    };
    match run() {
        Ok(true) => Ok(()),
        Ok(false) => Err("the engine reads more than one statement".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Statements that every version may make and that do not even compile, as a trigger names what is not there.
pub(super) fn what_cannot_be_written(copy: &Connection) -> Result<Vec<(String, String)>, Error> {
    let mut query = copy.prepare(TABLES)?;
    let tables = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
    let mut broken = Vec::new();
    for table in tables {
        let (name, is_virtual) = table?;
        let mut statements = vec![format!("DELETE FROM {}", quoted(&name))];
        if !is_virtual {
            statements.push(format!("INSERT INTO {} DEFAULT VALUES", quoted(&name)));
            let mut columns = copy.prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0")?;
            let columns: Vec<String> = columns.query_map([&name], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let all: Vec<String> = columns.iter().map(|column| format!("{0} = {0}", quoted(column))).collect();
            statements.push(format!("UPDATE {} SET {}", quoted(&name), all.join(", ")));
        }
        for statement in statements {
            if let Err(error) = copy.prepare(&statement) {
                broken.push((statement, error.to_string()));
            }
        }
    }
    Ok(broken)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
