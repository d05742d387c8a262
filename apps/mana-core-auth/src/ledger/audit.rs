//! `check-ledger`: whether the books are right, asked of the database itself.

use std::time::Duration;

use kit::clock;
use kit::database::Database;
use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::time;

/// Each of these finds nothing in books that are right.
const CHECKS: [(&str, &str); 5] = [
    (
        "postings whose entries do not sum to zero",
        "SELECT CAST(posting_id AS TEXT) AS what FROM entries GROUP BY posting_id HAVING SUM(amount) <> 0",
    ),
    (
        "postings without entries",
        "SELECT CAST(p.id AS TEXT) AS what FROM postings p WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.posting_id = p.id)
         AND p.kind <> 'settle'",
    ),
    (
        "balances that are not the sum of their entries",
        "SELECT CAST(b.user_id AS TEXT) AS what FROM balances b WHERE b.available <>
         COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.user_id = b.user_id AND e.account = 'user'), 0)",
    ),
    (
        "users whose held credits are not their open reservations",
        "SELECT CAST(b.user_id AS TEXT) AS what FROM balances b WHERE
         COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.user_id = b.user_id AND e.account = 'held'), 0) <>
         COALESCE((SELECT SUM(r.amount) FROM reservations r WHERE r.user_id = b.user_id AND r.state = 'held'), 0)",
    ),
    ("a sum over all accounts that is not zero", "SELECT 'all' AS what FROM (SELECT SUM(amount) AS total FROM entries) sums WHERE total <> 0"),
];

/// How long after its time a reservation may still be held: longer than housekeeping ever waits.
const OVERDUE: Duration = Duration::from_mins(10);

/// Most offenders that are named by one check.
const NAMED: usize = 20;

/// What is wrong, a line each; empty when the books are right.
pub(crate) async fn findings(database: &Database) -> Result<Vec<String>, DbErr> {
    let overdue = format!(
        "SELECT CAST(id AS TEXT) AS what FROM reservations WHERE state = 'held' AND expires_at < {}",
        time::earlier(clock::now(), OVERDUE)
    );
    let checks = CHECKS.map(|(what, query)| (what, query.to_owned()));
    let overdue = ("reservations that are held past their time (does the service run?)", overdue);
    let mut findings = Vec::new();
    for (what, query) in checks.into_iter().chain([overdue]) {
        let rows = database.query_all_raw(Statement::from_string(database.engine(), query)).await?;
        if !rows.is_empty() {
            let named: Vec<String> = rows.iter().take(NAMED).map(|row| name(row, what)).collect();
            findings.push(format!("{} {what}: {}", rows.len(), named.join(", ")));
        }
    }
    Ok(findings)
}

fn name(row: &sea_orm::QueryResult, what: &str) -> String {
    // SQLite keeps ids as bytes; what cannot be read as text is still counted above.
    row.try_get("", "what").unwrap_or_else(|_| format!("({what})"))
}
