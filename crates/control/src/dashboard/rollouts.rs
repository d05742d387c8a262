//! Pages of rollouts.

use askama::Template;
use axum::extract::{Path, State as Shared};
use axum::response::Response;

use super::Dashboard;
use super::coming::Coming;
use super::guard::Visitor;
use super::pages::{Frame, NoPage};
use super::panels::Panel;
use super::state::{Mark, State};
use crate::api::RolloutView;
use crate::door::person::Action;
use crate::server::ask;
use crate::supervisor::Call;

/// How a rollout stands, by the name of its stage.
pub(super) fn mark(view: &RolloutView) -> Mark {
    let state = match view.stage.as_str() {
        "done" | "window" => State::Healthy,
        "held" | "awaiting-approval" => State::Warning,
        "stuck" | "aborted" | "rolled-back" | "reviving" | "returning" | "clearing" => State::Critical,
        _ => State::Unknown,
    };
    state.mark(view.stage.replace('-', " "))
}

/// A button that moves a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Button {
    /// In the address: `approve`.
    pub(super) command: &'static str,
    label: &'static str,
    /// What happens then, said before it is done.
    about: &'static str,
    danger: bool,
    comment: bool,
}

impl Button {
    /// How it looks.
    fn tone(&self) -> &'static str {
        if self.danger { "danger" } else { "" }
    }
}

const APPROVE: Button = Button {
    command: "approve",
    label: "Approve",
    about: "It goes on, with exactly the artefact shown here.",
    danger: false,
    comment: true,
};
const REJECT: Button =
    Button { command: "reject", label: "Reject", about: "It ends; nothing has moved.", danger: true, comment: true };
const PROMOTE: Button = Button {
    command: "promote",
    label: "Promote",
    about: "It goes on to its next stage, whatever the gate says.",
    danger: false,
    comment: false,
};
const ABORT: Button = Button {
    command: "abort",
    label: "Abort",
    about: "It ends; what has moved goes back to the old version.",
    danger: true,
    comment: false,
};
const RETRY: Button = Button {
    command: "retry",
    label: "Retry",
    about: "What it waits with is tried once more.",
    danger: false,
    comment: false,
};
const ROLLBACK: Button = Button {
    command: "rollback",
    label: "Roll back",
    about: "The old version serves again, and the rollout ends.",
    danger: true,
    comment: false,
};

/// Those that mean something where it is. What is pressed a moment too late is refused with its reason.
fn buttons(view: &RolloutView, may: impl Fn(Action) -> bool) -> Vec<Button> {
    let fitting: &[Button] = match view.stage.as_str() {
        _ if view.over && view.stage == "done" => &[ROLLBACK],
        _ if view.over => &[],
        "awaiting-approval" => &[APPROVE, REJECT, ABORT],
        "held" | "stuck" => &[PROMOTE, RETRY, ABORT],
        "window" => &[PROMOTE, ROLLBACK],
        "decommissioning" => &[ROLLBACK],
        "reviving" | "returning" | "clearing" => &[],
        _ => &[ABORT],
    };
    let scope =
        |button: &Button| if matches!(button.command, "approve" | "reject") { Action::Approve } else { Action::Deploy };
    fitting.iter().filter(|button| may(scope(button))).copied().collect()
}

#[derive(Template)]
#[template(path = "dashboard/rollouts.html")]
struct AllPage {
    frame: Frame,
    panels: Vec<Panel>,
}

/// `GET /rollouts`
pub(crate) async fn all(Shared(dashboard): Shared<Dashboard>, frame: Frame) -> Response {
    let coming = Coming::begin(&dashboard, vec![Panel::Rollouts]);
    let panels = coming.names();
    coming.in_page(&AllPage { frame, panels })
}

#[derive(Template)]
#[template(path = "dashboard/rollout.html")]
struct OnePage {
    frame: Frame,
    view: RolloutView,
    buttons: Vec<Button>,
    panels: Vec<Panel>,
}

impl OnePage {
    fn begun(&self) -> String {
        super::units::minute(&self.view.begun_at)
    }

    fn digest(&self) -> &str {
        self.view.new.digest.as_deref().unwrap_or_default()
    }
}

/// `GET /rollouts/{number}`
pub(crate) async fn one(
    Shared(dashboard): Shared<Dashboard>,
    Path(number): Path<u64>,
    visitor: Visitor,
    frame: Frame,
) -> Result<Response, NoPage> {
    let view = ask(&dashboard.app, |reply| Call::RolloutView { number, reply }).await?;
    let coming = Coming::begin(&dashboard, vec![Panel::Rollout(number)]);
    let buttons = buttons(&view, |scope| visitor.may(scope));
    let panels = coming.names();
    Ok(coming.in_page(&OnePage { frame, view, buttons, panels }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SlotView;

    fn view(stage: &str, over: bool) -> RolloutView {
        let slot = |slot: &str| SlotView { slot: slot.into(), version: None, digest: None, percent: 0 };
        RolloutView {
            number: 1,
            service: "a".into(),
            version: "v1".into(),
            stage: stage.into(),
            about: String::new(),
            attempt: 1,
            over,
            started_by: "ada".into(),
            begun_at: String::new(),
            old: slot("blue"),
            new: slot("green"),
            waits_for: Vec::new(),
            why: None,
            look: None,
            steps: Vec::new(),
        }
    }

    #[test]
    fn only_buttons_that_mean_something_are_there() {
        for (stage, over, expected) in [
            ("building", false, &["abort"][..]),
            ("awaiting-approval", false, &["approve", "reject", "abort"]),
            ("canary", false, &["abort"]),
            ("held", false, &["promote", "retry", "abort"]),
            ("window", false, &["promote", "rollback"]),
            ("clearing", false, &[]),
            ("aborted", true, &[]),
            ("done", true, &["rollback"]),
        ] {
            let found: Vec<&str> = buttons(&view(stage, over), |_| true).iter().map(|button| button.command).collect();
            assert_eq!(found, expected, "{stage}");
        }
    }

    #[test]
    fn nobody_sees_a_button_that_is_not_for_them() {
        let seen = |scope| -> Vec<&str> {
            let buttons = buttons(&view("awaiting-approval", false), |asked| asked == scope);
            buttons.iter().map(|button| button.command).collect()
        };
        assert_eq!((seen(Action::Approve), seen(Action::Deploy)), (vec!["approve", "reject"], vec!["abort"]));
        assert!(seen(Action::See).is_empty());
    }
}
