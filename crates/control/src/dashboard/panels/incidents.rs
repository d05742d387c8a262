//! Incidents: all of them, newest first, and one with what is known of it.

use std::time::Duration;

use askama::Template;
use mana_watch::incident::EntryKind;
use serde_json::json;

use super::super::incidents::mark;
use super::super::state::Mark;
use super::super::{Dashboard, units};
use super::{Table, Tabular};
use crate::api::{IncidentView, TimelineEntry};

/// Those before are told by `mana incidents`.
const MOST: usize = 100;

#[derive(Template)]
#[template(path = "dashboard/panels/incidents.html")]
pub(super) struct All {
    rows: Vec<Row>,
    left_out: usize,
}

struct Row {
    view: IncidentView,
    mark: Mark,
}

impl Row {
    fn began(&self) -> String {
        units::minute(&self.view.began_at)
    }

    fn recovered(&self) -> Option<String> {
        self.view.to_recover_ms.map(spoken)
    }

    fn detected(&self) -> String {
        spoken(self.view.to_detect_ms)
    }
}

pub(super) fn look(dashboard: &Dashboard) -> All {
    let seen = dashboard.app.watching.alerts.seen();
    let rows = seen.incidents.iter().take(MOST).map(|view| Row { mark: mark(view), view: view.clone() }).collect();
    All { rows, left_out: seen.incidents.len().saturating_sub(MOST) }
}

impl Tabular for All {
    fn table(&self) -> Table {
        let mut table = Table::new(&[
            "number",
            "severity",
            "status",
            "title",
            "about",
            "began_at",
            "to_detect_ms",
            "to_recover_ms",
            "affected",
        ]);
        for Row { view, .. } in &self.rows {
            table.row([
                json!(view.number),
                json!(view.severity),
                json!(view.status),
                json!(view.title),
                json!(view.subjects.join(" ")),
                json!(view.began_at),
                json!(view.to_detect_ms),
                json!(view.to_recover_ms),
                json!(view.affected),
            ]);
        }
        table
    }
}

#[derive(Template)]
#[template(path = "dashboard/panels/incident.html")]
pub(super) struct One {
    /// `None`: it is not known any more.
    view: Option<IncidentView>,
}

impl One {
    fn mark(view: &IncidentView) -> Mark {
        mark(view)
    }

    fn minute(instant: &str) -> String {
        units::minute(instant)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand on references")]
    fn spoken(ms: &u64) -> String {
        spoken(*ms)
    }

    fn kind(entry: &TimelineEntry) -> &'static str {
        match entry.kind {
            EntryKind::Alert => "alert",
            EntryKind::Recovery => "over",
            EntryKind::Restart => "service",
            EntryKind::Deploy => "deploy",
            EntryKind::Note => "note",
            EntryKind::Update => "update",
            EntryKind::State => "state",
        }
    }
}

pub(super) fn one(dashboard: &Dashboard, number: u64) -> One {
    let seen = dashboard.app.watching.alerts.seen();
    One { view: seen.incidents.iter().find(|incident| incident.number == number).cloned() }
}

impl Tabular for One {
    fn table(&self) -> Table {
        let mut table = Table::new(&["at", "kind", "text", "by"]);
        for entry in self.view.iter().flat_map(|view| &view.timeline) {
            table.row([json!(entry.at), json!(Self::kind(entry)), json!(entry.text), json!(entry.by)]);
        }
        table
    }
}

fn spoken(ms: u64) -> String {
    units::duration(Duration::from_millis(ms))
}
