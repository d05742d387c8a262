//! PostgreSQL 13 and later: what to ask it, and what its answers say. Names are postgres_exporter's where it has one.
//!
//! Nothing here connects. Whoever has a connection (of a role that is a member of `pg_monitor`, or of the one whose statements are to be seen)
//! runs each [`Query`], with [`MARK`] before it, and gives its rows, all of their columns as text. [`EACH_ROUND`] is cheap; [`NOW_AND_THEN`] looks at files of the databases.
//! Statements' texts go through [`plain_text`] before anybody sees them.

mod activity;
mod databases;
mod row;
mod slowest;
mod statements;
mod text;

pub use activity::{CONNECTIONS, RUNNING, Running, SLOW_SECONDS, running};
pub use row::{Query, Row};
pub use slowest::{by_application, put_running, put_slowest};
pub use statements::{
    COUNTING, Counting, CountingState, MARK, MAX_STATEMENTS, Statement, counting, put_statements, statements,
    statements_sql,
};
pub use text::{MAX_TEXT, plain_text};

use crate::gather::Sink;

/// Most databases that are measured.
pub const MAX_DATABASES: usize = 50;

/// To be asked each round.
pub const EACH_ROUND: [&Query; 4] =
    [&databases::SERVER, &databases::COUNTERS, &activity::CONNECTIONS, &activity::WAITING];
/// To be asked every few minutes.
pub const NOW_AND_THEN: [&Query; 1] = [&databases::SIZES];

/// Puts that PostgreSQL did not answer.
pub fn down(sink: &mut dyn Sink) {
    sink.put("pg_up", &[], 0.0);
}
