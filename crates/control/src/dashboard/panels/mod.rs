//! The panels of pages: the parts that are kept up to date by themselves. Each asks for what it shows, renders it, and gives the
//! same as a table.

mod alerts;
mod audit;
mod budgets;
mod chain;
mod channels;
mod databases;
mod dependencies;
mod groups;
mod health;
mod incidents;
mod latency;
mod operators;
mod quiets;
mod resources;
mod rollout;
mod rollouts;
mod rules;
mod service;
mod services;
mod sessions;
mod tokens;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use askama::Template;

pub(crate) use chain::Chain;

use super::Dashboard;
use super::measured::now_ms;
use super::overview::unknown;
use super::table::Table;
use crate::api::Status;
use crate::audit::search::Asked;
use crate::door::person::{Action, Person};
use crate::people::check_name;
use crate::server::{Refused, ask};
use crate::supervisor::Call;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Panel {
    Health,
    Services,
    Latency,
    Resources,
    Alerts,
    Databases,
    Dependencies,
    /// A part of a service's page.
    Service(String, Part),
    /// Every rule that is watched.
    Rules,
    /// What people were told of together, and who looks after it.
    Groups(Buttons),
    /// Silences and maintenance.
    Quiets(Buttons),
    /// Where people are told.
    Channels(Buttons),
    /// All incidents, newest first.
    Incidents,
    /// One of them.
    Incident(u64),
    /// All rollouts, newest first.
    Rollouts,
    /// One of them.
    Rollout(u64),
    /// Everybody who may log in.
    Operators,
    /// Where one of them is logged in.
    Sessions(String),
    /// Tokens of the API.
    Tokens,
    /// Rows of the audit log that are looked for, newest first.
    Audit(Asked),
    /// Whether the audit log is as it was written.
    Chain,
}

/// What addresses call the audit log.
const AUDIT: &str = "audit";

/// Part of a service's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// Versions and slots with their weights.
    Slots,
    /// Rate, errors, times, saturation.
    Signals,
    /// Its objectives, and how much may still go wrong.
    Budgets,
    Instances,
    Rollouts,
}

/// Whether a panel is made for those who may press its buttons. They belong to the page's form `change`, which holds the token of
/// whoever looks: the panel is the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Buttons {
    With,
    Without,
}

/// A panel at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) html: Arc<str>,
    pub(crate) table: Arc<Table>,
}

impl Shown {
    /// What tells it from what was shown before: the same from this program only.
    pub(crate) fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.html.hash(&mut hasher);
        hasher.finish()
    }
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [Self::Slots, Self::Signals, Self::Budgets, Self::Instances, Self::Rollouts];

    fn key(self) -> &'static str {
        match self {
            Self::Slots => "slots",
            Self::Signals => "signals",
            Self::Budgets => "budgets",
            Self::Instances => "instances",
            Self::Rollouts => "rollouts",
        }
    }
}

impl Buttons {
    fn key(self) -> &'static str {
        match self {
            Self::With => "/buttons",
            Self::Without => "",
        }
    }
}

impl Panel {
    /// In the order of the overview.
    pub(crate) const OVERVIEW: [Self; 7] = [
        Self::Health,
        Self::Services,
        Self::Latency,
        Self::Resources,
        Self::Alerts,
        Self::Databases,
        Self::Dependencies,
    ];

    /// Those of other pages that there is one of.
    const OTHERS: [Self; 12] = [
        Self::Rules,
        Self::Incidents,
        Self::Rollouts,
        Self::Operators,
        Self::Tokens,
        Self::Chain,
        Self::Groups(Buttons::With),
        Self::Groups(Buttons::Without),
        Self::Quiets(Buttons::With),
        Self::Quiets(Buttons::Without),
        Self::Channels(Buttons::With),
        Self::Channels(Buttons::Without),
    ];

    /// In addresses: `health`, `service/NAME/signals`, `rollout/7`, `audit?who=ada`.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Health => "health".to_owned(),
            Self::Services => "services".to_owned(),
            Self::Latency => "latency".to_owned(),
            Self::Resources => "resources".to_owned(),
            Self::Alerts => "alerts".to_owned(),
            Self::Databases => "databases".to_owned(),
            Self::Dependencies => "dependencies".to_owned(),
            Self::Service(name, part) => format!("service/{name}/{}", part.key()),
            Self::Rules => "rules".to_owned(),
            Self::Groups(buttons) => format!("groups{}", buttons.key()),
            Self::Quiets(buttons) => format!("quiets{}", buttons.key()),
            Self::Channels(buttons) => format!("channels{}", buttons.key()),
            Self::Incidents => "incidents".to_owned(),
            Self::Incident(number) => format!("incident/{number}"),
            Self::Rollouts => "rollouts".to_owned(),
            Self::Rollout(number) => format!("rollout/{number}"),
            Self::Operators => "operators".to_owned(),
            Self::Sessions(name) => format!("sessions/{name}"),
            Self::Tokens => "tokens".to_owned(),
            Self::Audit(asked) if *asked == Asked::default() => AUDIT.to_owned(),
            Self::Audit(asked) => format!("{AUDIT}?{}", asked.query()),
            Self::Chain => "chain".to_owned(),
        }
    }

    /// What somebody has to be allowed who sees it.
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Operators | Self::Sessions(_) | Self::Tokens | Self::Audit(_) | Self::Chain => Action::Manage,
            Self::Health
            | Self::Services
            | Self::Latency
            | Self::Resources
            | Self::Alerts
            | Self::Databases
            | Self::Dependencies
            | Self::Service(..)
            | Self::Rules
            | Self::Groups(_)
            | Self::Quiets(_)
            | Self::Channels(_)
            | Self::Incidents
            | Self::Incident(_)
            | Self::Rollouts
            | Self::Rollout(_) => Action::See,
        }
    }

    /// The one that somebody asks for by its key, and the query behind it, if they may see it.
    pub(crate) fn sought(key: &str, query: Option<&str>, person: &Person) -> Result<Self, Refused> {
        let panel = match query {
            Some(query) if key == AUDIT => Some(Self::Audit(Asked::read(query))),
            _ => Self::by_key(key),
        };
        let panel = panel.ok_or_else(|| unknown(key))?;
        person.require(panel.action())?;
        Ok(panel)
    }

    pub(crate) fn by_key(key: &str) -> Option<Self> {
        if let Some(query) = key.strip_prefix(AUDIT).and_then(|rest| rest.strip_prefix('?')) {
            return Some(Self::Audit(Asked::read(query)));
        }
        if let Some(panel) = Self::OVERVIEW.into_iter().chain(Self::OTHERS).find(|panel| panel.key() == key) {
            return Some(panel);
        }
        if key == AUDIT {
            return Some(Self::Audit(Asked::default()));
        }
        let mut parts = key.split('/');
        let panel = match (parts.next()?, parts.next()?, parts.next()) {
            ("sessions", name, None) if check_name(name).is_ok() => Self::Sessions(name.to_owned()),
            ("incident", number, None) => Self::Incident(number.parse().ok()?),
            ("rollout", number, None) => Self::Rollout(number.parse().ok()?),
            ("service", name, Some(part)) => {
                Self::Service(name.to_owned(), Part::ALL.into_iter().find(|known| known.key() == part)?)
            }
            _ => return None,
        };
        parts.next().is_none().then_some(panel)
    }

    /// For people.
    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::Health => "System health",
            Self::Services => "Service status",
            Self::Latency => "Response time",
            Self::Resources => "Resource utilization",
            Self::Alerts => "Active alerts",
            Self::Databases => "Database performance",
            Self::Dependencies => "External dependencies",
            Self::Service(_, Part::Slots) => "Versions",
            Self::Service(_, Part::Signals) => "Golden signals",
            Self::Service(_, Part::Budgets) => "Error budgets",
            Self::Service(_, Part::Instances) => "Instances",
            Self::Service(_, Part::Rollouts) | Self::Rollouts => "Rollouts",
            Self::Rollout(_) => "Progress",
            Self::Rules => "Rules",
            Self::Groups(_) => "Who looks after it",
            Self::Quiets(_) => "Silences and maintenance",
            Self::Channels(_) => "Channels",
            Self::Incidents => "Incidents",
            Self::Incident(_) => "What is known",
            Self::Operators => "Who may log in",
            Self::Sessions(_) => "Where they are logged in",
            Self::Tokens => "Tokens",
            Self::Audit(_) => "Who changed what",
            Self::Chain => "Has anybody changed it",
        }
    }

    /// As it is now, or was a moment ago.
    pub(crate) async fn show(&self, dashboard: &Dashboard) -> Shown {
        // What is in memory anyway is shown as it is: whoever has just changed it wants to see that.
        let in_memory = matches!(
            self,
            Self::Alerts
                | Self::Groups(_)
                | Self::Quiets(_)
                | Self::Rules
                | Self::Incidents
                | Self::Incident(_)
                | Self::Service(_, Part::Budgets)
        );
        if in_memory {
            return self.look(dashboard).await;
        }
        dashboard.panels.get(self.clone(), now_ms(), Box::pin(self.look(dashboard))).await
    }

    async fn look(&self, dashboard: &Dashboard) -> Shown {
        match self {
            Self::Health => shown(&health::look(dashboard).await),
            Self::Services => shown(&services::look(dashboard).await),
            Self::Latency => shown(&latency::look(dashboard).await),
            Self::Resources => shown(&resources::look(dashboard).await),
            Self::Alerts => shown(&alerts::look(dashboard)),
            Self::Databases => shown(&databases::look(dashboard).await),
            Self::Dependencies => shown(&dependencies::look(dashboard).await),
            Self::Service(name, Part::Slots) => shown(&service::slots(dashboard, name).await),
            Self::Service(name, Part::Signals) => shown(&service::signals(dashboard, name).await),
            Self::Service(name, Part::Budgets) => shown(&budgets::look(dashboard, name)),
            Self::Service(name, Part::Instances) => shown(&service::instances(dashboard, name).await),
            Self::Service(name, Part::Rollouts) => shown(&rollouts::look(dashboard, Some(name)).await),
            Self::Rollouts => shown(&rollouts::look(dashboard, None).await),
            Self::Rollout(number) => shown(&rollout::look(dashboard, *number).await),
            Self::Rules => shown(&rules::look(dashboard)),
            Self::Groups(buttons) => shown(&groups::look(dashboard, *buttons)),
            Self::Quiets(buttons) => shown(&quiets::look(dashboard, *buttons)),
            Self::Channels(buttons) => shown(&channels::look(dashboard, *buttons).await),
            Self::Incidents => shown(&incidents::look(dashboard)),
            Self::Incident(number) => shown(&incidents::one(dashboard, *number)),
            Self::Operators => shown(&operators::look(dashboard).await),
            Self::Sessions(name) => shown(&sessions::look(dashboard, name).await),
            Self::Tokens => shown(&tokens::look(dashboard).await),
            Self::Audit(asked) => shown(&audit::look(dashboard, asked).await),
            Self::Chain => shown(&chain::look(dashboard).await),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Scope, TokenView};

    #[test]
    fn a_panel_is_found_by_what_addresses_call_it() {
        let service = |part| Panel::Service("chat-web".to_owned(), part);
        let own = Part::ALL.map(service).into_iter().chain(Panel::OTHERS);
        let own = own.chain([Panel::Rollout(7), Panel::Incident(3), Panel::Sessions("bob@example.com".to_owned())]);
        let own =
            own.chain(["", "who=ada&target=a%2Cb%7E+%25&before=70"].map(|query| Panel::Audit(Asked::read(query))));
        for panel in Panel::OVERVIEW.into_iter().chain(own) {
            assert_eq!(Panel::by_key(&panel.key()), Some(panel.clone()), "{panel:?}");
        }
        for key in [
            "",
            "nothing",
            "rollout/",
            "rollout/x",
            "rollout/7/8",
            "service/a",
            "service/a/b",
            "service/a/slots/c",
            "sessions/",
            "sessions/a b",
            "audit/1",
            "auditor",
        ] {
            assert_eq!(Panel::by_key(key), None, "{key}");
        }
    }

    #[test]
    fn what_is_for_admins_alone_is_shown_to_nobody_else() {
        let reader = TokenView {
            name: "grafana".into(),
            scopes: Scope::ALL.into_iter().collect(),
            made_at: String::new(),
            expires_at: None,
            used_at: None,
        };
        let reader = Person::by_token(reader, jiff::Timestamp::UNIX_EPOCH).expect("let in");
        let refused = |key: &str, query: Option<&str>| {
            let sought = Panel::sought(key, query, &reader);
            sought.err().map(|Refused(problem)| problem.status)
        };
        for key in ["health", "rollouts", "channels", "service/a/slots"] {
            assert_eq!(refused(key, None), None, "{key}");
        }
        for key in ["operators", "sessions/ada", "tokens", "audit", "audit?who=ada", "chain"] {
            assert_eq!(refused(key, None), Some(403), "{key}");
        }
        assert_eq!((refused("audit", Some("who=ada")), refused("nothing", Some("who=ada"))), (Some(403), Some(404)));
    }
}
