//! The channels by which people are told, without what is secret of them.

use askama::Template;
use mana_manifest::plan::{Notification, Target};
use serde_json::json;

use super::super::Dashboard;
use super::super::alerting;
use super::{Buttons, Table, Tabular};

#[derive(Template)]
#[template(path = "dashboard/panels/channels.html")]
pub(super) struct Channels {
    rows: Vec<Channel>,
    buttons: Buttons,
}

struct Channel {
    name: String,
    kind: &'static str,
    events: String,
    services: String,
}

impl Channel {
    fn of(notification: &Notification) -> Self {
        let or_all = |list: &[String]| if list.is_empty() { "all".to_owned() } else { list.join(", ") };
        Self {
            name: notification.name.clone(),
            kind: match &notification.target {
                Target::Webhook { .. } => "webhook",
                Target::Slack { .. } => "slack",
                Target::Ntfy { .. } => "ntfy",
                Target::Email { .. } => "email",
            },
            events: or_all(&notification.events),
            services: or_all(&notification.services),
        }
    }
}

pub(super) async fn look(dashboard: &Dashboard, buttons: Buttons) -> Channels {
    let channels = alerting::channels(dashboard).await;
    let rows = channels.map(|(channels, _)| channels.iter().map(Channel::of).collect()).unwrap_or_default();
    Channels { rows, buttons }
}

impl Tabular for Channels {
    fn table(&self) -> Table {
        let mut table = Table::new(&["channel", "kind", "events", "services"]);
        for Channel { name, kind, events, services } in &self.rows {
            table.row([json!(name), json!(kind), json!(events), json!(services)]);
        }
        table
    }
}
