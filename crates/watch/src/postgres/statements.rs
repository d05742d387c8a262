//! What statements took, as `pg_stat_statements` counts it, where that extension is loaded and made in the database that is asked.

use super::row::{Row, number, strange, text};
use super::text::plain_text;
use crate::gather::{Sink, Strange};

/// Most statements that are measured on their own: those that took most time.
pub const MAX_STATEMENTS: usize = 20;

/// In which schema the extension is and whether the server counts: one row for [`statements_at`], or none where it is not made.
pub const STATEMENTS_AT: &str = "select n.nspname::text,
       (current_setting('shared_preload_libraries') like '%pg_stat_statements%')::text
from pg_extension e join pg_namespace n on n.oid = e.extnamespace
where e.extname = 'pg_stat_statements'";

/// A statement in all of its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Where.
    pub database: String,
    /// PostgreSQL's number of it.
    pub id: String,
    /// How often it ran.
    pub calls: f64,
    /// What all runs took.
    pub total_seconds: f64,
    /// What the longest took.
    pub max_seconds: f64,
    /// Rows it gave or changed.
    pub rows: f64,
    /// Blocks that it found in the cache.
    pub blocks_hit: f64,
    /// Blocks that it did not find there.
    pub blocks_read: f64,
    /// Its text, without values.
    pub text: String,
}

impl Statement {
    /// What a run takes.
    #[must_use]
    pub fn mean_seconds(&self) -> f64 {
        if self.calls > 0.0 { self.total_seconds / self.calls } else { 0.0 }
    }
}

/// The schema to ask in; none where the server does not count, and [`super::RUNNING`] is all there is.
#[must_use]
pub fn statements_at(rows: &[Row]) -> Option<&str> {
    rows.first().filter(|row| text(row, 1) == "true").map(|row| text(row, 0)).filter(|schema| !schema.is_empty())
}

/// What whoever asks begins each of its own statements with, so that they are not among those that are told of.
pub const MARK: &str = "/* mana-watch */ ";

/// What to ask for the statements that took most time, for [`statements`]. Those that begin with [`MARK`] are not among them.
#[must_use]
pub fn statements_sql(schema: &str) -> String {
    let schema = schema.replace('"', "\"\"");
    format!(
        "select d.datname::text, s.queryid::text, sum(s.calls)::text, (sum(s.total_exec_time) / 1000)::text,
       (max(s.max_exec_time) / 1000)::text, sum(s.rows)::text, sum(s.shared_blks_hit)::text, sum(s.shared_blks_read)::text,
       left(min(s.query), 4000)
from \"{schema}\".pg_stat_statements s join pg_database d on d.oid = s.dbid
where s.queryid is not null and s.calls > 0 and left(s.query, 16) <> '/* mana-watch */'
group by d.datname, s.queryid
order by sum(s.total_exec_time) desc
limit {MAX_STATEMENTS}"
    )
}

/// The rows of [`statements_sql`].
///
/// # Errors
/// A row of an unknown form.
pub fn statements(rows: &[Row]) -> Result<Vec<Statement>, Strange> {
    let read = |row: &Row| {
        let needed = |column| number(row, column)?.ok_or_else(|| strange(row));
        Ok(Statement {
            database: text(row, 0).to_owned(),
            id: text(row, 1).to_owned(),
            calls: needed(2)?,
            total_seconds: needed(3)?,
            max_seconds: needed(4)?,
            rows: needed(5)?,
            blocks_hit: needed(6)?,
            blocks_read: needed(7)?,
            text: plain_text(text(row, 8)),
        })
    };
    rows.iter().take(MAX_STATEMENTS).map(read).collect()
}

/// Puts what statements took. The text is a label of one series only, so that it is kept once.
pub fn put_statements(statements: &[Statement], sink: &mut dyn Sink) {
    for statement in statements {
        let labels = [("datname", statement.database.as_str()), ("queryid", &statement.id)];
        sink.put("pg_stat_statements_calls_total", &labels, statement.calls);
        sink.put("pg_stat_statements_seconds_total", &labels, statement.total_seconds);
        sink.put("pg_stat_statements_mean_seconds", &labels, statement.mean_seconds());
        sink.put("pg_stat_statements_max_seconds", &labels, statement.max_seconds);
        sink.put("pg_stat_statements_rows_total", &labels, statement.rows);
        sink.put("pg_stat_statements_blocks_hit_total", &labels, statement.blocks_hit);
        sink.put("pg_stat_statements_blocks_read_total", &labels, statement.blocks_read);
        let [database, id] = labels;
        sink.put("pg_stat_statements_query_info", &[database, id, ("query", &statement.text)], 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::row;
    use super::*;
    use crate::gather::Found;

    #[test]
    fn statements_are_counted_and_their_text_is_kept_once() {
        let rows = [row(&["shop", "-42", "10", "2.5", "1.5", "100", "7", "3", "select * from cart where id = $1"])];
        let statements = statements(&rows).expect("a statement");
        assert_eq!(statements[0].mean_seconds().to_bits(), 0.25_f64.to_bits());
        let found = Found::by(|sink| put_statements(&statements, sink));
        let labels = [("datname", "shop"), ("queryid", "-42")];
        assert_eq!(found.get("pg_stat_statements_calls_total", &labels), Some(10.0));
        assert_eq!(found.get("pg_stat_statements_mean_seconds", &labels), Some(0.25));
        let info = [labels[0], labels[1], ("query", "select * from cart where id = ?")];
        assert_eq!(found.get("pg_stat_statements_query_info", &info), Some(1.0));
        assert_eq!(found.values.iter().filter(|(labels, _)| !labels.get("query").is_empty()).count(), 1);
        assert!(super::statements(&[row(&["shop", "1", "null", "1", "1", "1", "1", "1", ""])]).is_err());
    }

    /// What a PostgreSQL 15.18 that counts said to [`statements_sql`], asked by a member of `pg_monitor`.
    const RECORDED: &str = include_str!("../../tests/postgres/statements-15.18.tsv");

    #[test]
    fn a_real_servers_statements_are_read_and_a_password_in_them_is_not_told() {
        let rows: Vec<Row> = RECORDED.lines().map(|line| row(&line.split('\t').collect::<Vec<_>>())).collect();
        let statements = statements(&rows).expect("statements");
        assert_eq!(statements.len(), 13);
        let slowest = (statements[0].calls.to_bits(), statements[0].text.as_str());
        assert_eq!(slowest, (5_f64.to_bits(), "select pg_sleep(?)"));
        assert!(RECORDED.contains("password 'not to be told 5'"));
        assert!(statements.iter().any(|statement| statement.text == "alter role watcher password ?"));
        assert!(statements.iter().all(|statement| !statement.text.contains("not to be told")));
        let cart = "select sum(total) from cart where customer like ? and id in (?, …)";
        assert!(statements.iter().any(|statement| statement.text == cart));
    }

    #[test]
    fn only_a_server_that_counts_is_asked() {
        assert_eq!(statements_at(&[]), None);
        assert_eq!(statements_at(&[row(&["public", "false"])]), None);
        assert_eq!(statements_at(&[row(&["public", "true"])]), Some("public"));
        assert!(statements_sql("a\"b").contains("from \"a\"\"b\".pg_stat_statements s"));
    }
}
