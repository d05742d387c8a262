//! Pages of operators: everybody who may log in, and one with where they are logged in, each with the forms that change it. The forms make the
//! calls of the API; what lets somebody in, or allows them more, asks for the password of whoever presses the button.

use askama::Template;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Redirect, Response};

use super::coming::Coming;
use super::fields::Fields;
use super::pages::{Frame, NoPage};
use super::panels::Panel;
use super::state::{Mark, State};
use super::{Dashboard, units};
use crate::api::{NewOperator, OperatorAfter, OperatorChange, OperatorView, Role};
use crate::clock;
use crate::door::pages::{Unconfirmed, confirm};
use crate::door::person::Person;
use crate::server::people::{beside, carry_out, nobody};
use crate::server::{Refused, people, problem};
use crate::store::PersonRow;

/// Whether somebody may log in.
pub(super) fn mark(view: &OperatorView) -> Mark {
    match view {
        OperatorView { disabled: true, .. } => State::Warning.mark("kept out"),
        OperatorView { has_password: false, .. } => State::Unknown.mark("invited"),
        _ => State::Healthy.mark("active"),
    }
}

/// What somebody shows who logs in.
pub(super) fn factor(person: &PersonRow) -> Mark {
    let passkeys = match person.passkeys {
        0 => String::new(),
        1 => ", or a passkey".to_owned(),
        some => format!(", or one of {some} passkeys"),
    };
    match &person.view {
        OperatorView { has_password: false, .. } => State::Unknown.mark("none yet"),
        OperatorView { has_second_factor: true, .. } => State::Healthy.mark(format!("password and code{passkeys}")),
        _ => State::Warning.mark(format!("password alone{passkeys}")),
    }
}

/// When somebody was last let in, to the minute.
pub(super) fn last_login(person: &PersonRow) -> Option<String> {
    person.last_login.as_deref().map(units::minute)
}

/// What is said once, to whoever asked for it.
pub(super) struct Told {
    text: String,
    /// A link or a token: whoever has it is let in.
    secret: String,
}

impl Told {
    pub(super) fn new(text: String, secret: String) -> Self {
        Self { text, secret }
    }

    /// Of an operator who was invited.
    fn invited(OperatorAfter { view, invitation }: OperatorAfter) -> Option<Self> {
        let invitation = invitation?;
        let end = units::minute(&invitation.expires_at);
        let text = format!(
            "{} sets a password by this link, once and until {end} UTC. It is shown this once; whoever has it is {}.",
            view.name, view.name
        );
        Some(Self::new(text, invitation.link))
    }
}

#[derive(Template)]
#[template(path = "dashboard/operators.html")]
struct AllPage {
    frame: Frame,
    me: String,
    told: Option<Told>,
    panels: Vec<Panel>,
}

#[derive(Template)]
#[template(path = "dashboard/operator.html")]
struct OnePage {
    frame: Frame,
    me: String,
    told: Option<Told>,
    person: PersonRow,
    mark: Mark,
    factor: Mark,
    panels: Vec<Panel>,
}

impl OnePage {
    /// Nobody takes away their own access: somebody else does.
    fn is_oneself(&self) -> bool {
        self.person.view.name == self.me
    }

    fn last_login(&self) -> Option<String> {
        last_login(&self.person)
    }

    fn made(&self) -> String {
        units::minute(&self.person.view.made_at)
    }
}

/// `GET /operators`
pub(crate) async fn all(Shared(dashboard): Shared<Dashboard>, person: Person, frame: Frame) -> Response {
    shown(&dashboard, &person, frame, None).await
}

/// The page of all, with what was brought about.
pub(super) async fn shown(dashboard: &Dashboard, person: &Person, frame: Frame, told: Option<Told>) -> Response {
    let coming = Coming::begin(dashboard, vec![Panel::Operators, Panel::Tokens]);
    let panels = coming.names();
    coming.in_page(&AllPage { frame, me: person.name.clone(), told, panels })
}

/// `POST /operators`
pub(crate) async fn invite(
    Shared(dashboard): Shared<Dashboard>,
    person: Person,
    frame: Frame,
    fields: Fields,
) -> Result<Response, NoPage> {
    confirmed(&dashboard, &person, &fields).await?;
    let new = NewOperator { name: fields.text("name").to_owned(), role: role(&fields)? };
    let after = people::invite(&dashboard.app, new).await?;
    dashboard.panels.forget();
    Ok(shown(&dashboard, &person, frame, Told::invited(after)).await)
}

/// `GET /operators/{name}`
pub(crate) async fn one(
    Shared(dashboard): Shared<Dashboard>,
    Path(name): Path<String>,
    person: Person,
    frame: Frame,
) -> Result<Response, NoPage> {
    one_shown(&dashboard, &person, frame, name, None).await
}

async fn one_shown(
    dashboard: &Dashboard,
    visitor: &Person,
    frame: Frame,
    name: String,
    told: Option<Told>,
) -> Result<Response, NoPage> {
    let now = clock::timestamp().as_second();
    let people = beside(&dashboard.app, move |store| store.people(now)).await?;
    let person = people.into_iter().find(|person| person.view.name == name).ok_or_else(|| nobody(&name))?;
    let coming = Coming::begin(dashboard, vec![Panel::Sessions(name)]);
    let panels = coming.names();
    let (mark, factor) = (mark(&person.view), factor(&person));
    Ok(coming.in_page(&OnePage { frame, me: visitor.name.clone(), told, person, mark, factor, panels }))
}

/// `POST /operators/{name}/{command}`
pub(crate) async fn change(
    Shared(dashboard): Shared<Dashboard>,
    Path((name, command)): Path<(String, String)>,
    person: Person,
    frame: Frame,
    fields: Fields,
) -> Result<Response, NoPage> {
    let change = meant(&command, &fields)?;
    if lets_in(&change) {
        confirmed(&dashboard, &person, &fields).await?;
    }
    let after = carry_out(&dashboard.app, Some(&person), &name, change).await?;
    dashboard.panels.forget();
    match Told::invited(after) {
        Some(told) => one_shown(&dashboard, &person, frame, name, Some(told)).await,
        None => Ok(Redirect::to(&format!("/operators/{name}")).into_response()),
    }
}

fn meant(command: &str, fields: &Fields) -> Result<OperatorChange, Refused> {
    Ok(match command {
        "role" => OperatorChange::Role { role: role(fields)? },
        "disable" => OperatorChange::Disable,
        "enable" => OperatorChange::Enable,
        "reset" => OperatorChange::Reset,
        "revoke" => {
            let session = fields.text("session");
            OperatorChange::Revoke { session: (!session.is_empty()).then(|| session.to_owned()) }
        }
        other => {
            let detail = format!("an operator is not asked to `{other}`");
            return Err(Refused(problem(404, "there is no such button", detail)));
        }
    })
}

/// Whether somebody is let in by it, or allowed more: whoever finds a browser open is not to do that. What takes away waits for nothing.
fn lets_in(change: &OperatorChange) -> bool {
    match change {
        OperatorChange::Role { .. } | OperatorChange::Enable | OperatorChange::Reset => true,
        OperatorChange::Disable | OperatorChange::Revoke { .. } => false,
    }
}

fn role(fields: &Fields) -> Result<Role, Refused> {
    let name = fields.text("role");
    let unknown = || Refused(problem(422, "this was not done", format!("`{name}` is no role")));
    Role::named(name).ok_or_else(unknown)
}

/// The form holds the password of whoever sent it.
pub(super) async fn confirmed(dashboard: &Dashboard, person: &Person, fields: &Fields) -> Result<(), Refused> {
    let said = |status, detail: String| Err(Refused(problem(status, "this was not done", detail)));
    match confirm(&dashboard.app, person, fields.secret("password")).await? {
        Ok(()) => Ok(()),
        Err(Unconfirmed::Wrong) => said(403, "your password is another".to_owned()),
        Err(Unconfirmed::Later(wait_s)) => {
            said(429, format!("too many tries with your password; try again in {wait_s} s"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(has_password: bool, has_second_factor: bool, disabled: bool, passkeys: u32) -> PersonRow {
        let view = OperatorView {
            name: "ada".into(),
            role: Role::Admin,
            disabled,
            has_password,
            has_second_factor,
            sessions: 0,
            made_at: String::new(),
        };
        PersonRow { view, passkeys, last_login: None }
    }

    #[test]
    fn how_somebody_comes_in_is_said_in_words() {
        for (row, state, ways) in [
            (person(false, false, false, 0), "invited", "none yet"),
            (person(true, false, false, 0), "active", "password alone"),
            (person(true, false, false, 1), "active", "password alone, or a passkey"),
            (person(true, true, false, 0), "active", "password and code"),
            (person(true, true, true, 2), "kept out", "password and code, or one of 2 passkeys"),
        ] {
            assert_eq!((mark(&row.view).word.as_str(), factor(&row).word.as_str()), (state, ways));
        }
    }

    #[test]
    fn each_button_is_a_change_of_the_api_and_what_lets_in_asks_for_the_password() {
        for (command, form, expected, asks) in [
            ("role", "role=admin", Some(OperatorChange::Role { role: Role::Admin }), true),
            ("role", "role=owner", None, false),
            ("role", "", None, false),
            ("disable", "", Some(OperatorChange::Disable), false),
            ("enable", "", Some(OperatorChange::Enable), true),
            ("reset", "", Some(OperatorChange::Reset), true),
            ("revoke", "session=5d41", Some(OperatorChange::Revoke { session: Some("5d41".into()) }), false),
            ("revoke", "session=", Some(OperatorChange::Revoke { session: None }), false),
            ("delete", "", None, false),
        ] {
            let found = meant(command, &Fields::of(form)).ok();
            assert_eq!((found.as_ref().is_some_and(lets_in), found), (asks, expected), "{command} {form}");
        }
    }
}
