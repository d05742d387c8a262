//! Rows of the audit log that are looked for, newest first, page by page.

use askama::Template;
use serde_json::json;

use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};
use crate::api::AuditEntry;
use crate::audit::search::Asked;
use crate::audit::{ASKED_FOR, DONE};
use crate::server::Refused;
use crate::server::people::beside;
use crate::store::AuditPage;

/// Rows that are looked at for one page: what fits seldom is looked for page by page.
const MOST_LOOKED_AT: u64 = 50_000;

#[derive(Template)]
#[template(path = "dashboard/panels/audit.html")]
pub(super) struct Audit {
    asked: Asked,
    rows: Vec<AuditEntry>,
    /// Before this row there are some that were not looked at.
    older: Option<u64>,
    trouble: Option<String>,
}

impl Audit {
    fn mark(outcome: &str) -> Mark {
        let state = match outcome {
            DONE => State::Healthy,
            // Another row says how it ended.
            ASKED_FOR => State::Unknown,
            _ => State::Warning,
        };
        state.mark(outcome)
    }

    fn minute(instant: &str) -> String {
        units::minute(instant)
    }

    fn newest_link(&self) -> String {
        link(&self.asked.newest())
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand on references")]
    fn older_link(&self, before: &u64) -> String {
        link(&self.asked.before(*before))
    }
}

/// What leads to a page that shows this.
fn link(asked: &Asked) -> String {
    let query = asked.query();
    if query.is_empty() { "/audit".to_owned() } else { format!("/audit?{query}") }
}

pub(super) async fn look(dashboard: &Dashboard, asked: &Asked) -> Audit {
    let (AuditPage { rows, older }, trouble) = match found(dashboard, asked).await {
        Ok(page) => (page, None),
        Err(why) => (AuditPage::default(), Some(why)),
    };
    Audit { asked: asked.clone(), rows, older, trouble }
}

async fn found(dashboard: &Dashboard, asked: &Asked) -> Result<AuditPage, String> {
    let search = asked.search()?;
    let said = |Refused(problem)| format!("{}: {}", problem.title, problem.detail);
    let turn = dashboard.searches.take("searching logs").await.map_err(said)?;
    let page = beside(&dashboard.app, move |store| {
        let page = store.audit_page(search.before, search.rows, MOST_LOOKED_AT, |row| search.fits(row));
        drop(turn);
        page
    });
    page.await.map_err(said)
}

impl Tabular for Audit {
    fn table(&self) -> Table {
        let mut table = Table::new(&["number", "at", "who", "source", "what", "target", "outcome", "sha256"]);
        for AuditEntry { number, at, who, source, what, target, outcome, sha256 } in &self.rows {
            table.row([
                json!(number),
                json!(at),
                json!(who),
                json!(source),
                json!(what),
                json!(target),
                json!(outcome),
                json!(sha256),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(query: &str, older: Option<u64>) -> Audit {
        let row = AuditEntry {
            number: 7,
            at: "2026-01-02T03:04:05Z".into(),
            who: "<script>alert(1)</script>".into(),
            source: "192.0.2.1".into(),
            what: "deploy".into(),
            target: "=cmd|' /C calc'!A0".into(),
            outcome: "refused: \"no\" & <b>never</b>".into(),
            sha256: "abc".into(),
        };
        Audit { asked: Asked::read(query), rows: vec![row], older, trouble: None }
    }

    #[test]
    fn what_strangers_typed_is_text_in_the_page_and_in_spreadsheets() {
        let panel = panel("target=%3Cb%3E%22", Some(70));
        let html = panel.render().expect("written");
        for markup in ["<script", "<b>", "\"no\""] {
            assert!(!html.contains(markup), "{markup}: {html}");
        }
        assert!(html.contains("&#60;script&#62;"), "{html}");
        assert!(panel.table().csv().contains("'=cmd"), "{}", panel.table().csv());
    }

    #[test]
    fn a_page_leads_on_to_the_one_before_it_with_what_is_looked_for() {
        let html = |query: &str, older| panel(query, older).render().expect("written");
        let first = html("who=ada&what=role", Some(70));
        assert!(first.contains("href=\"/audit?who=ada&#38;what=role&#38;before=70\""), "{first}");
        assert!(!first.contains("Newest"), "{first}");
        let second = html("who=ada&before=70", None);
        assert!(second.contains("href=\"/audit?who=ada\"") && !second.contains("Older"), "{second}");
        assert!(html("before=70", None).contains("href=\"/audit\""), "nothing is looked for");
    }

    #[test]
    fn how_it_ended_has_a_state() {
        for (outcome, state) in [
            ("done", State::Healthy),
            ("asked for", State::Unknown),
            ("refused: your role does not allow it", State::Warning),
        ] {
            assert_eq!(Audit::mark(outcome), state.mark(outcome));
        }
    }
}
