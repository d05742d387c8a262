//! Silences and maintenance: what people are not told of, until when, by whom and why.

use std::sync::Arc;

use askama::Template;
use serde_json::json;

use super::super::{Dashboard, units};
use super::{Buttons, Table, Tabular};
use crate::api::QuietView;
use crate::watching::alerts::Seen;

#[derive(Template)]
#[template(path = "dashboard/panels/quiets.html")]
pub(super) struct Quiets {
    seen: Arc<Seen>,
    buttons: Buttons,
}

impl Quiets {
    fn minute(instant: &str) -> String {
        units::minute(instant)
    }
}

pub(super) fn look(dashboard: &Dashboard, buttons: Buttons) -> Quiets {
    Quiets { seen: dashboard.app.watching.alerts.seen(), buttons }
}

impl Tabular for Quiets {
    fn table(&self) -> Table {
        let mut table = Table::new(&["number", "kind", "covers", "from", "until", "reason", "by"]);
        for QuietView { number, kind, covers, from, until, reason, by, .. } in &self.seen.alerting.quiets {
            table.row([json!(number), json!(kind), json!(covers), json!(from), json!(until), json!(reason), json!(by)]);
        }
        table
    }
}
