//! A server of PostgreSQL, asked over one connection that only reads.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use mana_watch::postgres::{
    COUNTING, Counting, EACH_ROUND, MARK, NOW_AND_THEN, Query, RUNNING, Row, Running, Statement, counting, running,
    statements, statements_sql,
};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::tls::Trusted;
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
    /// Whether statements are counted, as far as the server has said.
    counting: Option<Counting>,
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
    /// Whether statements are counted; none where the server did not say.
    pub(in super::super) counting: Option<Counting>,
    /// What statements took, now and a round before; none where nobody counts.
    pub(in super::super) statements: Option<Vec<Statement>>,
    pub(in super::super) before: Option<Vec<Statement>>,
    pub(in super::super) running: Vec<Running>,
    /// How long the server took for its first answer.
    pub(in super::super) took: Duration,
}

/// Connects to the first of these databases that is there.
pub(super) async fn connect(address: &Address, databases: &BTreeSet<String>) -> Result<Connection, String> {
    let (config, trusted) = config(address)?;
    let connector = tls::connector(&trusted)?;
    let mut why = "its address names no database".to_owned();
    let names = databases.iter().map(String::as_str).chain(databases.is_empty().then_some("postgres"));
    for name in names {
        let mut config = config.clone();
        config.dbname(name);
        match config.connect(tls::ForPostgres(connector.clone())).await {
            Ok((client, connection)) => {
                // It ends with the connection; why it does, whoever asks next is told.
                let driver = tokio::spawn(async move { drop(connection.await) });
                return Ok(Connection { client, driver, counting: None, before: None, slowly: None });
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

/// How to connect, and who may answer, as `libpq` understands `sslmode` and `sslrootcert`.
fn config(address: &Address) -> Result<(Config, Trusted), String> {
    let mut url = address.url()?;
    let said = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let (mode, authorities) = (said("sslmode"), said("sslrootcert").filter(|file| file != "system"));
    // What else stands there is for other clients.
    url.set_query(None);
    let config = Config::from_str(url.as_str());
    let mut config = config.map_err(|_| "its address is not understood; see docs/WATCH.md".to_owned())?;
    let (mode, trusted) = match (mode.as_deref(), authorities.map(PathBuf::from)) {
        (_, Some(file)) if !file.is_absolute() => {
            return Err(format!("its `sslrootcert` has to be an absolute path, and is {}", file.display()));
        }
        (Some("disable"), _) => (SslMode::Disable, Trusted::Anybody),
        (Some("verify-full"), Some(file)) => (SslMode::Require, Trusted::Authorities { file, any_name: false }),
        // With authorities to ask, `require` asks them.
        (Some("require" | "verify-ca"), Some(file)) => {
            (SslMode::Require, Trusted::Authorities { file, any_name: true })
        }
        (Some("verify-ca" | "verify-full"), None) => (SslMode::Require, Trusted::ByThisMachine),
        (Some("require"), None) => (SslMode::Require, Trusted::Anybody),
        _ => (SslMode::Prefer, Trusted::Anybody),
    };
    config.ssl_mode(mode).application_name(APPLICATION).options(OPTIONS);
    Ok((config, trusted))
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
            self.counting = self.rows(COUNTING).await?.ok().and_then(|rows| counting(&rows).ok());
            let mut slowly = Vec::new();
            for query in NOW_AND_THEN {
                slowly.push((query, self.rows(query.sql).await?));
            }
            self.slowly = Some((Instant::now(), slowly));
        }
        answers.extend(self.slowly.iter().flat_map(|(_, slowly)| slowly.clone()));
        let counted = self.counted().await?;
        let running = self.rows(RUNNING).await?.ok().and_then(|rows| running(&rows).ok()).unwrap_or_default();
        let before = std::mem::replace(&mut self.before, counted.clone());
        let counting = self.counting.clone();
        Ok(Read { answers, counting, statements: counted, before, running, took: took.unwrap_or_default() })
    }

    /// What statements took. A server that refuses to tell is not asked until it is next asked whether it counts.
    async fn counted(&mut self) -> Result<Option<Vec<Statement>>, String> {
        let Some(sql) = self.counting.as_ref().and_then(Counting::schema).map(statements_sql) else { return Ok(None) };
        let told = self.rows(&sql).await?;
        let told = told.and_then(|rows| statements(&rows).map_err(|strange| format!("an unknown form: {strange:?}")));
        match (told, &mut self.counting) {
            (Ok(statements), _) => Ok(Some(statements)),
            (Err(why), Some(counting)) => {
                counting.refuse(why);
                Ok(None)
            }
            (Err(_), None) => Ok(None),
        }
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
        let by_file = |any_name| Trusted::Authorities { file: "/etc/ca.pem".into(), any_name };
        for (more, mode, trusted) in [
            ("", SslMode::Prefer, Trusted::Anybody),
            ("?sslmode=require&statement_cache_capacity=0", SslMode::Require, Trusted::Anybody),
            ("?sslmode=require&sslrootcert=/etc/ca.pem", SslMode::Require, by_file(true)),
            ("?sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-ca", SslMode::Require, by_file(true)),
            ("?sslmode=verify-full&sslrootcert=/etc/ca.pem", SslMode::Require, by_file(false)),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Trusted::ByThisMachine),
            ("?sslmode=verify-full", SslMode::Require, Trusted::ByThisMachine),
            ("?sslmode=disable", SslMode::Disable, Trusted::Anybody),
        ] {
            let text = format!("postgres://u:p%40ss@db.example:5433/shop{more}");
            let (config, whom) = config(&Address::new(text.clone())).expect("understood");
            assert_eq!((config.get_ssl_mode(), whom), (mode, trusted), "{text}");
            assert_eq!(config.get_password(), Some(&b"p@ss"[..]));
            assert_eq!((config.get_ports(), config.get_user()), (&[5433][..], Some("u")));
        }
        let relative = "postgres://u:secret@db.example/shop?sslmode=verify-full&sslrootcert=ca.pem";
        let why = config(&Address::new(relative.to_owned())).expect_err("no place");
        assert!(why.contains("ca.pem") && !why.contains("secret"), "{why}");
        let why = config(&Address::new("postgres://u:secret@[x/".to_owned())).expect_err("no address");
        assert!(!why.contains("secret"), "{why}");
    }
}
