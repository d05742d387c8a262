//! A server of PostgreSQL, asked over one connection that only reads.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mana_watch::postgres::{
    COUNTING, Counting, EACH_ROUND, MARK, NOW_AND_THEN, Query, RUNNING, Row, Running, Statement, counting, running,
    statements, statements_sql,
};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use super::Address;
use crate::postgres::{self, Server, Unreachable, in_words};

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
    server: postgres::Connection,
    /// Whether statements are counted, as far as the server has said.
    counting: Option<Counting>,
    before: Option<Vec<Statement>>,
    slowly: Option<(Instant, Vec<Answer>)>,
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
    let server = Server::new(address.url()?, APPLICATION, OPTIONS)?;
    let mut why = "its address names no database".to_owned();
    let names = databases.iter().map(String::as_str).chain(databases.is_empty().then_some("postgres"));
    for name in names {
        let mut server = server.clone();
        server.config.dbname(name);
        match server.connect().await {
            Ok(server) => return Ok(Connection { server, counting: None, before: None, slowly: None }),
            Err(error) => {
                why = error.to_string();
                let other = matches!(&error, Unreachable::Server(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME));
                if !other {
                    break;
                }
            }
        }
    }
    Err(why)
}

impl Connection {
    /// Whether the server still is at the other end, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.server.client.is_closed()
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
        match self.server.client.simple_query(&format!("{MARK}{sql}")).await {
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
            Err(error) if error.as_db_error().is_some() && !self.server.client.is_closed() => Ok(Err(in_words(&error))),
            Err(error) => Err(in_words(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_wrong_with_an_address_is_said_without_it() {
        let address = Address::new("postgres://u:secret@[x/".to_owned());
        let Err(why) = connect(&address, &BTreeSet::new()).await else { panic!("no address") };
        assert!(!why.contains("secret"), "{why}");
    }
}
