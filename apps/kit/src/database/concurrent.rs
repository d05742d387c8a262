//! Statements that PostgreSQL runs in no transaction: an index that is made, or dropped, while others write.
//!
//! Such a statement is alone in its file. It may have been cut off, by a crash or a timeout, before it was noted that it ran; so what is
//! there is looked at first. An index that was left half-made is no index (it is kept up to date and used by nobody), and is made anew.

use sea_orm::sqlx::{self, AssertSqlSafe, Connection, PgConnection, Row};
use sea_orm::{DbErr, RuntimeErr};

/// What a file does that holds such a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concurrent {
    /// Makes an index of this name.
    Create(String),
    /// Drops it.
    Drop(String),
}

/// What is wrong with a file that holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("a statement with CONCURRENTLY runs in no transaction, so it has to be alone in its file")]
    NotAlone,
    #[error(
        "of the statements with CONCURRENTLY, `CREATE [UNIQUE] INDEX CONCURRENTLY NAME ON …` and `DROP INDEX CONCURRENTLY NAME` are understood"
    )]
    Unknown,
}

/// What a file's statement is; `None`: one for a transaction.
pub(super) fn read(sql: &str) -> Result<Option<Concurrent>, Unfit> {
    let words = words(sql);
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.eq_ignore_ascii_case(word));
    if !words.iter().any(|word| word.eq_ignore_ascii_case("concurrently")) {
        return Ok(None);
    }
    let end = words.iter().position(|word| word == ";").unwrap_or(words.len());
    if words[end..].iter().any(|word| word != ";") {
        return Err(Unfit::NotAlone);
    }
    let name = |mut at: usize| {
        if is(at, "if") {
            // IF NOT EXISTS, IF EXISTS
            at += if is(at + 1, "not") { 3 } else { 2 };
        }
        words.get(at).filter(|_| at < end && !is(at, "on")).cloned().ok_or(Unfit::Unknown)
    };
    let unique = usize::from(is(1, "unique"));
    if is(0, "create") && is(1 + unique, "index") && is(2 + unique, "concurrently") {
        return Ok(Some(Concurrent::Create(name(3 + unique)?)));
    }
    if is(0, "drop") && is(1, "index") && is(2, "concurrently") {
        return Ok(Some(Concurrent::Drop(name(3)?)));
    }
    Err(Unfit::Unknown)
}

/// The words of SQL, with comments left out; what is quoted is one, with its quotes, and so is a semicolon.
fn words(sql: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut rest = sql.chars().peekable();
    while let Some(char) = rest.next() {
        match (char, rest.peek()) {
            ('-', Some('-')) => {
                rest.by_ref().find(|char| *char == '\n');
                words.push(String::new());
            }
            ('/', Some('*')) => {
                let mut before = ' ';
                let _ = rest.next();
                rest.by_ref().find(|char| std::mem::replace(&mut before, *char) == '*' && *char == '/');
                words.push(String::new());
            }
            ('"' | '\'', _) => {
                let word = words.last_mut().expect("there is always one");
                word.push(char);
                for quoted in rest.by_ref() {
                    word.push(quoted);
                    if quoted == char {
                        break;
                    }
                }
            }
            (';' | '(' | ')' | ',', _) => words.extend([char.to_string(), String::new()]),
            (space, _) if space.is_whitespace() => words.push(String::new()),
            (char, _) => words.last_mut().expect("there is always one").push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Runs the statement, unless what it does is there already.
pub(super) async fn run(connection: &mut PgConnection, what: &Concurrent, sql: &'static str) -> Result<(), DbErr> {
    let (Concurrent::Create(name) | Concurrent::Drop(name)) = what;
    let valid = sqlx::query("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)").bind(name);
    let valid = valid.fetch_optional(&mut *connection).await.map_err(error)?;
    let valid: Option<bool> = valid.map(|row| row.try_get(0)).transpose().map_err(error)?;
    match (what, valid) {
        (Concurrent::Create(_), Some(true)) | (Concurrent::Drop(_), None) => return Ok(()),
        (Concurrent::Create(_), Some(false)) => {
            tracing::warn!(index = name, "an index was left half-made; it is made anew");
            // The name is as it stands in the program's own file.
            let drop = format!("DROP INDEX CONCURRENTLY {name}");
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await.map_err(error)?;
        }
        _ => {}
    }
    sqlx::raw_sql(sql).execute(connection).await.map(drop).map_err(error)
}

/// Says how long statements may take on this connection, and takes the turn for as long as it is open; whether it was free.
pub(super) async fn take_turn(
    connection: &mut PgConnection,
    lock: i64,
    statement_timeout: &'static str,
) -> Result<bool, DbErr> {
    let set = sqlx::query("SELECT set_config('statement_timeout', $1, false)").bind(statement_timeout);
    set.execute(&mut *connection).await.map_err(error)?;
    let free = sqlx::query("SELECT pg_try_advisory_lock($1)").bind(lock).fetch_one(connection).await.map_err(error)?;
    free.try_get(0).map_err(error)
}

/// Whether it is noted that a migration ran.
pub(super) async fn has_run(connection: &mut PgConnection, version: i64) -> Result<bool, DbErr> {
    let found = sqlx::query("SELECT version FROM schema_migrations WHERE version = $1").bind(version);
    found.fetch_optional(connection).await.map(|row| row.is_some()).map_err(error)
}

/// Notes that it ran.
pub(super) async fn note(
    connection: &mut PgConnection,
    version: i64,
    name: &str,
    checksum: &str,
    at: &str,
) -> Result<(), DbErr> {
    let insert = "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)";
    let insert = sqlx::query(insert).bind(version).bind(name).bind(checksum).bind(at);
    insert.execute(connection).await.map(drop).map_err(error)
}

/// A connection of its own is closed, whatever it was told about timeouts and locks with it.
pub(super) async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection did not close cleanly");
    }
}

pub(super) fn error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(std::sync::Arc::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_does_is_read_from_its_words() {
        let create = |name: &str| Ok(Some(Concurrent::Create(name.to_owned())));
        for (sql, expected) in [
            ("CREATE INDEX by_name ON things (name);", Ok(None)),
            ("-- not CONCURRENTLY\nCREATE INDEX by_name ON things (name);", Ok(None)),
            ("SELECT 'concurrently';", Ok(None)),
            ("CREATE INDEX CONCURRENTLY by_name ON things (name);", create("by_name")),
            (
                "-- slow\ncreate unique index concurrently IF NOT EXISTS app.by_name\n  on things(name) ;\n",
                create("app.by_name"),
            ),
            ("/* a; b */ CREATE INDEX CONCURRENTLY \"By Name\" ON things (name)", create("\"By Name\"")),
            ("DROP INDEX CONCURRENTLY IF EXISTS by_name;", Ok(Some(Concurrent::Drop("by_name".into())))),
            ("CREATE INDEX CONCURRENTLY a ON b (c); CREATE INDEX CONCURRENTLY d ON e (f);", Err(Unfit::NotAlone)),
            ("CREATE INDEX CONCURRENTLY ON b (c);", Err(Unfit::Unknown)),
            ("REINDEX INDEX CONCURRENTLY a;", Err(Unfit::Unknown)),
        ] {
            assert_eq!(read(sql), expected, "{sql}");
        }
    }
}
