//! Rollouts, newest first.

use askama::Template;
use serde_json::json;

use super::super::rollouts::mark;
use super::super::state::Mark;
use super::super::{Dashboard, units};
use super::{Table, Tabular};
use crate::api::RolloutView;
use crate::server::{Refused, ask};
use crate::supervisor::Call;

/// Those before are told by `mana rollouts`.
const MOST: usize = 50;

#[derive(Template)]
#[template(path = "dashboard/panels/rollouts.html")]
pub(super) struct Rollouts {
    rows: Vec<Row>,
    trouble: Option<String>,
    /// Whether they are all of one service.
    of_one: bool,
    left_out: usize,
}

struct Row {
    view: RolloutView,
    mark: Mark,
}

impl Row {
    fn minute(&self) -> String {
        units::minute(&self.view.begun_at)
    }
}

pub(super) async fn look(dashboard: &Dashboard, service: Option<&str>) -> Rollouts {
    let views = ask(&dashboard.app, |reply| Call::Rollouts { service: service.map(str::to_owned), reply }).await;
    let trouble = views.as_ref().err().map(|Refused(problem)| problem.title.clone());
    let views = views.unwrap_or_default();
    let left_out = views.len().saturating_sub(MOST);
    let rows = views.into_iter().take(MOST).map(|view| Row { mark: mark(&view), view }).collect();
    Rollouts { rows, trouble, of_one: service.is_some(), left_out }
}

impl Tabular for Rollouts {
    fn table(&self) -> Table {
        let mut table =
            Table::new(&["number", "service", "version", "stage", "state", "started_by", "begun_at", "why"]);
        for Row { view, mark } in &self.rows {
            table.row([
                json!(view.number),
                json!(view.service),
                json!(view.version),
                json!(view.stage),
                json!(mark.state.name()),
                json!(view.started_by),
                json!(view.begun_at),
                json!(view.why),
            ]);
        }
        table
    }
}
