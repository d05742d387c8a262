//! The page of the audit log: who changed what, newest first, searched, page by page, and whether it is as it was written. What is looked for
//! stands in the address.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::Dashboard;
use super::coming::Coming;
use super::pages::Frame;
use super::panels::Panel;
use crate::audit::search::{Asked, MOST_ROWS};

#[derive(Template)]
#[template(path = "dashboard/audit.html")]
struct Page {
    frame: Frame,
    asked: Asked,
    panels: Vec<Panel>,
}

impl Page {
    /// Where the same is as a table to save, with as many rows as there are at once.
    fn export(&self, kind: &str) -> String {
        format!("/export/audit.{kind}?{}", self.asked.most().query())
    }
}

/// `GET /audit?who=…&what=…&target=…&from=…&to=…&before=…`
pub(crate) async fn show(State(dashboard): State<Dashboard>, RawQuery(query): RawQuery, frame: Frame) -> Response {
    let asked = Asked::read(query.as_deref().unwrap_or_default());
    let coming = Coming::begin(&dashboard, vec![Panel::Chain, Panel::Audit(asked.clone())]);
    let panels = coming.names();
    coming.in_page(&Page { frame, asked, panels })
}
