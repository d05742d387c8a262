//! Where an operator is logged in.

use askama::Template;
use serde_json::json;

use super::super::{Dashboard, units};
use super::{Table, Tabular};
use crate::api::SessionView;
use crate::door::pages::browser;
use crate::server::Refused;
use crate::server::people::sessions_of;

#[derive(Template)]
#[template(path = "dashboard/panels/sessions.html")]
pub(super) struct Sessions {
    name: String,
    rows: Vec<SessionView>,
    trouble: Option<String>,
}

impl Sessions {
    fn minute(instant: &str) -> String {
        units::minute(instant)
    }

    fn browser(agent: &str) -> String {
        browser(agent)
    }
}

pub(super) async fn look(dashboard: &Dashboard, name: &str) -> Sessions {
    let rows = sessions_of(&dashboard.app, name).await;
    let trouble = rows.as_ref().err().map(|Refused(problem)| problem.title.clone());
    Sessions { name: name.to_owned(), rows: rows.unwrap_or_default(), trouble }
}

impl Tabular for Sessions {
    fn table(&self) -> Table {
        let mut table = Table::new(&["session", "address", "agent", "made_at", "seen_at", "expires_at"]);
        for SessionView { id, made_at, seen_at, expires_at, address, agent } in &self.rows {
            table.row([json!(id), json!(address), json!(agent), json!(made_at), json!(seen_at), json!(expires_at)]);
        }
        table
    }
}
