//! The panels of the overview. Each asks for what it shows, renders it, and gives the same as a table.

mod alerts;
mod databases;
mod dependencies;
mod health;
mod latency;
mod resources;
mod services;

use std::sync::Arc;

use askama::Template;

use super::Dashboard;
use super::measured::now_ms;
use super::table::Table;
use crate::api::Status;
use crate::server::{Refused, ask};
use crate::supervisor::Call;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Panel {
    Health,
    Services,
    Latency,
    Resources,
    Alerts,
    Databases,
    Dependencies,
}

/// A panel at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) html: Arc<str>,
    pub(crate) table: Arc<Table>,
}

impl Panel {
    /// In the order of the overview.
    pub(crate) const ALL: [Self; 7] = [
        Self::Health,
        Self::Services,
        Self::Latency,
        Self::Resources,
        Self::Alerts,
        Self::Databases,
        Self::Dependencies,
    ];

    /// In addresses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Services => "services",
            Self::Latency => "latency",
            Self::Resources => "resources",
            Self::Alerts => "alerts",
            Self::Databases => "databases",
            Self::Dependencies => "dependencies",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|panel| panel.name() == name)
    }

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Health => "System health",
            Self::Services => "Service status",
            Self::Latency => "Response time",
            Self::Resources => "Resource utilization",
            Self::Alerts => "Active alerts",
            Self::Databases => "Database performance",
            Self::Dependencies => "External dependencies",
        }
    }

    /// As it is now, or was a moment ago.
    pub(crate) async fn show(self, dashboard: &Dashboard) -> Shown {
        dashboard.panels.get(self, now_ms(), self.look(dashboard)).await
    }

    async fn look(self, dashboard: &Dashboard) -> Shown {
        match self {
            Self::Health => shown(&health::look(dashboard).await),
            Self::Services => shown(&services::look(dashboard).await),
            Self::Latency => shown(&latency::look(dashboard).await),
            Self::Resources => shown(&resources::look(dashboard).await),
            Self::Alerts => shown(&alerts::look(dashboard)),
            Self::Databases => shown(&databases::look(dashboard).await),
            Self::Dependencies => shown(&dependencies::look(dashboard).await),
        }
    }
}

/// What a panel is made of.
trait Tabular: Template {
    fn table(&self) -> Table;
}

fn shown(panel: &impl Tabular) -> Shown {
    let html = panel.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a panel cannot be written");
        "<p class=\"nothing\">This panel cannot be shown; the control plane's log says why.</p>".to_owned()
    });
    Shown { html: html.into(), table: Arc::new(panel.table()) }
}

/// Desired against actual.
pub(super) async fn status(dashboard: &Dashboard) -> Result<Status, String> {
    ask(&dashboard.app, Call::Status).await.map_err(|Refused(problem)| format!("{}: {}", problem.title, problem.detail))
}
