//! What buttons do: the same calls that the API makes, and then the page that shows what became of it.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use mana_delivery::rollout::{Command, Digest};
use serde::Deserialize;

use super::Dashboard;
use super::guard::Visitor;
use super::pages::NoPage;
use crate::api::{PutBack, RolloutCommand};
use crate::door::person::Action;
use crate::server::{Refused, ask, problem};
use crate::supervisor::Call;

/// Longest comment that is kept.
const MOST_COMMENT_CHARACTERS: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    /// What was shown when the button was pressed.
    #[serde(default)]
    digest: String,
    #[serde(default)]
    comment: String,
}

impl Said {
    fn comment(&self) -> Option<String> {
        let text: String = self.comment.trim().chars().take(MOST_COMMENT_CHARACTERS).collect();
        (!text.is_empty()).then_some(text)
    }
}

/// `POST /rollouts/{number}/{command}`
pub(crate) async fn rollout(
    State(dashboard): State<Dashboard>,
    Path((number, command)): Path<(u64, String)>,
    visitor: Visitor,
    Form(said): Form<Said>,
) -> Result<Redirect, NoPage> {
    let (command, scope) = meant(&command, &said)?;
    visitor.require(scope)?;
    let by = visitor.name().to_owned();
    let request = RolloutCommand { by, key: None, command };
    ask(&dashboard.app, |reply| Call::RolloutCommand { number, request, reply }).await?;
    // Whoever has just changed it wants to see that.
    dashboard.panels.forget();
    Ok(Redirect::to(&format!("/rollouts/{number}")))
}

fn meant(name: &str, said: &Said) -> Result<(Command, Action), Refused> {
    let unknown = || Refused(problem(404, "there is no such button", format!("a rollout is not asked to `{name}`")));
    Ok(match name {
        "approve" if said.digest.is_empty() => {
            let detail = "nothing was built yet, so there is nothing to approve".to_owned();
            return Err(Refused(problem(409, "this was not done", detail)));
        }
        "approve" => {
            (Command::Approve { digest: Digest(said.digest.clone()), comment: said.comment() }, Action::Approve)
        }
        "reject" => (Command::Reject { comment: said.comment() }, Action::Approve),
        "promote" => (Command::Promote, Action::Deploy),
        "abort" => (Command::Abort, Action::Deploy),
        "retry" => (Command::Retry, Action::Deploy),
        "rollback" => (Command::Rollback, Action::Deploy),
        _ => return Err(unknown()),
    })
}

/// `POST /services/{name}/put-back`: the version before serves again.
pub(crate) async fn put_back(
    State(dashboard): State<Dashboard>,
    Path(service): Path<String>,
    visitor: Visitor,
    Form(_): Form<Said>,
) -> Result<Redirect, NoPage> {
    visitor.require(Action::Deploy)?;
    let by = visitor.name().to_owned();
    let request = PutBack { service, by, slot: None, release: None, key: None };
    let view = ask(&dashboard.app, |reply| Call::PutBack { request, reply }).await?;
    dashboard.panels.forget();
    Ok(Redirect::to(&format!("/rollouts/{}", view.number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(digest: &str, comment: &str) -> Said {
        Said { digest: digest.into(), comment: comment.into() }
    }

    #[test]
    fn an_approval_is_for_what_was_looked_at() {
        let Ok((Command::Approve { digest, comment }, Action::Approve)) = meant("approve", &said("abc", " fine "))
        else {
            panic!("an approval")
        };
        assert_eq!((digest.0.as_str(), comment.as_deref()), ("abc", Some("fine")));
        assert!(meant("approve", &said("", "")).is_err(), "nothing was shown");
    }

    #[test]
    fn each_button_needs_what_the_api_asks_for() {
        for (name, scope) in [
            ("reject", Action::Approve),
            ("promote", Action::Deploy),
            ("abort", Action::Deploy),
            ("retry", Action::Deploy),
            ("rollback", Action::Deploy),
        ] {
            assert_eq!(meant(name, &said("", "")).map(|(_, scope)| scope).ok(), Some(scope), "{name}");
        }
        assert!(meant("retire", &said("", "")).is_err());
    }

    #[test]
    fn a_comment_is_bounded() {
        let long = "ä".repeat(5_000);
        assert_eq!(said("", &long).comment().map(|text| text.chars().count()), Some(MOST_COMMENT_CHARACTERS));
    }
}
