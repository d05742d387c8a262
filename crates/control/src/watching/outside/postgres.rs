//! A server of PostgreSQL, asked over one connection that only reads.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::{Duration, Instant};

use mana_watch::postgres::{
    EACH_ROUND, MARK, NOW_AND_THEN, Query, RUNNING, Row, Running, STATEMENTS_AT, Statement, running, statements,
    statements_at, statements_sql,
};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::{Address, tls};

/// What the server shows of whoever asks.
const APPLICATION: &str = "mana-watch";
/// Nothing is changed, no question takes long or waits for somebody's lock, and a connection that was forgotten is closed.
const OPTIONS: &str = "-c default_transaction_read_only=on -c statement_timeout=4s -c lock_timeout=1s";
/// How often is asked what changes slowly, or costs much.
const NOW_AND_THEN_EVERY: Duration = Duration::from_mins(5);
/// Most rows of an answer that are taken.
const MAX_ROWS: usize = 500;

/// A connection, and what is kept from one round to the next.
pub(super) struct Connection {
    client: Client,
    driver: JoinHandle<()>,
    /// Where statements are counted, if they are.
    statements_in: Option<String>,
    before: Option<Vec<Statement>>,
    slowly: Option<(Instant, Vec<Answer>)>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What a question gave, or why nothing.
pub(in super::super) type Answer = (&'static Query, Result<Vec<Row>, String>);

/// A round.
#[derive(Debug)]
pub(in super::super) struct Read {
    pub(in super::super) answers: Vec<Answer>,
    /// What statements took, now and a round before; none where nobody counts.
    pub(in super::super) statements: Option<Vec<Statement>>,
    pub(in super::super) before: Option<Vec<Statement>>,
    pub(in super::super) running: Vec<Running>,
    /// How long the server took for its first answer.
    pub(in super::super) took: Duration,
}

/// Connects to the first of these databases that is there.
pub(super) async fn connect(address: &Address, databases: &BTreeSet<String>) -> Result<Connection, String> {
    let (config, verified) = config(address)?;
    let mut why = "its address names no database".to_owned();
    let names = databases.iter().map(String::as_str).chain(databases.is_empty().then_some("postgres"));
    for name in names {
        let mut config = config.clone();
        config.dbname(name);
        match config.connect(tls::ForPostgres(tls::connector(verified)?)).await {
            Ok((client, connection)) => {
                // It ends with the connection; why it does, whoever asks next is told.
                let driver = tokio::spawn(async move { drop(connection.await) });
                return Ok(Connection { client, driver, statements_in: None, before: None, slowly: None });
            }
            Err(error) => {
                let other = error.code() == Some(&SqlState::INVALID_CATALOG_NAME);
                why = in_words(&error);
                if !other {
                    break;
                }
            }
        }
    }
    Err(why)
}

fn config(address: &Address) -> Result<(Config, bool), String> {
    let mut url = address.url()?;
    let mode = url.query_pairs().find(|(key, _)| key == "sslmode").map(|(_, value)| value.into_owned());
    // What else stands there is for other clients.
    url.set_query(None);
    let config = Config::from_str(url.as_str());
    let mut config = config.map_err(|_| "its address is not understood; see docs/WATCH.md".to_owned())?;
    let (mode, verified) = match mode.as_deref() {
        Some("disable") => (SslMode::Disable, false),
        Some("require") => (SslMode::Require, false),
        Some("verify-ca" | "verify-full") => (SslMode::Require, true),
        _ => (SslMode::Prefer, false),
    };
    config.ssl_mode(mode).application_name(APPLICATION).options(OPTIONS);
    Ok((config, verified))
}

impl Connection {
    /// Whether the server still is at the other end, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Asks everything of a round.
    pub(super) async fn ask(&mut self) -> Result<Read, String> {
        let began = Instant::now();
        let mut answers = Vec::new();
        let mut took = None;
        for query in EACH_ROUND {
            answers.push((query, self.rows(query.sql).await?));
            took.get_or_insert_with(|| began.elapsed());
        }
        if self.slowly.as_ref().is_none_or(|(asked, _)| asked.elapsed() >= NOW_AND_THEN_EVERY) {
            let at = self.rows(STATEMENTS_AT).await?.unwrap_or_default();
            self.statements_in = statements_at(&at).map(str::to_owned);
            let mut slowly = Vec::new();
            for query in NOW_AND_THEN {
                slowly.push((query, self.rows(query.sql).await?));
            }
            self.slowly = Some((Instant::now(), slowly));
        }
        answers.extend(self.slowly.iter().flat_map(|(_, slowly)| slowly.clone()));
        let counted = match &self.statements_in {
            Some(schema) => self.rows(&statements_sql(schema)).await?.ok().and_then(|rows| statements(&rows).ok()),
            None => None,
        };
        let running = self.rows(RUNNING).await?.ok().and_then(|rows| running(&rows).ok()).unwrap_or_default();
        let before = std::mem::replace(&mut self.before, counted.clone());
        Ok(Read { answers, statements: counted, before, running, took: took.unwrap_or_default() })
    }

    /// A question's rows; why it was refused, if it was. An error is the connection's.
    async fn rows(&self, sql: &str) -> Result<Result<Vec<Row>, String>, String> {
        match self.client.simple_query(&format!("{MARK}{sql}")).await {
            Ok(messages) => Ok(Ok(messages
                .into_iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => {
                        Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
                    }
                    _ => None,
                })
                .take(MAX_ROWS)
                .collect())),
            Err(error) if error.as_db_error().is_some() && !self.client.is_closed() => Ok(Err(in_words(&error))),
            Err(error) => Err(in_words(&error)),
        }
    }
}

/// What the server or the way there said, without the address.
fn in_words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let behind = std::iter::successors(std::error::Error::source(error), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_how_the_way_is_protected_and_what_is_for_others_is_left_out() {
        for (text, mode, verified) in [
            ("postgres://u:p%40ss@db.example:5433/shop", SslMode::Prefer, false),
            (
                "postgres://u:p%40ss@db.example:5433/shop?sslmode=require&statement_cache_capacity=0",
                SslMode::Require,
                false,
            ),
            ("postgresql://u:p%40ss@db.example:5433/shop?sslmode=verify-full", SslMode::Require, true),
            ("postgres://u:p%40ss@db.example:5433/shop?sslmode=disable", SslMode::Disable, false),
        ] {
            let (config, is_verified) = config(&Address::new(text.to_owned())).expect("understood");
            assert_eq!((config.get_ssl_mode(), is_verified), (mode, verified), "{text}");
            assert_eq!(config.get_password(), Some(&b"p@ss"[..]));
            assert_eq!((config.get_ports(), config.get_user()), (&[5433][..], Some("u")));
        }
        let why = config(&Address::new("postgres://u:secret@[x/".to_owned())).expect_err("no address");
        assert!(!why.contains("secret"), "{why}");
    }
}
