//! What people read: the words of messages.

use std::fmt::Write as _;

use super::event::TellKind;
use super::group::{Group, MAX_LINES};
use super::instance::{Alert, AlertId, Kind, Muted};
use super::rule::Severity;
use super::span::Span;
use super::state::State;

/// Longest title, in characters.
const MAX_TITLE: usize = 200;

/// The words of one message.
pub(crate) struct Words {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) link: Option<String>,
    pub(crate) facts: Vec<(String, String)>,
}

/// A time of day as people of all zones read it; a time that no calendar has is left out.
pub fn utc(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map_or_else(|_| "?".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A line about an alert that is over.
pub(crate) fn ended(alert: &Alert, at: i64, unwatched: bool) -> String {
    let took = Span::between(alert.began_at, alert.clear.map_or(at, |clear| clear.at)).spoken();
    let how = if unwatched { "its rule was taken away" } else { "over" };
    format!("{} ({how} after {took})", alert.summary)
}

impl State {
    /// The words for a group.
    pub(crate) fn words(&self, group: &Group, kind: TellKind, severity: Severity, at: i64) -> Words {
        let known = |ids: &mut dyn Iterator<Item = &AlertId>| -> Vec<(AlertId, &Alert)> {
            let mut known: Vec<_> = ids.filter_map(|id| self.alerts.get(id).map(|alert| (id.clone(), alert))).collect();
            known.sort_by_key(|(id, alert)| (alert.severity, id.clone()));
            known
        };
        let (fresh, old) = (known(&mut group.waiting.iter()), known(&mut group.members.iter()));
        let mut text = String::new();
        // Writing to a text does not fail.
        let mut block = |title: &str, lines: Vec<String>, all: usize| {
            if all > 0 {
                let gap = if text.is_empty() { "" } else { "\n\n" };
                let more = all.saturating_sub(lines.len().min(MAX_LINES));
                let lines: Vec<String> = lines.into_iter().take(MAX_LINES).map(|line| format!("- {line}")).collect();
                let _ = write!(text, "{gap}{title}\n{}", lines.join("\n"));
                if more > 0 {
                    let _ = write!(text, "\n- … and {more} more");
                }
            }
        };
        let lines = |alerts: &[(AlertId, &Alert)]| {
            alerts.iter().take(MAX_LINES).map(|(_, alert)| line(alert)).collect::<Vec<_>>()
        };
        let passed: Vec<String> = group.passed.iter().map(|passed| passed.line.clone()).collect();
        let held = self.held_back(&fresh);
        let all_passed = passed.len() + group.passed_more;
        if let (Some(known), TellKind::Taken) = (&group.acknowledged, kind) {
            block("Looks after it", vec![taken(&known.by, &known.comment)], 1);
        }
        block("Began", lines(&fresh), fresh.len());
        block("Began and is over", passed, all_passed);
        block("Is so since before", lines(&old), old.len());
        block("Is over", group.over_lines.clone(), group.over);
        block("Held back, since it follows from this", held.clone(), held.len());
        let all = fresh.iter().chain(&old);
        let link = all.clone().find_map(|(id, _)| self.rules.get(&id.rule)?.runbook.clone());
        let mut facts = vec![("severity".to_owned(), severity.as_str().to_owned())];
        let subjects: std::collections::BTreeSet<&str> =
            all.map(|(_, alert)| alert.subject.as_str()).filter(|subject| !subject.is_empty()).collect();
        if !subjects.is_empty() {
            let named = subjects.iter().take(MAX_LINES).copied().collect::<Vec<_>>().join(", ");
            let more = subjects.len().saturating_sub(MAX_LINES);
            facts.push(("about".to_owned(), if more > 0 { format!("{named}, and {more} more") } else { named }));
        }
        facts.push(("since".to_owned(), utc(group.began_at)));
        facts.push(("group".to_owned(), group.number.to_string()));
        let first = fresh.first().or(old.first()).map(|(_, alert)| alert.summary.clone());
        let first = first.or_else(|| group.passed.first().map(|passed| passed.line.clone()));
        let first = first.or_else(|| group.over_lines.first().cloned()).unwrap_or_default();
        let count = match kind {
            TellKind::Began | TellKind::Grew => fresh.len() + all_passed,
            TellKind::Passed => all_passed,
            TellKind::Over => group.over + all_passed,
            TellKind::Again | TellKind::Escalated | TellKind::Taken => old.len(),
        };
        let span = Span::between(group.began_at, at).spoken();
        let title = title(kind, severity, &first, count, &span);
        Words { title, text, link, facts }
    }

    /// What some alerts, as causes, hold back.
    fn held_back(&self, causes: &[(AlertId, &Alert)]) -> Vec<String> {
        let is_cause = |by: &AlertId| causes.iter().any(|(id, _)| id == by);
        let held = |alert: &&Alert| matches!(&alert.muted, Some(Muted::Inhibited { by, .. }) if is_cause(by));
        self.alerts.values().filter(held).map(|alert| alert.summary.clone()).collect()
    }
}

fn title(kind: TellKind, severity: Severity, first: &str, count: usize, span: &str) -> String {
    let what = if count > 1 { format!("{first}, and {} more", count - 1) } else { first.to_owned() };
    let severity = severity.as_str();
    let title = match kind {
        TellKind::Began => format!("[{severity}] {what}"),
        TellKind::Grew => format!("[{severity}] more: {what}"),
        TellKind::Passed => format!("[{severity}] was, and is over: {what}"),
        TellKind::Again => format!("[{severity}] still, for {span}: {what}"),
        TellKind::Escalated => format!("[{severity}] nobody has acknowledged it, for {span}: {what}"),
        TellKind::Taken => format!("[{severity}] looked after: {what}"),
        TellKind::Over => format!("[{severity}] over: {what}"),
    };
    if title.chars().count() <= MAX_TITLE {
        return title;
    }
    let cut: String = title.chars().take(MAX_TITLE - 1).collect();
    format!("{cut}…")
}

fn line(alert: &Alert) -> String {
    let since = utc(alert.began_at);
    let clear = if alert.clear.is_some() { ", well again for the moment" } else { "" };
    format!("{} (since {since}{clear})", alert.summary)
}

fn taken(by: &str, comment: &str) -> String {
    if comment.trim().is_empty() { by.to_owned() } else { format!("{by}: {comment}") }
}

impl Kind {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breach => "breach",
            Self::NoData => "no data",
            Self::Error => "error",
        }
    }
}
