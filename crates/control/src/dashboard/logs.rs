//! Lines of the instances' logs: the last ones, searched, and followed live.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::Dashboard;
use super::pages::{Frame, NoPage, page};
use super::panels::status;
use crate::door;
use crate::door::person::{Action, Person};
use crate::logs::{self, ACCESS, Asked, CONTROL, Following, Found, Level, Line, New, Search};
use crate::server::{Refused, problem};

/// Lines on a page.
const MOST_LINES: usize = 300;
/// How often files are looked at for what is new.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// Every so many looks (five seconds) it is asked whether whoever follows still may.
const ASK_EVERY: u32 = 10;
/// A stream ends after so many looks (an hour), and the page begins another.
const MOST_LOOKS: u32 = 7_200;

#[derive(Template)]
#[template(path = "dashboard/logs.html")]
struct Page {
    frame: Frame,
    asked: Asked,
    services: Vec<String>,
    found: Found,
    trouble: Option<String>,
}

impl Page {
    /// Those that lead to what comes from now on.
    fn live(&self) -> String {
        format!("/logs/live?{}", self.asked.query())
    }
}

#[derive(Template)]
#[template(path = "dashboard/new_lines.html")]
struct NewLines<'a> {
    lines: &'a [Line],
    of_one: bool,
    /// So many more were written at once.
    left_out: usize,
}

/// `GET /logs`
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    Query(asked): Query<Asked>,
    frame: Frame,
) -> Result<Response, NoPage> {
    let services = services(&dashboard).await;
    let (found, trouble) = match asked.search() {
        Ok(search) => (find(&dashboard, chosen(&asked, &services)?, search, MOST_LINES).await?, None),
        Err(why) => (Found::default(), Some(why)),
    };
    Ok(page(&Page { frame, asked, services, found, trouble }))
}

async fn services(dashboard: &Dashboard) -> Vec<String> {
    let status = status(dashboard).await;
    let mut names: Vec<String> = status
        .map(|status| status.services)
        .unwrap_or_default()
        .into_iter()
        .filter(|service| !service.instances.is_empty())
        .map(|service| service.name)
        .collect();
    // The edge's lines, one a request, and the control plane's own are shown where they are asked for.
    names.extend([ACCESS, CONTROL].map(str::to_owned));
    names
}

/// Whose lines: one's, or all but the control plane's own.
fn chosen(asked: &Asked, services: &[String]) -> Result<Vec<String>, Refused> {
    if asked.service.is_empty() {
        // Whoever looks for a request wants to see where it came in.
        let of_request = !asked.request_id.trim().is_empty();
        let usual = |name: &&String| *name != CONTROL && (of_request || *name != ACCESS);
        return Ok(services.iter().filter(usual).cloned().collect());
    }
    let known = services.iter().find(|name| **name == asked.service).cloned();
    let unknown = || {
        let detail = format!("`{}` has no instances whose lines could be shown", asked.service);
        Refused(problem(404, "there are no such logs", detail))
    };
    Ok(vec![known.ok_or_else(unknown)?])
}

async fn find(dashboard: &Dashboard, services: Vec<String>, search: Search, most: usize) -> Result<Found, Refused> {
    let turn = dashboard.searches.take("searching logs").await?;
    let data = dashboard.app.data.clone();
    let found = tokio::task::spawn_blocking(move || {
        let found = logs::find(&data, &services, &search, most);
        drop(turn);
        found
    });
    found.await.map_err(|error| Refused(problem(500, "the logs cannot be read", error.to_string())))
}

/// The last lines of a service. Few of them, from the ends of its files: there is no turn to wait for.
pub(super) async fn last(dashboard: &Dashboard, service: &str, most: usize) -> Vec<Line> {
    let (data, services) = (dashboard.app.data.clone(), vec![service.to_owned()]);
    let found = tokio::task::spawn_blocking(move || logs::find(&data, &services, &Search::default(), most)).await;
    found.map(|found| found.lines).unwrap_or_default()
}

struct Live {
    dashboard: Dashboard,
    /// Who follows.
    person: Person,
    following: Following,
    search: Search,
    of_one: bool,
    looks: u32,
    _turn: OwnedSemaphorePermit,
}

/// `GET /logs/live`: what comes from now on, as the rows of the page.
pub(crate) async fn follow(
    State(dashboard): State<Dashboard>,
    Query(asked): Query<Asked>,
    person: Person,
) -> Result<Response, Refused> {
    let turn = dashboard.stream()?;
    let search = asked.search().map_err(|why| Refused(problem(422, "this is not looked for", why)))?;
    let services = chosen(&asked, &services(&dashboard).await)?;
    let data = dashboard.app.data.clone();
    let following = Following::new(data, services);
    let of_one = !asked.service.is_empty();
    let live = Live { dashboard, person, following, search, of_one, looks: 0, _turn: turn };
    let stream = stream::unfold(live, next);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}

async fn next(mut live: Live) -> Option<(Result<Event, Infallible>, Live)> {
    loop {
        live.looks += 1;
        if live.looks > MOST_LOOKS {
            return None;
        }
        if live.looks.is_multiple_of(ASK_EVERY)
            && !door::still_may(&live.dashboard.app, &live.person, Action::See).await
        {
            return None;
        }
        let Live { following, search, .. } = live;
        let looked = tokio::task::spawn_blocking(move || {
            let mut following = following;
            let new = following.look(&search);
            (following, search, new)
        });
        let (following, search, New { lines, left_out }) = looked.await.ok()?;
        live = Live { following, search, ..live };
        if !lines.is_empty() {
            let html = NewLines { lines: &lines, of_one: live.of_one, left_out }.render().ok()?;
            // A line of an event ends where one of its data does.
            let html = html.replace(['\n', '\r'], " ");
            return Some((Ok(Event::default().event("lines").data(html)), live));
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_left_out_are_told_after_those_that_are_shown() {
        let lines = [Line::read("a", 1, "first <b>"), Line::read("a", 1, "second")];
        let html = |left_out| NewLines { lines: &lines, of_one: true, left_out }.render().expect("written");
        assert!(html(0).contains("second") && !html(0).contains("more lines"));
        let told = html(1_234);
        assert!(told.find("second") < told.find("1234 more lines came at once"), "{told}");
    }
}
