//! The page that everybody sees first.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use futures_util::future::join_all;

use super::pages::{Frame, NoPage, page};
use super::panels::{Panel, Shown, status};
use super::{Dashboard, units};
use crate::clock;
use crate::door::person::Person;
use crate::server::{Refused, problem};

/// How long the page waits for its panels: what takes longer shows up later by itself.
const PATIENCE: Duration = Duration::from_millis(120);

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct Overview {
    frame: Frame,
    ecosystem: String,
    environment: String,
    now: String,
    panels: Vec<(Panel, Option<Shown>)>,
}

impl Overview {
    fn at(&self) -> String {
        units::minute(&self.now)
    }
}

/// `GET /`
pub(crate) async fn show(State(dashboard): State<Dashboard>, frame: Frame) -> Response {
    let panels = soon(&dashboard, Panel::OVERVIEW.into()).await;
    let status = status(&dashboard).await.ok();
    let (ecosystem, environment) = status.map(|status| (status.ecosystem, status.environment)).unwrap_or_default();
    let now = clock::timestamp().to_string();
    page(&Overview { frame, ecosystem, environment, now, panels })
}

/// Panels side by side, those that are there soon; what is not goes on being made, for whoever asks next.
pub(super) async fn soon(dashboard: &Dashboard, panels: Vec<Panel>) -> Vec<(Panel, Option<Shown>)> {
    let within = async |panel: Panel| {
        let (dashboard, asked) = (dashboard.clone(), panel.clone());
        let shown = tokio::spawn(async move { asked.show(&dashboard).await });
        let shown = tokio::time::timeout(PATIENCE, shown).await;
        (panel, shown.ok().and_then(Result::ok))
    };
    join_all(panels.into_iter().map(within)).await
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
