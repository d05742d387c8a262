//! Everybody who may log in, with their ways in.

use askama::Template;
use serde_json::json;

use super::super::operators::{factor, last_login, mark};
use super::super::state::Mark;
use super::super::{Dashboard, units};
use super::{Table, Tabular};
use crate::clock;
use crate::server::Refused;
use crate::server::people::beside;
use crate::store::PersonRow;

#[derive(Template)]
#[template(path = "dashboard/panels/operators.html")]
pub(super) struct Operators {
    rows: Vec<Row>,
    trouble: Option<String>,
}

struct Row {
    person: PersonRow,
    mark: Mark,
    factor: Mark,
}

impl Row {
    fn last_login(&self) -> Option<String> {
        last_login(&self.person)
    }

    fn made(&self) -> String {
        units::minute(&self.person.view.made_at)
    }
}

pub(super) async fn look(dashboard: &Dashboard) -> Operators {
    let now = clock::timestamp().as_second();
    let people = beside(&dashboard.app, move |store| store.people(now)).await;
    let trouble = people.as_ref().err().map(|Refused(problem)| problem.title.clone());
    let row = |person: PersonRow| Row { mark: mark(&person.view), factor: factor(&person), person };
    Operators { rows: people.unwrap_or_default().into_iter().map(row).collect(), trouble }
}

impl Tabular for Operators {
    fn table(&self) -> Table {
        let mut table =
            Table::new(&["name", "role", "state", "second_factor", "passkeys", "last_login", "sessions", "made_at"]);
        for Row { person: PersonRow { view, passkeys, last_login }, mark, .. } in &self.rows {
            table.row([
                json!(view.name),
                json!(view.role.as_str()),
                json!(mark.word),
                json!(view.has_second_factor),
                json!(passkeys),
                json!(last_login),
                json!(view.sessions),
                json!(view.made_at),
            ]);
        }
        table
    }
}
