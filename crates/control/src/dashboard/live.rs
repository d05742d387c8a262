//! Which panels of an open page are new: one stream of server-sent events a page.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use mana_watch::schedule::INTERVAL;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::Dashboard;
use super::panels::{Panel, Shown};
use crate::clock;
use crate::door;
use crate::door::person::Person;
use crate::server::Refused;

/// How often panels are looked at.
const LOOK_EVERY: Duration = INTERVAL;
/// A stream ends after so many looks (an hour), and the page begins another: what a connection holds is let go of.
const LONGEST: u32 = 360;

/// Panels of one page.
const MOST_PANELS: usize = 16;

/// What a page asks to be told of.
pub(super) fn names(panels: &[(Panel, Option<Shown>)]) -> String {
    panels.iter().map(|(panel, _)| panel.key()).collect::<Vec<_>>().join(",")
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    panels: String,
}

struct Stream {
    dashboard: Dashboard,
    /// Who looks.
    person: Person,
    /// With what each was like when it was told last.
    panels: Vec<(Panel, Option<u64>)>,
    looks: u32,
    _turn: OwnedSemaphorePermit,
}

/// `GET /live?panels=NAME,NAME`
pub(crate) async fn stream(
    State(dashboard): State<Dashboard>,
    Query(asked): Query<Asked>,
    person: Person,
) -> Result<Response, Refused> {
    let turn = dashboard.stream()?;
    let named = asked.panels.split(',').filter_map(Panel::by_key).take(MOST_PANELS);
    let panels = named.map(|panel| (panel, None)).collect();
    let stream = stream::unfold(Stream { dashboard, person, panels, looks: 0, _turn: turn }, next);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}

async fn next(mut stream: Stream) -> Option<(Result<Event, Infallible>, Stream)> {
    if stream.looks > LONGEST {
        return None;
    }
    if stream.looks > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
        // Who has lost the right to look is told nothing more.
        if !door::still_sees(&stream.dashboard.app, &stream.person).await {
            return None;
        }
    }
    stream.looks += 1;
    let mut new = Vec::new();
    for (panel, told) in &mut stream.panels {
        let mut hasher = DefaultHasher::new();
        panel.show(&stream.dashboard).await.html.hash(&mut hasher);
        let now = Some(hasher.finish());
        // The page that has just been loaded shows what is seen first, but for a rollout: it may have moved between the page and this.
        let is_shown = stream.looks == 1 && !matches!(panel, Panel::Rollout(_));
        if std::mem::replace(told, now) != now && !is_shown {
            new.push(panel.key());
        }
    }
    let said = serde_json::json!({ "at": clock::timestamp().to_string(), "panels": new });
    Some((Ok(Event::default().event("panels").data(said.to_string())), stream))
}
