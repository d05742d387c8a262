//! The page that everybody sees first.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use futures_util::future::join_all;

use super::pages::{Frame, NoPage, page};
use super::panels::{Panel, Shown, status};
use super::{Dashboard, units};
use crate::clock;
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

    /// Names of the panels that are kept up to date.
    fn live(&self) -> String {
        self.panels.iter().map(|(panel, _)| panel.name()).collect::<Vec<_>>().join(",")
    }
}

/// `GET /`
pub(crate) async fn show(State(dashboard): State<Dashboard>, frame: Frame) -> Response {
    let panels = join_all(Panel::ALL.map(|panel| within(panel, &dashboard))).await;
    let status = status(&dashboard).await.ok();
    let (ecosystem, environment) =
        status.map(|status| (status.ecosystem, status.environment)).unwrap_or_default();
    let now = clock::timestamp().to_string();
    let panels = Panel::ALL.into_iter().zip(panels).collect();
    page(&Overview { frame, ecosystem, environment, now, panels })
}

/// A panel that is there soon; what is not goes on being made, for whoever asks next.
async fn within(panel: Panel, dashboard: &Dashboard) -> Option<Shown> {
    let dashboard = dashboard.clone();
    let shown = tokio::spawn(async move { panel.show(&dashboard).await });
    tokio::time::timeout(PATIENCE, shown).await.ok()?.ok()
}

/// `GET /panels/{name}`
pub(crate) async fn panel(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
) -> Result<Response, NoPage> {
    let panel = Panel::named(&name).ok_or_else(|| unknown(&name))?;
    Ok(Html(panel.show(&dashboard).await.html.to_string()).into_response())
}

pub(super) fn unknown(name: &str) -> Refused {
    Refused(problem(404, "there is no such panel", format!("`{name}` is none of the overview's panels")))
}
