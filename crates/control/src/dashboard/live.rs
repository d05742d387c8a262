//! Which panels of an open page are new: one stream of server-sent events a page.

use std::convert::Infallible;
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
use crate::door::person::{Action, Person};
use crate::server::Refused;

/// How often panels are looked at: what they show is measured as often.
const LOOK_EVERY: Duration = INTERVAL;
/// How often where one of them is a rollout, which people wait for.
const LOOK_AT_ROLLOUTS_EVERY: Duration = Duration::from_secs(2);
/// A stream ends then, and the page begins another: what a connection holds is let go of.
const LONGEST: Duration = Duration::from_hours(1);

/// Panels of one page.
const MOST_PANELS: usize = 16;

/// What a page asks to be told of, panel by panel: its key and what is shown of it (`health~1f`), so that nothing is missed that happens
/// before the stream begins. A page that has shown them for a while asks by their keys alone, and is told of all.
pub(super) fn name(panel: &Panel, shown: Option<&Shown>) -> String {
    let mark = shown.map(|shown| format!("{:x}", shown.mark())).unwrap_or_default();
    format!("{}~{mark}", panel.key())
}

/// What the page shows of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nobody knows: it is told of it.
    Unknown,
    /// It fetches the panel just now.
    Fetched,
    /// This.
    Mark(u64),
}

impl Seen {
    /// Whether the page is to be told of it, now that it is like this.
    fn is_old(self, now: u64) -> bool {
        match self {
            Self::Unknown => true,
            Self::Fetched => false,
            Self::Mark(mark) => mark != now,
        }
    }
}

/// A panel as a page asks to be told of it.
fn named(name: &str) -> Option<(Panel, Seen)> {
    let (key, seen) = match name.split_once('~') {
        None => (name, Seen::Unknown),
        Some((key, "")) => (key, Seen::Fetched),
        Some((key, mark)) => (key, u64::from_str_radix(mark, 16).map_or(Seen::Unknown, Seen::Mark)),
    };
    Some((Panel::by_key(key)?, seen))
}

/// How long it is waited between two looks.
fn pause(panels: &[(Panel, Seen)]) -> Duration {
    let has_rollout = panels.iter().any(|(panel, _)| matches!(panel, Panel::Rollout(_)));
    if has_rollout { LOOK_AT_ROLLOUTS_EVERY } else { LOOK_EVERY }
}

/// What somebody has to be allowed who is told of all of them.
fn action(panels: &[(Panel, Seen)]) -> Action {
    let is_managed = panels.iter().any(|(panel, _)| panel.action() == Action::Manage);
    if is_managed { Action::Manage } else { Action::See }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    panels: String,
}

struct Stream {
    dashboard: Dashboard,
    /// Who looks.
    person: Person,
    /// With what the page shows of each.
    panels: Vec<(Panel, Seen)>,
    /// What whoever looks has to be allowed.
    action: Action,
    pause: Duration,
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
    let seen = |(panel, _): &(Panel, Seen)| person.may(panel.action());
    let panels: Vec<(Panel, Seen)> = asked.panels.split(',').filter_map(named).filter(seen).take(MOST_PANELS).collect();
    let (action, pause) = (action(&panels), pause(&panels));
    let stream = stream::unfold(Stream { dashboard, person, panels, action, pause, looks: 0, _turn: turn }, next);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}

async fn next(mut stream: Stream) -> Option<(Result<Event, Infallible>, Stream)> {
    if stream.pause * stream.looks > LONGEST {
        return None;
    }
    if stream.looks > 0 {
        tokio::time::sleep(stream.pause).await;
        // Who has lost the right to look is told nothing more.
        if !door::still_may(&stream.dashboard.app, &stream.person, stream.action).await {
            return None;
        }
    }
    stream.looks += 1;
    let mut new = Vec::new();
    for (panel, seen) in &mut stream.panels {
        let now = panel.show(&stream.dashboard).await.mark();
        if seen.is_old(now) {
            new.push(panel.key());
        }
        *seen = Seen::Mark(now);
    }
    let said = serde_json::json!({ "at": clock::timestamp().to_string(), "panels": new });
    Some((Ok(Event::default().event("panels").data(said.to_string())), stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_of_what_it_does_not_show_yet() {
        for (name, old) in
            [("alerts", true), ("alerts~", false), ("alerts~2a", false), ("alerts~2b", true), ("alerts~nothing", true)]
        {
            let (panel, seen) = named(name).expect(name);
            assert_eq!((panel, seen.is_old(0x2a)), (Panel::Alerts, old), "{name}");
        }
        assert_eq!(named("nothing~2a"), None);
    }

    #[test]
    fn a_page_asks_for_what_it_shows_and_for_what_it_waits_for() {
        let shown = Shown { html: "<p>".into(), table: std::sync::Arc::default() };
        let mark = shown.mark();
        let asked = [name(&Panel::Rollout(7), Some(&shown)), name(&Panel::Databases, None)].join(",");
        let found: Vec<_> = asked.split(',').filter_map(named).collect();
        assert_eq!(found, [(Panel::Rollout(7), Seen::Mark(mark)), (Panel::Databases, Seen::Fetched)]);
        assert_eq!((pause(&found), pause(&found[1..])), (LOOK_AT_ROLLOUTS_EVERY, LOOK_EVERY));
    }

    #[test]
    fn a_page_of_what_is_for_admins_is_told_of_it_as_long_as_whoever_looks_is_one() {
        let of = |panels: &str| action(&panels.split(',').filter_map(named).collect::<Vec<_>>());
        assert_eq!(
            (of("health,alerts"), of("health,tokens"), of("audit?who=ada~2a")),
            (Action::See, Action::Manage, Action::Manage)
        );
        let panel = Panel::Audit(crate::audit::search::Asked::read("target=a%2Cb~c"));
        assert_eq!(named(&name(&panel, None)), Some((panel, Seen::Fetched)), "in an address it stays whole");
    }
}
