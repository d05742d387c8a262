//! `check-ledger`: whether the books are right, asked of the database itself.

use std::time::Duration;

use kit::clock;
use kit::database::Database;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait};

use super::Now;
use crate::time;

/// Each of these finds nothing in books that are right. They are asked of whole tables: each groups what it compares once, since a
/// look for each row takes as long as a person's rows are many, squared.
const CHECKS: [(&str, &str); 18] = [
    (
        "balances below zero",
        "SELECT CAST(user_id AS TEXT) AS what FROM balances WHERE available < 0 OR paid < 0",
    ),
    (
        "postings whose entries do not sum to zero",
        "SELECT CAST(posting_id AS TEXT) AS what FROM entries GROUP BY posting_id HAVING SUM(amount) <> 0",
    ),
    (
        "postings without entries",
        "SELECT CAST(p.id AS TEXT) AS what FROM postings p WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.posting_id = p.id)",
    ),
    (
        "free credits that are not the sum of their entries",
        "SELECT CAST(b.user_id AS TEXT) AS what FROM balances b WHERE b.available <>
         COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.user_id = b.user_id AND e.account = 'user'), 0)",
    ),
    (
        "paid credits that are not the sum of their entries",
        "SELECT CAST(b.user_id AS TEXT) AS what FROM balances b WHERE b.paid <>
         COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.user_id = b.user_id AND e.account = 'paid'), 0)",
    ),
    (
        "users whose held credits are not their open reservations",
        "SELECT CAST(b.user_id AS TEXT) AS what FROM balances b WHERE
         COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.user_id = b.user_id AND e.account = 'held'), 0) <>
         COALESCE((SELECT SUM(r.amount) FROM reservations r WHERE r.user_id = b.user_id AND r.state = 'held'), 0)",
    ),
    (
        "users whose spent credits are not what was settled",
        "SELECT CAST(b.user_id AS TEXT) AS what FROM balances b WHERE
         COALESCE((SELECT SUM(e.amount) FROM entries e JOIN postings p ON p.id = e.posting_id
         WHERE e.user_id = b.user_id AND e.account = 'spent' AND p.kind <> 'reverse'), 0) <>
         COALESCE((SELECT SUM(r.settled_amount) FROM reservations r WHERE r.user_id = b.user_id AND r.state = 'settled'), 0)",
    ),
    (
        "reservations that were not posted exactly once",
        "SELECT CAST(r.id AS TEXT) AS what FROM reservations r LEFT JOIN
         (SELECT user_id, reservation_id, COUNT(*) AS times FROM postings WHERE kind = 'reserve' GROUP BY user_id, reservation_id) p
         ON p.user_id = r.user_id AND p.reservation_id = r.id WHERE COALESCE(p.times, 0) <> 1",
    ),
    (
        "reservations whose resolution was not posted exactly once",
        "SELECT CAST(r.id AS TEXT) AS what FROM reservations r LEFT JOIN
         (SELECT user_id, reservation_id, COUNT(*) AS times FROM postings WHERE kind <> 'reserve' GROUP BY user_id, reservation_id) p
         ON p.user_id = r.user_id AND p.reservation_id = r.id
         WHERE COALESCE(p.times, 0) <> CASE r.state WHEN 'held' THEN 0 ELSE 1 END",
    ),
    (
        "reservations that were resolved otherwise than posted",
        "SELECT CAST(r.id AS TEXT) AS what FROM reservations r JOIN postings p ON p.user_id = r.user_id AND p.reservation_id = r.id
         WHERE p.kind <> 'reserve' AND r.state <> CASE p.kind WHEN 'settle' THEN 'settled' WHEN 'release' THEN 'released' ELSE '?' END",
    ),
    (
        "postings after which the balance was not the one before and their change",
        "SELECT CAST(id AS TEXT) AS what FROM (SELECT p.id, p.balance_after,
         LAG(p.balance_after, 1, 0) OVER (PARTITION BY p.user_id ORDER BY p.id) AS before,
         COALESCE((SELECT SUM(e.amount) FROM entries e WHERE e.posting_id = p.id AND e.account IN ('user', 'paid')), 0) AS change
         FROM postings p) lines WHERE balance_after <> before + change",
    ),
    (
        "gift codes whose redemptions are not what was counted",
        "SELECT CAST(g.id AS TEXT) AS what FROM gift_codes g WHERE
         g.used <> (SELECT COUNT(*) FROM gift_redemptions r WHERE r.code_id = g.id)",
    ),
    (
        "gifts without their redemption",
        "SELECT CAST(p.id AS TEXT) AS what FROM postings p WHERE p.kind = 'gift' AND
         (SELECT COUNT(*) FROM gift_redemptions r WHERE r.user_id = p.user_id AND r.posting_id = p.id) <> 1",
    ),
    (
        "postings that were reversed more than once",
        "SELECT CAST(reverses AS TEXT) AS what FROM postings WHERE reverses IS NOT NULL GROUP BY reverses HAVING COUNT(*) > 1",
    ),
    (
        "reversals of nothing that can be reversed",
        "SELECT CAST(p.id AS TEXT) AS what FROM postings p LEFT JOIN postings o ON o.id = p.reverses
         WHERE (p.kind = 'reverse' OR p.reverses IS NOT NULL) AND (p.kind <> 'reverse' OR o.id IS NULL OR o.id >= p.id
         OR o.user_id <> p.user_id OR o.kind NOT IN ('grant', 'gift', 'settle'))",
    ),
    (
        "reversals that are not the opposite of what they reverse",
        "SELECT CAST(p.id AS TEXT) AS what FROM postings p WHERE p.reverses IS NOT NULL AND
         (SELECT COALESCE(SUM(e.amount), 0) FROM entries e WHERE e.posting_id IN (p.id, p.reverses) AND e.account IN ('granted', 'spent')) <> 0",
    ),
    (
        "lapses of anything but free credits",
        "SELECT CAST(p.id AS TEXT) AS what FROM postings p WHERE p.kind = 'lapse' AND (SELECT COUNT(*) FROM entries e
         WHERE e.posting_id = p.id AND (e.account = 'user' AND e.amount < 0 OR e.account = 'forfeited' AND e.amount > 0)) <> 2",
    ),
    ("a sum over all accounts that is not zero", "SELECT 'all' AS what FROM (SELECT SUM(amount) AS total FROM entries) sums WHERE total <> 0"),
];

/// How long after its time a reservation may still be held: longer than housekeeping ever waits.
const OVERDUE: Duration = Duration::from_mins(10);

/// Most offenders that are named by one check.
const NAMED: usize = 20;

fn checks(now: Now) -> impl Iterator<Item = (&'static str, String)> {
    let overdue = format!(
        "SELECT CAST(id AS TEXT) AS what FROM reservations WHERE state = 'held' AND expires_at < {}",
        time::earlier(now, OVERDUE)
    );
    let overdue = ("reservations that are held past their time (does the service run?)", overdue);
    CHECKS.map(|(what, query)| (what, query.to_owned())).into_iter().chain([overdue])
}

/// The statements, each with what it finds, for whoever wants to ask the database by hand.
pub(crate) fn statements(now: Now) -> String {
    let statements: Vec<String> = checks(now).map(|(what, query)| format!("-- {what}\n{query};\n")).collect();
    statements.concat()
}

/// What is wrong, a line each; empty when the books are right.
pub(crate) async fn findings(database: &Database) -> Result<Vec<String>, DbErr> {
    // Years of books take longer than a request may.
    let unbounded: &DatabaseConnection = database;
    let asked = unbounded.begin().await?;
    if database.engine() == DbBackend::Postgres {
        asked.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
    }
    let mut findings = Vec::new();
    for (what, query) in checks(clock::now()) {
        let rows = asked.query_all_raw(Statement::from_string(database.engine(), query)).await?;
        if !rows.is_empty() {
            let named: Vec<String> = rows.iter().take(NAMED).map(|row| name(row, what)).collect();
            findings.push(format!("{} {what}: {}", rows.len(), named.join(", ")));
        }
    }
    asked.rollback().await?;
    Ok(findings)
}

fn name(row: &sea_orm::QueryResult, what: &str) -> String {
    // SQLite keeps ids as bytes; what cannot be read as text is still counted above.
    row.try_get("", "what").unwrap_or_else(|_| format!("({what})"))
}
