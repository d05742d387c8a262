//! What statements took, as `pg_stat_statements` counts it, where that extension is loaded and made in the database that is asked.

use super::row::{Row, number, strange, text};
use super::text::plain_text;
use crate::gather::{Sink, Strange, Unknown, Why};

/// Statements that are measured on their own since all their runs took most time.
const MOST_OF_ALL: usize = 20;
/// Likewise, since one run of them takes longest: on average, or took longest once. A rare one is among the former for neither.
const LONGEST: usize = 10;
/// Most statements that are measured on their own.
pub const MAX_STATEMENTS: usize = MOST_OF_ALL + 2 * LONGEST;

/// Where statements are counted, for [`counting`]. Whoever may not read a server's settings is not told whether the extension is loaded.
pub const COUNTING: &str = "select
       (select n.nspname::text from pg_extension e join pg_namespace n on n.oid = e.extnamespace
        where e.extname = 'pg_stat_statements'),
       case when pg_has_role('pg_read_all_settings', 'usage')
            then (current_setting('shared_preload_libraries') like '%pg_stat_statements%')::text end,
       pg_has_role('pg_read_all_stats', 'usage')::text,
       current_database()::text";

/// Whether statements are counted and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counting {
    /// The database that was asked. The extension has to be made there; it counts those of all databases.
    pub database: String,
    /// How it is.
    pub state: CountingState,
}

/// See [`Counting`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountingState {
    /// All of them, in this schema.
    All(String),
    /// Likewise, but whoever asks is told of its own role's only.
    Own(String),
    /// The extension is not made in the database.
    NotMade,
    /// It is made, and the server was started without it.
    NotLoaded,
    /// The server does not tell, and why.
    Refused(String),
}

/// The row of [`COUNTING`].
///
/// # Errors
/// A row of an unknown form.
pub fn counting(rows: &[Row]) -> Result<Counting, Strange> {
    let [row] = rows else { return Err(Strange::new(&format!("{} rows", rows.len()))) };
    let schema = text(row, 0).to_owned();
    let state = match (schema.is_empty(), text(row, 1), text(row, 2)) {
        (true, ..) => CountingState::NotMade,
        (_, "false", _) => CountingState::NotLoaded,
        (.., "true") => CountingState::All(schema),
        (.., "false") => CountingState::Own(schema),
        _ => return Err(strange(row)),
    };
    Ok(Counting { database: text(row, 3).to_owned(), state })
}

impl Counting {
    /// The schema to ask in, for [`statements_sql`]; none where nobody counts, and [`super::RUNNING`] is all there is.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        match &self.state {
            CountingState::All(schema) | CountingState::Own(schema) => Some(schema),
            CountingState::NotMade | CountingState::NotLoaded | CountingState::Refused(_) => None,
        }
    }

    /// The server refused [`statements_sql`].
    pub fn refuse(&mut self, why: String) {
        // The setting's name is in the refusal whatever language the server speaks.
        let loaded = !why.contains("shared_preload_libraries");
        self.state = if loaded { CountingState::Refused(why) } else { CountingState::NotLoaded };
    }

    /// Puts how it is: 1 where statements are told.
    pub fn put(&self, sink: &mut dyn Sink) {
        let state = match &self.state {
            CountingState::All(_) => "all",
            CountingState::Own(_) => "own",
            CountingState::NotMade => "not_made",
            CountingState::NotLoaded => "not_loaded",
            CountingState::Refused(why) => {
                sink.unknown(Unknown::new("what statements took", "pg_stat_statements", Why::Unreadable(why.clone())));
                "refused"
            }
        };
        let told = f64::from(u8::from(self.schema().is_some()));
        sink.put("mana_statements_counted", &[("datname", &self.database), ("state", state)], told);
    }
}

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

/// What whoever asks begins each of its own statements with, so that they are not among those that are told of.
pub const MARK: &str = "/* mana-watch */ ";

/// What to ask for the statements that took most time, in all or in one run, for [`statements`]; those of most time first. Those that begin with
/// [`MARK`] are not among them.
#[must_use]
pub fn statements_sql(schema: &str) -> String {
    let schema = schema.replace('"', "\"\"");
    format!(
        "with counted as (
  select d.datname::text as place, s.queryid::text as id, sum(s.calls) as runs, sum(s.total_exec_time) / 1000 as took,
         max(s.max_exec_time) / 1000 as longest, sum(s.rows) as given, sum(s.shared_blks_hit) as hit,
         sum(s.shared_blks_read) as missed, left(min(s.query), 4000) as statement
  from \"{schema}\".pg_stat_statements s join pg_database d on d.oid = s.dbid
  where s.queryid is not null and s.calls > 0 and left(s.query, 16) <> '/* mana-watch */'
  group by d.datname, s.queryid
), ranked as (
  select *, row_number() over (order by took desc) as of_all, row_number() over (order by took / runs::float8 desc) as of_mean,
         row_number() over (order by longest desc) as of_longest
  from counted
)
select place, id, runs::text, took::text, longest::text, given::text, hit::text, missed::text, statement
from ranked
where of_all <= {MOST_OF_ALL} or of_mean <= {LONGEST} or of_longest <= {LONGEST}
order by took desc"
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
    fn only_a_server_that_counts_is_asked_and_of_others_is_said_why_they_do_not() {
        for (told, state, schema, name) in [
            (["null", "true", "true", "shop"], CountingState::NotMade, None, "not_made"),
            (["null", "null", "false", "shop"], CountingState::NotMade, None, "not_made"),
            (["public", "false", "true", "shop"], CountingState::NotLoaded, None, "not_loaded"),
            (["public", "true", "true", "shop"], CountingState::All("public".into()), Some("public"), "all"),
            (["public", "null", "false", "shop"], CountingState::Own("public".into()), Some("public"), "own"),
        ] {
            let counting = counting(&[row(&told)]).expect("a row");
            assert_eq!((&counting.state, counting.schema()), (&state, schema), "{told:?}");
            let found = Found::by(|sink| counting.put(sink));
            let value = found.get("mana_statements_counted", &[("datname", "shop"), ("state", name)]);
            assert_eq!(value, Some(f64::from(u8::from(schema.is_some()))), "{told:?}");
        }
        assert!(counting(&[]).is_err() && counting(&[row(&["public", "true", "null", "shop"])]).is_err());
        let sql = statements_sql("a\"b");
        assert!(sql.contains("from \"a\"\"b\".pg_stat_statements s"));
        // What is rare and slow is asked for besides what takes most time in all.
        assert!(sql.contains("of_all <= 20 or of_mean <= 10 or of_longest <= 10"), "{sql}");
    }

    #[test]
    fn a_refusal_is_not_asked_for_again_and_told() {
        let told = [row(&["public", "null", "false", "shop"])];
        let mut not_loaded = counting(&told).expect("a row");
        not_loaded.refuse("pg_stat_statements must be loaded via \"shared_preload_libraries\"".into());
        assert_eq!((not_loaded.schema(), &not_loaded.state), (None, &CountingState::NotLoaded));
        let mut refused = counting(&told).expect("a row");
        refused.refuse("permission denied for schema x".into());
        let found = Found::by(|sink| refused.put(sink));
        assert_eq!(found.get("mana_statements_counted", &[("datname", "shop"), ("state", "refused")]), Some(0.0));
        assert!(found.unknown[0].to_string().contains("permission denied for schema x"));
    }
}
