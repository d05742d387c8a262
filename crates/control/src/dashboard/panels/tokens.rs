//! Tokens of the API; never what one is.

use std::collections::BTreeSet;

use askama::Template;
use jiff::Timestamp;
use serde_json::json;

use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};
use crate::api::TokenView;
use crate::clock;
use crate::door::person::is_alive;
use crate::server::Refused;
use crate::server::people::beside;

#[derive(Template)]
#[template(path = "dashboard/panels/tokens.html")]
pub(super) struct Tokens {
    rows: Vec<Row>,
    trouble: Option<String>,
}

struct Row {
    view: TokenView,
    mark: Mark,
}

impl Row {
    fn scopes(&self) -> String {
        self.view.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Tokens {
    fn minute(instant: &str) -> String {
        units::minute(instant)
    }
}

/// Whether it lets in.
fn mark(view: &TokenView, is_kept_out: bool, now: Timestamp) -> Mark {
    match (is_alive(view, now), is_kept_out) {
        (false, _) => State::Unknown.mark("has ended"),
        (true, true) => State::Warning.mark("kept out"),
        (true, false) => State::Healthy.mark("lets in"),
    }
}

pub(super) async fn look(dashboard: &Dashboard) -> Tokens {
    let now = clock::timestamp();
    let found = beside(&dashboard.app, |store| Ok((store.tokens()?, store.operators()?))).await;
    let trouble = found.as_ref().err().map(|Refused(problem)| problem.title.clone());
    let (tokens, operators) = found.unwrap_or_default();
    let disabled = operators.into_iter().filter(|row| row.view.disabled).map(|row| row.view.name);
    let disabled: BTreeSet<String> = disabled.collect();
    let row = |view: TokenView| Row { mark: mark(&view, disabled.contains(&view.name), now), view };
    Tokens { rows: tokens.into_iter().map(|token| row(token.view)).collect(), trouble }
}

impl Tabular for Tokens {
    fn table(&self) -> Table {
        let mut table = Table::new(&["name", "scopes", "state", "made_at", "used_at", "expires_at"]);
        for row in &self.rows {
            let Row { view: TokenView { name, made_at, used_at, expires_at, .. }, mark } = row;
            table.row([
                json!(name),
                json!(row.scopes()),
                json!(mark.word),
                json!(made_at),
                json!(used_at),
                json!(expires_at),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Scope;

    fn token(name: &str, expires_at: Option<&str>) -> TokenView {
        TokenView {
            name: name.into(),
            scopes: Scope::ALL.into_iter().collect(),
            made_at: "2026-01-01T00:00:00Z".into(),
            expires_at: expires_at.map(str::to_owned),
            used_at: None,
        }
    }

    #[test]
    fn a_token_that_lets_nobody_in_says_so() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let said = |end: Option<&str>, is_kept_out| mark(&token("ci", end), is_kept_out, now).word;
        assert_eq!(said(None, false), "lets in");
        assert_eq!(said(Some("1970-01-12T13:46:41Z"), false), "lets in");
        assert_eq!(said(Some("1970-01-12T13:46:40Z"), false), "has ended");
        assert_eq!(said(Some("some day"), true), "has ended");
        assert_eq!(said(None, true), "kept out");
    }

    #[test]
    fn what_somebody_called_it_is_text() {
        let mark = State::Healthy.mark("lets in");
        let panel = Tokens { rows: vec![Row { view: token("<b>\"ci", None), mark }], trouble: None };
        let html = panel.render().expect("written");
        assert!(html.contains("&#60;b&#62;&#34;ci") && !html.contains("<b>"), "{html}");
        assert!(html.contains("read, deploy, approve"), "{html}");
        assert_eq!(
            panel.table().csv().lines().nth(1),
            Some("\"<b>\"\"ci\",\"read, deploy, approve\",lets in,2026-01-01T00:00:00Z,,")
        );
    }
}
