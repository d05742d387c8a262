//! A service's objectives: what was promised, what was reached, and how much may still go wrong.

use askama::Template;
use serde_json::json;

use super::super::state::{Mark, State};
use super::super::{Dashboard, units};
use super::{Table, Tabular};
use crate::api::BudgetView;

/// Below this share a budget is nearly spent.
const NEARLY: f64 = 0.25;

#[derive(Template)]
#[template(path = "dashboard/panels/budgets.html")]
pub(super) struct Budgets {
    rows: Vec<Row>,
}

struct Row {
    view: BudgetView,
    mark: Mark,
    /// What is promised: `answered without an error`.
    about: String,
    target: String,
    reached: Option<String>,
    left: Option<String>,
    /// Of the picture's hundred.
    width: u8,
    /// What there was of it.
    spent: String,
}

pub(super) fn look(dashboard: &Dashboard, service: &str) -> Budgets {
    let seen = dashboard.app.watching.alerts.seen();
    let own = seen.alerting.budgets.iter().filter(|budget| budget.service == service);
    Budgets { rows: own.cloned().map(row).collect() }
}

fn row(view: BudgetView) -> Row {
    let mark = match view.left {
        None => State::Unknown.mark("Not known"),
        Some(left) if left <= 0.0 => State::Critical.mark("Spent"),
        Some(left) if left < NEARLY => State::Warning.mark("Nearly spent"),
        Some(_) => State::Healthy.mark("Within"),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    let width = view.left.map_or(0, |left| (left.clamp(0.0, 1.0) * 100.0) as u8);
    let spent = match (view.bad, view.allowed, &view.why) {
        (Some(bad), Some(allowed), _) => {
            format!("{} of the {} that may go wrong did", units::number(bad), units::number(allowed))
        }
        (.., why) => why.clone().unwrap_or_default(),
    };
    Row {
        mark,
        about: view.about(),
        target: units::exact_percent(view.objective),
        reached: view.reached.map(units::exact_percent),
        left: view.left.map(units::exact_percent),
        width,
        spent,
        view,
    }
}

impl Tabular for Budgets {
    fn table(&self) -> Table {
        let mut table = Table::new(&[
            "service",
            "within_ms",
            "objective",
            "window",
            "requests",
            "bad",
            "allowed",
            "reached",
            "left",
            "state",
        ]);
        for Row { view, mark, .. } in &self.rows {
            table.row([
                json!(view.service),
                json!(view.within_ms),
                json!(view.objective),
                json!(view.window),
                json!(view.requests),
                json!(view.bad),
                json!(view.allowed),
                json!(view.reached),
                json!(view.left),
                json!(mark.state.name()),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(left: Option<f64>) -> BudgetView {
        BudgetView {
            service: "shop".into(),
            within_ms: Some(500),
            objective: 0.999,
            window: "30d".into(),
            requests: left.map(|_| 1e6),
            bad: left.map(|left| 1_000.0 - left * 1_000.0),
            allowed: left.map(|_| 1_000.0),
            reached: left.map(|left| 1.0 - (1.0 - left) / 1_000.0),
            left,
            why: left.is_none().then(|| "there were no requests".to_owned()),
        }
    }

    #[test]
    fn a_budget_is_told_by_word_and_picture_and_is_not_full_where_nothing_is_known() {
        for (left, state, word, width) in [
            (None, State::Unknown, "Not known", 0),
            (Some(1.0), State::Healthy, "Within", 100),
            (Some(0.2), State::Warning, "Nearly spent", 20),
            (Some(0.0), State::Critical, "Spent", 0),
            (Some(-1.0), State::Critical, "Spent", 0),
        ] {
            let row = row(view(left));
            assert_eq!((row.mark.state, row.mark.word.as_str(), row.width), (state, word, width), "{left:?}");
        }
        let html = Budgets { rows: vec![row(view(Some(0.5))), row(view(None))] }.render().expect("written");
        for words in [
            "answered within 500 ms",
            "99.9 % in 30d",
            "99.95 %",
            "50 %",
            "500 of the 1,000 that may go wrong did",
            "there were no requests",
            "width=\"50\"",
        ] {
            assert!(html.contains(words), "{words}: {html}");
        }
        assert!(Budgets { rows: Vec::new() }.render().expect("written").contains("No objective"));
    }
}
