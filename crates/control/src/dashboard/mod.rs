//! The dashboard: pages that operators look at, behind the door.
//!
//! | at | what |
//! |---|---|
//! | `/` | the overview ([`overview`]), made of panels ([`panels`]) |
//! | `/panels/NAME` | one panel, for a page that is open: fetched when it is slow, and when [`live`] says that it is new |
//! | `/export/NAME.csv`, `/export/NAME.json` | what a panel shows, as a table |
//! | `/data/NAME` | what a chart is drawn from ([`charts`]) |
//! | `/live` | server-sent events: which panels are new |
//! | `/services/NAME` | one service ([`services`]) |
//! | `/rollouts`, `/rollouts/N` | rollouts, with the buttons that move them ([`rollouts`], [`actions`]) |
//! | `/alerts` | what fires, rules, silences, maintenance, channels ([`alerting`]) |
//! | `/incidents`, `/incidents/N` | incidents, and what people say of them ([`incidents`]) |
//! | `/logs`, `/logs/live` | lines of the instances, searched and followed ([`logs`]) |
//! | `/requests/ID` | one request: what the edge and every service have written of it ([`requests`]) |
//! | `/operators`, `/operators/NAME`, `/tokens` | who may log in and where they are, tokens, with the forms that change it ([`operators`], [`tokens`]); for admins |
//! | `/audit` | who changed what, searched and page by page, and whether it is as it was written ([`audit`]); for admins |
//! | `/assets/NAME`, `/favicon.svg` | what browsers need beside pages, for everybody |
//!
//! Pages are rendered here and work without scripts; scripts make them live and draw the charts. Each panel asks for what it
//! shows by itself, side by side with the others, and says what is not measured instead of showing a zero.
//!
//! To add a panel: a module in [`panels`] with a template and a table, and its line in [`panels::Panel`]. One that not everybody sees says
//! so in [`panels::Panel::action`], and its page belongs among those behind [`guard::admins`].

mod actions;
mod alerting;
pub(crate) mod alerts;
pub(crate) mod assets;
mod audit;
mod charts;
mod coming;
mod export;
mod fields;
mod figures;
mod guard;
mod incidents;
mod keep;
mod live;
mod logs;
mod measured;
mod operators;
mod overview;
mod pages;
mod panels;
mod requests;
mod rollouts;
mod services;
mod state;
mod table;
mod theme;
mod tokens;
mod turns;
mod units;

pub(crate) use units::minute;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::{App, Refused, problem};
use keep::Keep;
use measured::Measured;
use panels::{Chain, Panel, Shown};
use turns::Turns;

/// Pages that are kept up to date at once: each asks for its panels at the interval of scraping. Others still load, and say that
/// they stand still.
const STREAMS: usize = 64;
/// Searches of logs at once: each holds up to 32 MiB of a file.
const SEARCHES: usize = 3;
/// Others wait so long for one to end, which is longer than a search goes on for.
const SEARCH_PATIENCE: Duration = Duration::from_secs(5);
/// Panels that are kept: those of some dozens of pages.
const MOST_PANELS: usize = 256;
/// A panel is not rendered more often.
const PANEL_MS: i64 = 1_000;
/// The audit log is not walked more often: 100,000 rows of it take a while.
const CHAIN_MS: i64 = 5 * 60 * 1_000;

/// What the pages are made from.
#[derive(Clone)]
pub(crate) struct Dashboard {
    app: App,
    measured: Measured,
    panels: Arc<Keep<Panel, Shown>>,
    chain: Arc<Keep<(), Chain>>,
    streams: Arc<Semaphore>,
    searches: Turns,
}

impl Dashboard {
    /// The right to one more stream, as long as it is held.
    fn stream(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let too_many =
            |_| Refused(problem(503, "too many pages are open", "this one stands still; load it again".to_owned()));
        self.streams.clone().try_acquire_owned().map_err(too_many)
    }
}

/// All of it.
pub(crate) fn router(app: &App) -> Router<App> {
    let dashboard = Dashboard {
        app: app.clone(),
        measured: Measured::new(app.watching.clone()),
        panels: Arc::new(Keep::new(MOST_PANELS, PANEL_MS)),
        chain: Arc::new(Keep::new(1, CHAIN_MS)),
        streams: Arc::new(Semaphore::new(STREAMS)),
        searches: Turns::new(SEARCHES, SEARCH_PATIENCE),
    };
    let managed = Router::new()
        .route("/operators", get(operators::all).post(operators::invite))
        .route("/operators/{name}", get(operators::one))
        .route("/operators/{name}/{command}", post(operators::change))
        .route("/tokens", post(tokens::make))
        .route("/tokens/{name}/revoke", post(tokens::revoke))
        .route("/audit", get(audit::show))
        .route_layer(middleware::from_fn(guard::admins));
    let guarded = Router::new()
        .route("/", get(overview::show))
        .route("/panels/{*key}", get(overview::panel))
        .route("/export/{*file}", get(export::panel))
        .route("/data/{chart}", get(charts::data))
        .route("/live", get(live::stream))
        .route("/services/{name}", get(services::show))
        .route("/services/{name}/put-back", post(actions::put_back))
        .route("/rollouts", get(rollouts::all))
        .route("/rollouts/{number}", get(rollouts::one))
        .route("/rollouts/{number}/{command}", post(actions::rollout))
        .route("/alerts", get(alerting::show))
        .route("/alerts/{command}", post(alerting::change))
        .route("/alerts/channels/{name}/test", post(alerting::test))
        .route("/incidents", get(incidents::all).post(incidents::open))
        .route("/incidents/{number}", get(incidents::one))
        .route("/incidents/{number}/{command}", get(incidents::text).post(incidents::change))
        .route("/requests/{id}", get(requests::show))
        .route("/logs", get(logs::show))
        .route("/logs/live", get(logs::follow))
        .merge(managed)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard));
    let open = Router::new()
        .route("/assets/{name}", get(assets::serve))
        .route("/favicon.svg", get(assets::icon))
        .route("/favicon.ico", get(assets::icon));
    guarded.merge(open).layer(middleware::from_fn(pages::headers)).with_state(dashboard)
}
