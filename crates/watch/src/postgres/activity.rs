//! Who is connected and what for: connections by state, the oldest transaction, who waits for a lock, what runs for long.

use super::databases::each_database;
use super::row::{Query, Row, number, put_numbers, strange, text};
use super::text::plain_text;
use crate::gather::{Sink, Strange};

/// Most rows of connections: databases times users times programs times states.
const MAX_GROUPS: usize = 300;
/// From when on a statement counts as slow.
pub const SLOW_SECONDS: f64 = 0.2;

/// Connections and the age of their oldest transaction, by whom and in which state. Six states of each database are always there, so that a count
/// falls to zero rather than ending.
pub const CONNECTIONS: Query = Query {
    what: "connections",
    view: "pg_stat_activity",
    sql: "with states(state) as (
  values ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'),
         ('fastpath function call'), ('disabled')),
clients as (
  select datname, usename, application_name, coalesce(state, 'unknown') as state, pid, xact_start
  from pg_stat_activity where backend_type = 'client backend' and datname is not null)
select d.datname::text, '', '', s.state,
       (select count(*) from clients c where c.datname = d.datname and c.state = s.state)::text,
       (select coalesce(max(extract(epoch from clock_timestamp() - c.xact_start)), 0) from clients c
        where c.datname = d.datname and c.state = s.state and c.pid <> pg_backend_pid())::text
from pg_database d cross join states s
where not d.datistemplate
union all
(select datname::text, coalesce(usename, '')::text, left(coalesce(application_name, ''), 63), state, count(*)::text, null
from clients
where pid <> pg_backend_pid()
group by 1, 2, 3, 4
order by count(*) desc, 1, 2, 3, 4
limit 100)
order by 1, 2, 3, 4",
    columns: 6,
    put: connections,
};

/// Who waits for a lock, and how long the one has waited that waits longest.
pub(super) const WAITING: Query = Query {
    what: "who waits for locks",
    view: "pg_stat_activity",
    sql: "select d.datname::text,
       count(a.pid)::text,
       coalesce(max(extract(epoch from clock_timestamp() - a.query_start)), 0)::text
from pg_database d
left join pg_stat_activity a on a.datid = d.oid and a.wait_event_type = 'Lock'
where not d.datistemplate
group by d.datname
order by d.datname",
    columns: 3,
    put: waiting,
};

/// What runs now, longest first: each column is text, for [`running`]. Where `pg_stat_statements` is not there it tells of slow statements while
/// they run.
pub const RUNNING: &str =
    "select datname::text, pid::text, coalesce(usename, '')::text, coalesce(application_name, ''), coalesce(state, ''),
       extract(epoch from clock_timestamp() - query_start)::text,
       coalesce(wait_event_type, ''), left(query, 4000)
from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid() and state not like 'idle%' and datname is not null
order by query_start
limit 20";

/// A statement that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Where.
    pub database: String,
    /// The process of the server that runs it.
    pub pid: u32,
    /// Whose.
    pub user: String,
    /// The program that said its name when it connected.
    pub application: String,
    /// For how long.
    pub seconds: f64,
    /// It waits for a lock.
    pub waits_for_lock: bool,
    /// Its text, without values.
    pub text: String,
}

/// The rows of [`RUNNING`].
///
/// # Errors
/// A row of an unknown form.
pub fn running(rows: &[Row]) -> Result<Vec<Running>, Strange> {
    let read = |row: &Row| {
        let [_, pid, .., _, _] = row.as_slice() else { return Err(strange(row)) };
        Ok(Running {
            database: text(row, 0).to_owned(),
            pid: pid.as_deref().and_then(|pid| pid.parse().ok()).ok_or_else(|| strange(row))?,
            user: text(row, 2).to_owned(),
            application: text(row, 3).to_owned(),
            seconds: number(row, 5)?.unwrap_or_default().max(0.0),
            waits_for_lock: text(row, 6) == "Lock",
            text: plain_text(text(row, 7)),
        })
    };
    rows.iter().map(read).collect()
}

fn connections(rows: &[Row], sink: &mut dyn Sink) -> Result<(), Strange> {
    for row in rows.iter().take(MAX_GROUPS) {
        let (database, user, application, state) = (text(row, 0), text(row, 1), text(row, 2), text(row, 3));
        if user.is_empty() && application.is_empty() {
            let names = ["pg_stat_activity_count", "pg_stat_activity_max_tx_duration"];
            put_numbers(row, 4, &names, &[("datname", database), ("state", state)], sink)?;
        } else {
            let labels =
                [("datname", database), ("usename", user), ("application_name", application), ("state", state)];
            put_numbers(row, 4, &["pg_stat_activity_connections"], &labels, sink)?;
        }
    }
    Ok(())
}

fn waiting(rows: &[Row], sink: &mut dyn Sink) -> Result<(), Strange> {
    each_database(rows, &["pg_locks_waiting_count", "pg_locks_max_wait_seconds"], sink)
}

#[cfg(test)]
mod tests {
    use super::super::row::row;
    use super::*;
    use crate::gather::Found;

    #[test]
    fn connections_are_counted_by_state_and_by_whose_they_are() {
        let rows = [
            row(&["shop", "", "", "active", "3", "12.5"]),
            row(&["shop", "", "", "idle", "0", "0"]),
            row(&["shop", "shop", "shop-backend", "active", "3", "null"]),
        ];
        let found = Found::by(|sink| CONNECTIONS.put(&rows, sink));
        let active = [("datname", "shop"), ("state", "active")];
        assert_eq!(found.get("pg_stat_activity_count", &active), Some(3.0));
        assert_eq!(found.get("pg_stat_activity_max_tx_duration", &active), Some(12.5));
        assert_eq!(found.get("pg_stat_activity_count", &[("datname", "shop"), ("state", "idle")]), Some(0.0));
        let whose =
            [("datname", "shop"), ("usename", "shop"), ("application_name", "shop-backend"), ("state", "active")];
        assert_eq!(found.get("pg_stat_activity_connections", &whose), Some(3.0));
        assert_eq!(found.values.len(), 5);
    }

    #[test]
    fn a_running_statement_is_told_without_its_values() {
        let rows = [row(&["shop", "17", "shop", "psql", "active", "-0.01", "Lock", "select 'secret' from t"])];
        let running = running(&rows).expect("a statement");
        assert_eq!(
            (running[0].pid, running[0].seconds.to_bits(), running[0].waits_for_lock),
            (17, 0_f64.to_bits(), true)
        );
        assert_eq!(running[0].text, "select ? from t");
        assert!(super::running(&[row(&["shop", "x", "", "", "", "1", "", ""])]).is_err());
        assert!(super::running(&[row(&["shop", "17"])]).is_err());
    }
}
