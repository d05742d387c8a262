//! The stored series over HTTP, in Prometheus' shapes: what Grafana asks a Prometheus works here.
//!
//! | call | parameters |
//! |---|---|
//! | `/v1/query` | `query`, `time` |
//! | `/v1/query_range` | `query`, `start`, `end`, `step` |
//! | `/v1/series` | `match[]` (at least one), `start`, `end` |
//! | `/v1/labels` | `match[]`, `start`, `end` |
//! | `/v1/label/NAME/values` | `match[]`, `start`, `end` |
//! | `/v1/status/buildinfo` | what Grafana asks to know what it talks to |
//!
//! `/federate?match[]=…` gives the last sample of each series that one of them fits, in the text format, for another Prometheus with `honor_labels`.
//!
//! Each may be asked with GET, or with POST and a form. Queries are worked on beside all else, few at a time and with a deadline.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mana_watch::exposition::{self, Format, Kind};
use mana_watch::query::{self, Limits, QueryError};
use mana_watch::series::{Keep, Labels, Matcher, Sample, Source, SourceError};
use mana_watch::store::Reader;
use tokio::sync::Semaphore;

use super::beside::beside;
use super::rounds::now_ms;
use crate::server::App;

/// Longest time for one query.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Queries at once: each holds samples in memory. Others wait, [`PATIENCE`] at most.
static AT_ONCE: Semaphore = Semaphore::const_new(4);
const PATIENCE: Duration = Duration::from_secs(10);

/// What another Prometheus scrapes of the stored series, at the door's root.
pub(crate) fn federation() -> Router<App> {
    Router::new().route("/federate", get(federate))
}

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/query", get(instant).post(instant))
        .route("/v1/query_range", get(range).post(range))
        .route("/v1/series", get(series).post(series))
        .route("/v1/labels", get(labels).post(labels))
        .route("/v1/label/{name}/values", get(values))
        .route("/v1/status/buildinfo", get(build))
}

/// Whether a request changes nothing: Grafana posts its questions, since they may be long.
pub(crate) fn only_asks(method: &Method, path: &str) -> bool {
    const POSTED: [&str; 4] = ["/v1/query", "/v1/query_range", "/v1/series", "/v1/labels"];
    let path = path.strip_prefix("/api").unwrap_or(path);
    method.is_safe() || (*method == Method::POST && POSTED.contains(&path))
}

/// What was asked with, in the order of the request.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(query: Option<&str>, body: &str) -> Self {
        let both = [query.unwrap_or_default(), body];
        Self(
            both.iter()
                .flat_map(|text| form_urlencoded::parse(text.as_bytes()))
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn needed(&self, name: &'static str) -> Result<&str, Failed> {
        self.get(name).ok_or_else(|| Failed::bad(&format!("the parameter `{name}` is missing")))
    }

    fn time(&self, name: &'static str, absent: i64) -> Result<i64, Failed> {
        self.get(name).map_or(Ok(absent), |text| Ok(query::time(name, text)?))
    }

    /// Each `match[]` by itself.
    fn matchers(&self) -> Result<Vec<Vec<Matcher>>, Failed> {
        let all = self.0.iter().filter(|(name, _)| name == "match[]");
        all.map(|(_, text)| Ok(query::matchers(text)?)).collect()
    }
}

/// An error in Prometheus' shape.
struct Failed {
    status: u16,
    body: String,
}

impl Failed {
    fn new(status: u16, kind: &str, text: &str) -> Self {
        let body = serde_json::json!({ "status": "error", "errorType": kind, "error": text });
        Self { status, body: body.to_string() }
    }

    fn bad(text: &str) -> Self {
        Self::new(400, "bad_data", text)
    }
}

impl From<QueryError> for Failed {
    fn from(error: QueryError) -> Self {
        Self { status: error.status(), body: error.to_json() }
    }
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Self {
        Self::from(QueryError::from(error))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/json")], self.body).into_response()
    }
}

async fn instant(State(app): State<App>, RawQuery(query): RawQuery, body: String) -> Result<Response, Failed> {
    let asked = Parameters::read(query.as_deref(), &body);
    let (text, at) = (asked.needed("query")?.to_owned(), asked.time("time", now_ms())?);
    evaluated(&app, move |reader, limits| Ok(query::query(reader, &text, at, limits)?.to_json())).await
}

async fn range(State(app): State<App>, RawQuery(query): RawQuery, body: String) -> Result<Response, Failed> {
    let asked = Parameters::read(query.as_deref(), &body);
    let text = asked.needed("query")?.to_owned();
    let (from, to) = (query::time("start", asked.needed("start")?)?, query::time("end", asked.needed("end")?)?);
    let step = query::step(asked.needed("step")?)?;
    evaluated(&app, move |reader, limits| Ok(query::query_range(reader, &text, from, to, step, limits)?.to_json()))
        .await
}

async fn series(State(app): State<App>, RawQuery(query): RawQuery, body: String) -> Result<Response, Failed> {
    let asked = Parameters::read(query.as_deref(), &body);
    if asked.matchers()?.is_empty() {
        return Err(Failed::bad("name at least one series with `match[]`"));
    }
    known(&app, &asked, |series| query::series_json(series)).await
}

async fn labels(State(app): State<App>, RawQuery(query): RawQuery, body: String) -> Result<Response, Failed> {
    known(&app, &Parameters::read(query.as_deref(), &body), |series| query::labels_json(series)).await
}

async fn values(
    State(app): State<App>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failed> {
    known(&app, &Parameters::read(query.as_deref(), ""), move |series| query::label_values_json(&name, series)).await
}

/// Grafana looks for what a version of Prometheus can do; this is the one whose answers ours are compared with.
async fn build() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let body =
        format!("{{\"status\":\"success\",\"data\":{{\"version\":\"2.42.0\",\"application\":\"mana {version}\"}}}}");
    json(body)
}

/// A sample that is older stands for nothing any more, as in queries.
const LOOKBACK_MS: i64 = query::LOOKBACK_MS;

async fn federate(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Failed> {
    let matchers = Parameters::read(query.as_deref(), "").matchers()?;
    if matchers.is_empty() {
        return Err(Failed::bad("name at least one series with `match[]`, such as match[]={__name__=~\".+\"}"));
    }
    let now = now_ms();
    let text = worked(&app, move |reader, limits| {
        let stopped = || limits.stop.is_some_and(|stop| stop());
        let mut last: BTreeMap<Labels, Sample> = BTreeMap::new();
        for matchers in &matchers {
            reader.each(matchers, now - LOOKBACK_MS, now, 1, Keep::Last, &mut |labels, samples| {
                if let Some(sample) = samples.last() {
                    last.insert(labels, *sample);
                }
                if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if stopped() {
                return Err(QueryError::OutOfTime.into());
            }
        }
        let mut text = String::new();
        let series = last.iter().map(|(labels, sample)| (labels, *sample));
        exposition::write(&mut text, series, Format::Text, |_| Kind::Unknown);
        Ok(text)
    });
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.await?).into_response())
}

async fn known(
    app: &App,
    asked: &Parameters,
    render: impl FnOnce(&[Labels]) -> String + Send + 'static,
) -> Result<Response, Failed> {
    let mut matchers = asked.matchers()?;
    if matchers.is_empty() {
        matchers.push(Vec::new());
    }
    let (from, to) = (asked.time("start", 0)?, asked.time("end", now_ms())?);
    evaluated(app, move |reader, limits| {
        let stopped = || limits.stop.is_some_and(|stop| stop());
        let mut found = Vec::new();
        for matchers in &matchers {
            found.extend(reader.series(matchers, from, to, &stopped)?);
            if stopped() {
                return Err(QueryError::OutOfTime.into());
            }
        }
        found.sort();
        found.dedup();
        Ok(render(&found))
    })
    .await
}

async fn evaluated(
    app: &App,
    work: impl FnOnce(&Reader, &Limits<'_>) -> Result<String, Failed> + Send + 'static,
) -> Result<Response, Failed> {
    worked(app, work).await.map(json)
}

async fn worked(
    app: &App,
    work: impl FnOnce(&Reader, &Limits<'_>) -> Result<String, Failed> + Send + 'static,
) -> Result<String, Failed> {
    let busy = |why: &str| Failed::new(503, "unavailable", why);
    let reader = app.watching.reader().cloned();
    let reader = reader.ok_or_else(|| busy("the stored series are not open yet; try again shortly"))?;
    let turn = tokio::time::timeout(PATIENCE, AT_ONCE.acquire()).await;
    let turn = turn.ok().and_then(Result::ok).ok_or_else(|| busy("too many queries at once; try again shortly"))?;
    let body = beside(turn, TIMEOUT, move |limits| work(&reader, limits)).await;
    body.map_err(|error| Failed::new(500, "internal", &error.to_string()))?
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
