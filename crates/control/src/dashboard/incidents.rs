//! Pages of incidents: all of them, one with everything that is known of it, and the forms by which people say what they know.

use askama::Template;
use axum::extract::{Path, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use mana_watch::alert::Severity;
use mana_watch::incident::Status;

use super::coming::Coming;
use super::fields::Fields;
use super::guard::Visitor;
use super::pages::{Frame, NoPage};
use super::panels::{Panel, status};
use super::state::{Mark, State};
use super::{Dashboard, units};
use crate::api::{IncidentCommand, IncidentRequest, IncidentView};
use crate::desired::EDGE;
use crate::door::person::Action;
use crate::server::{Refused, problem};

const SEVERITIES: [(&str, Severity); 4] =
    [("P1", Severity::P1), ("P2", Severity::P2), ("P3", Severity::P3), ("P4", Severity::P4)];

/// How an incident stands.
pub(super) fn mark(incident: &IncidentView) -> Mark {
    let state = match (incident.status.as_str(), incident.severity.as_str()) {
        ("resolved", _) => State::Healthy,
        ("monitoring", _) | (_, "P3" | "P4") => State::Warning,
        _ => State::Critical,
    };
    state.mark(incident.status.clone())
}

/// What a form of an incident's page asks for.
struct Form {
    /// In the address.
    command: &'static str,
    label: &'static str,
    hint: &'static str,
    /// What stands there already.
    value: String,
}

#[derive(Template)]
#[template(path = "dashboard/incidents.html")]
struct AllPage {
    frame: Frame,
    panels: Vec<Panel>,
    services: Vec<String>,
    may_write: bool,
}

/// `GET /incidents`
pub(crate) async fn all(Shared(dashboard): Shared<Dashboard>, visitor: Visitor, frame: Frame) -> Response {
    let coming = Coming::begin(&dashboard, vec![Panel::Incidents]);
    let (panels, services) = (coming.names(), services(&dashboard).await);
    coming.in_page(&AllPage { frame, panels, services, may_write: visitor.may(Action::Deploy) })
}

/// The manifest's, but for the edge.
pub(super) async fn services(dashboard: &Dashboard) -> Vec<String> {
    let services = status(dashboard).await.map(|status| status.services).unwrap_or_default();
    services.into_iter().map(|service| service.name).filter(|name| name != EDGE).collect()
}

#[derive(Template)]
#[template(path = "dashboard/incident.html")]
struct OnePage {
    frame: Frame,
    view: IncidentView,
    mark: Mark,
    forms: Vec<Form>,
    panels: Vec<Panel>,
    may_write: bool,
}

impl OnePage {
    fn began(&self) -> String {
        units::minute(&self.view.began_at)
    }

    /// Those that may be chosen: what is over stays so.
    fn stages(&self) -> &'static [Status] {
        if self.view.status == "resolved" { &[] } else { &Status::ALL }
    }
}

/// `GET /incidents/{number}`
pub(crate) async fn one(
    Shared(dashboard): Shared<Dashboard>,
    Path(number): Path<u64>,
    visitor: Visitor,
    frame: Frame,
) -> Result<Response, NoPage> {
    let view = known(&dashboard, number)?;
    let coming = Coming::begin(&dashboard, vec![Panel::Incident(number)]);
    let form = |command, label, hint, value: Option<&String>| Form {
        command,
        label,
        hint,
        value: value.cloned().unwrap_or_default(),
    };
    let forms = vec![
        form("note", "Note", "For those who work on it; nobody else reads it.", None),
        form("impact", "Impact", "What people cannot do. Everybody reads it.", view.impact.as_ref()),
        form("cause", "Root cause", "Why it happened, as far as it is known.", view.cause.as_ref()),
        form("action", "Action item", "What is to be done so that it does not happen again.", None),
    ];
    let (mark, may_write) = (mark(&view), visitor.may(Action::Deploy));
    let panels = coming.names();
    Ok(coming.in_page(&OnePage { frame, view, mark, forms, panels, may_write }))
}

/// The one of this number, as it is known.
pub(super) fn known(dashboard: &Dashboard, number: u64) -> Result<IncidentView, Refused> {
    let seen = dashboard.app.watching.alerts.seen();
    let found = seen.incidents.iter().find(|incident| incident.number == number).cloned();
    found.ok_or_else(|| Refused(problem(404, "there is no such incident", format!("{number} is not known"))))
}

/// `GET /incidents/{number}/{file}`: what to tell everybody, or the post-mortem's draft, to save.
pub(crate) async fn text(
    Shared(dashboard): Shared<Dashboard>,
    Path((number, file)): Path<(u64, String)>,
) -> Result<Response, NoPage> {
    let view = known(&dashboard, number)?;
    let (text, kind) = match file.as_str() {
        "announcement.txt" => (view.announcement, "text/plain; charset=utf-8"),
        "post-mortem.md" => (view.post_mortem, "text/markdown; charset=utf-8"),
        _ => return Err(Refused(problem(404, "there is no such text", file)).into()),
    };
    let saved = format!("attachment; filename=\"incident-{number}-{file}\"");
    let head = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, saved)];
    Ok((head, text).into_response())
}

/// `POST /incidents`
pub(crate) async fn open(
    Shared(dashboard): Shared<Dashboard>,
    visitor: Visitor,
    fields: Fields,
) -> Result<Redirect, NoPage> {
    let severity = SEVERITIES.iter().find(|(name, _)| *name == fields.text("severity"));
    let unknown = || unsaid("the severity is none of P1 to P4");
    let severity = severity.ok_or_else(unknown)?.1;
    let (title, services) = (fields.text("title").to_owned(), fields.all("services"));
    wish(&dashboard, &visitor, IncidentCommand::Open { title, severity, services }).await
}

/// `POST /incidents/{number}/{command}`
pub(crate) async fn change(
    Shared(dashboard): Shared<Dashboard>,
    Path((number, command)): Path<(u64, String)>,
    visitor: Visitor,
    fields: Fields,
) -> Result<Redirect, NoPage> {
    let command = meant(number, &command, &fields)?;
    wish(&dashboard, &visitor, command).await
}

async fn wish(dashboard: &Dashboard, visitor: &Visitor, command: IncidentCommand) -> Result<Redirect, NoPage> {
    visitor.require(Action::Deploy)?;
    let request = IncidentRequest { by: visitor.name().to_owned(), command };
    let number = dashboard.app.watching.alerts.ask_incident(request).await;
    let number = number.map_err(|why| Refused(problem(409, "this was not done", why)))?;
    Ok(Redirect::to(&format!("/incidents/{number}")))
}

fn meant(number: u64, command: &str, fields: &Fields) -> Result<IncidentCommand, Refused> {
    let text = || fields.text("text").to_owned();
    Ok(match command {
        "post" => {
            let status = match fields.text("status") {
                "" => None,
                name => Some(Status::named(name).ok_or_else(|| unsaid("an incident is not in such a state"))?),
            };
            IncidentCommand::Post { number, text: text(), status }
        }
        "note" => IncidentCommand::Note { number, text: text() },
        "impact" => IncidentCommand::Impact { number, text: text() },
        "cause" => IncidentCommand::Cause { number, text: text() },
        "action" => IncidentCommand::Action { number, text: text() },
        "follow-up" => {
            let point = fields.text("point").parse().map_err(|_| unsaid("the point has no number"))?;
            IncidentCommand::FollowUp { number, point }
        }
        other => {
            let detail = format!("an incident is not asked to `{other}`");
            return Err(Refused(problem(404, "there is no such button", detail)));
        }
    })
}

fn unsaid(why: &str) -> Refused {
    Refused(problem(422, "this was not done", why.to_owned()))
}
