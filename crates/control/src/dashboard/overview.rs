//! The page that everybody sees first.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::{Html, IntoResponse, Response};

use super::coming::Coming;
use super::pages::{Frame, NoPage};
use super::panels::{Panel, status};
use super::{Dashboard, units};
use crate::clock;
use crate::door::person::Person;
use crate::server::{Refused, problem};

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct Overview {
    frame: Frame,
    ecosystem: String,
    environment: String,
    now: String,
    panels: Vec<Panel>,
}

impl Overview {
    fn at(&self) -> String {
        units::minute(&self.now)
    }
}

/// `GET /`
pub(crate) async fn show(State(dashboard): State<Dashboard>, frame: Frame) -> Response {
    let coming = Coming::begin(&dashboard, Panel::OVERVIEW.into());
    let status = status(&dashboard).await.ok();
    let (ecosystem, environment) = status.map(|status| (status.ecosystem, status.environment)).unwrap_or_default();
    let now = clock::timestamp().to_string();
    let panels = coming.names();
    coming.in_page(&Overview { frame, ecosystem, environment, now, panels })
}

/// `GET /panels/{key}`
pub(crate) async fn panel(
    State(dashboard): State<Dashboard>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    person: Person,
) -> Result<Response, NoPage> {
    let panel = Panel::sought(&key, query.as_deref(), &person)?;
    Ok(Html(panel.show(&dashboard).await.html.to_string()).into_response())
}

pub(super) fn unknown(name: &str) -> Refused {
    Refused(problem(404, "there is no such panel", format!("`{name}` is none of the pages' panels")))
}
