//! The operator API over `control.sock`: HTTP to messages and back. Decides nothing.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use mana_delivery::rollout::Command;

use crate::api::{
    AlertRequest, Apply, Deploy, EdgeChange, IncidentRequest, NewToken, Problem, PutBack, Restart, RolloutCommand,
    RunRequest, SmokeRequest,
};
use crate::audit::{self, Source};
use crate::door::Gate;
use crate::door::person::{Action, Person};
use crate::store::{Store, StoreError};
use crate::supervisor::{Call, Message, Stream, internal, output};
use crate::watching::{Watching, prometheus};
use crate::{clock, manifest, rules, smoke};

pub(crate) mod people;

/// Largest request: a few paths and names.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Largest manifest that is read: hundreds of services.
const MAX_MANIFEST_BYTES: u64 = 4 * 1024 * 1024;
/// Journal entries in one answer, at most and by default.
const MAX_JOURNAL: u32 = 10_000;
const DEFAULT_JOURNAL: u32 = 100;

#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) data: PathBuf,
    pub(crate) mailbox: mpsc::Sender<Message>,
    pub(crate) watching: Watching,
    /// What logging in needs.
    pub(crate) gate: Arc<Gate>,
}

/// Answers calls until the process ends.
pub(crate) async fn serve(listener: UnixListener, app: App) -> io::Result<()> {
    let calls = shared()
        .route("/v1/apply", post(apply))
        .route("/v1/restart", post(restart))
        .route("/v1/edge", post(edge))
        .route("/v1/down", post(down))
        .route("/v1/run", post(run))
        .merge(managing())
        .fallback(async || Refused(problem(404, "there is no such call", String::new())))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .layer(middleware::from_fn_with_state((app.clone(), Source::Socket), audit::record))
        .with_state(app);
    axum::serve(Owners(listener), calls).await
}

/// The calls that are not for the owner of the socket alone.
pub(crate) fn shared() -> Router<App> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/rollouts", get(rollouts).post(deploy))
        .route("/v1/rollouts/{number}", get(rollout).post(rollout_command))
        .route("/v1/rollouts/{number}/view", get(rollout_view))
        .route("/v1/rollouts/{number}/output", get(rollout_output))
        .route("/v1/put-back", post(put_back))
        .route("/v1/smoke", post(smoke))
        .route("/v1/serving", get(serving))
        .route("/v1/journal", get(journal))
        .route("/v1/alerting", get(alerting).post(alert_command))
        .route("/v1/incidents", get(incidents).post(incident_command))
        .merge(prometheus::routes())
}

/// The calls that say who may come in, and who did what: for the owner of the socket, and for admins.
pub(crate) fn managing() -> Router<App> {
    Router::new()
        .route("/v1/tokens", get(tokens).post(make_token))
        .route("/v1/tokens/{name}", delete(remove_token))
        .merge(people::calls())
}

/// Whoever came in at the door: their name stands for the operator, whatever the request says.
type AtDoor = Option<Extension<Person>>;

fn operator(person: &AtDoor, action: Action, by: String) -> Result<String, Refused> {
    match person {
        None => Ok(by),
        Some(Extension(person)) => person.require(action).map(|()| person.name.clone()),
    }
}

/// Accepts connections of the owner of this process (and of root) alone. The socket's mode says the same; this holds even
/// where somebody changed that.
#[derive(Debug)]
struct Owners(UnixListener);

impl axum::serve::Listener for Owners {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        let me = rustix::process::geteuid().as_raw();
        loop {
            let (stream, _) = axum::serve::Listener::accept(&mut self.0).await;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == me || peer.uid() == 0 => return (stream, ()),
                Ok(peer) => tracing::warn!(uid = peer.uid(), "a stranger at the control socket was turned away"),
                Err(error) => tracing::warn!(%error, "somebody unknown at the control socket was turned away"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn problem(status: u16, title: &str, detail: String) -> Problem {
    Problem { title: title.to_owned(), status, detail, problems: Vec::new() }
}

/// A problem as an answer.
pub(crate) struct Refused(pub(crate) Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self(problem(rejection.status().as_u16(), "the request is not understood", rejection.body_text()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let why = audit::Why(self.0.title.clone());
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Extension(why), Json(self.0)).into_response()
    }
}

/// Asks the owner of the state. What it changes for that is written down with it.
pub(crate) async fn ask<T>(
    app: &App,
    call: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> Call,
) -> Result<T, Refused> {
    send(app, audit::with_call(), call).await
}

async fn send<T>(
    app: &App,
    row: Option<audit::WithIt>,
    call: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> Call,
) -> Result<T, Refused> {
    let ending = || Refused(problem(503, "the control plane is ending", "ask again in a moment".into()));
    let (reply, answer) = oneshot::channel();
    app.mailbox.send(Message::call(call(reply), row)).await.map_err(|_| ending())?;
    answer.await.map_err(|_| ending())?.map_err(Refused)
}

/// Asks the owner of the state for something of the memory alone. What a request changes there is written down with it.
pub(crate) async fn remember<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refused> {
    match audit::with_it() {
        Some(entry) => ask_memory(app, move |store| entry.write(store, work)).await,
        None => ask_memory(app, work).await,
    }
}

/// As [`remember`], where nothing is to be written down.
pub(crate) async fn ask_memory<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refused> {
    let call = |reply: oneshot::Sender<Result<T, Problem>>| {
        Call::Memory(Box::new(move |store| {
            // Whoever asked may have gone away.
            let _ = reply.send(work(store).map_err(|error| internal(&error)));
        }))
    };
    send(app, None, call).await
}

/// A stream of events as lines of JSON.
fn lines(stream: Stream) -> Response {
    let lines = ReceiverStream::new(stream).map(|event| {
        let mut line = serde_json::to_vec(&event).unwrap_or_else(|error| {
            tracing::error!(%error, "an event cannot be written");
            Vec::new()
        });
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

async fn status(State(app): State<App>) -> Result<Response, Refused> {
    Ok(Json(ask(&app, Call::Status).await?).into_response())
}

async fn apply(State(app): State<App>, body: Result<Json<Apply>, JsonRejection>) -> Result<Response, Refused> {
    let Json(request) = body?;
    let (path, data) = (request.manifest.clone(), app.data.clone());
    let text = tokio::task::spawn_blocking(move || read(&path))
        .await
        .map_err(|error| Refused(problem(500, "the manifest cannot be read", error.to_string())))??;
    let detail = request.manifest.display().to_string();
    let invalid = |problems| {
        let title = "the manifest is not valid; nothing was changed".to_owned();
        Refused(Problem { title, status: 422, detail, problems })
    };
    let plan = match manifest::parse(&text, &request, &data) {
        Ok(plan) => Box::new(plan),
        Err(problems) => return Err(invalid(problems)),
    };
    if plan.services.iter().any(|service| !service.rollout.gates.is_empty()) {
        let problems = rules::gates(&plan, &app.watching.names().await);
        if !problems.is_empty() {
            return Err(invalid(problems));
        }
    }
    Ok(lines(ask(&app, |reply| Call::Apply { request, manifest: text, plan, reply }).await?))
}

fn read(path: &std::path::Path) -> Result<String, Refused> {
    let refuse = |why: String| {
        let detail = format!("{}: {why}", path.display());
        Refused(problem(422, "the manifest cannot be read; nothing was changed", detail))
    };
    if !path.is_absolute() {
        return Err(refuse("its path has to be absolute".into()));
    }
    let length = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if length > MAX_MANIFEST_BYTES {
        return Err(refuse(format!("it has {length} bytes, more than {MAX_MANIFEST_BYTES} are not read")));
    }
    std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))
}

async fn alerting(State(app): State<App>) -> Response {
    Json(app.watching.alerts.seen().alerting.clone()).into_response()
}

async fn incidents(State(app): State<App>) -> Response {
    Json(&*app.watching.alerts.seen().incidents).into_response()
}

async fn incident_command(
    State(app): State<App>,
    person: AtDoor,
    body: Result<Json<IncidentRequest>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(IncidentRequest { by, command }) = body?;
    let by = operator(&person, Action::Deploy, by)?;
    let number = app.watching.alerts.ask_incident(IncidentRequest { by, command }).await;
    let number = number.map_err(|why| Refused(problem(409, "this is not done", why)))?;
    let seen = app.watching.alerts.seen();
    let gone = || Refused(problem(404, "there is no such incident", format!("{number} is not known any more")));
    Ok(Json(seen.incidents.iter().find(|incident| incident.number == number).ok_or_else(gone)?).into_response())
}

async fn alert_command(
    State(app): State<App>,
    person: AtDoor,
    body: Result<Json<AlertRequest>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(AlertRequest { by, command }) = body?;
    let by = operator(&person, Action::Deploy, by)?;
    let done = app.watching.alerts.ask(AlertRequest { by, command }).await;
    done.map_err(|why| Refused(problem(409, "this is not done", why)))?;
    Ok(Json(app.watching.alerts.seen().alerting.clone()).into_response())
}

async fn edge(State(app): State<App>, body: Result<Json<EdgeChange>, JsonRejection>) -> Result<Response, Refused> {
    let Json(change) = body?;
    Ok(lines(ask(&app, |reply| Call::Edge { change, reply }).await?))
}

async fn restart(State(app): State<App>, body: Result<Json<Restart>, JsonRejection>) -> Result<Response, Refused> {
    let Json(Restart { service }) = body?;
    Ok(lines(ask(&app, |reply| Call::Restart { service, reply }).await?))
}

async fn down(State(app): State<App>) -> Result<Response, Refused> {
    Ok(lines(ask(&app, Call::Down).await?))
}

async fn run(State(app): State<App>, body: Result<Json<RunRequest>, JsonRejection>) -> Result<Response, Refused> {
    let Json(request) = body?;
    Ok(Json(ask(&app, |reply| Call::Run { request, reply }).await?).into_response())
}

async fn deploy(
    State(app): State<App>,
    person: AtDoor,
    body: Result<Json<Deploy>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(mut request) = body?;
    request.by = operator(&person, Action::Deploy, request.by)?;
    Ok(Json(ask(&app, |reply| Call::Deploy { request, pushed_by: None, reply }).await?).into_response())
}

#[derive(Debug, Deserialize)]
struct OfService {
    service: Option<String>,
}

async fn rollouts(State(app): State<App>, Query(OfService { service }): Query<OfService>) -> Result<Response, Refused> {
    Ok(Json(ask(&app, |reply| Call::Rollouts { service, reply }).await?).into_response())
}

async fn rollout(State(app): State<App>, Path(number): Path<u64>) -> Result<Response, Refused> {
    Ok(Json(ask(&app, |reply| Call::Rollout { number, reply }).await?).into_response())
}

async fn rollout_view(State(app): State<App>, Path(number): Path<u64>) -> Result<Response, Refused> {
    Ok(Json(ask(&app, |reply| Call::RolloutView { number, reply }).await?).into_response())
}

async fn rollout_command(
    State(app): State<App>,
    person: AtDoor,
    Path(number): Path<u64>,
    body: Result<Json<RolloutCommand>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(mut request) = body?;
    let action = match request.command {
        Command::Approve { .. } | Command::Reject { .. } => Action::Approve,
        _ => Action::Deploy,
    };
    request.by = operator(&person, action, request.by)?;
    Ok(Json(ask(&app, |reply| Call::RolloutCommand { number, request, reply }).await?).into_response())
}

async fn put_back(
    State(app): State<App>,
    person: AtDoor,
    body: Result<Json<PutBack>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(mut request) = body?;
    request.by = operator(&person, Action::Deploy, request.by)?;
    Ok(Json(ask(&app, |reply| Call::PutBack { request, reply }).await?).into_response())
}

async fn tokens(State(app): State<App>) -> Result<Response, Refused> {
    Ok(Json(ask(&app, Call::Tokens).await?).into_response())
}

async fn make_token(State(app): State<App>, body: Result<Json<NewToken>, JsonRejection>) -> Result<Response, Refused> {
    let Json(request) = body?;
    Ok(Json(ask(&app, |reply| Call::MakeToken { request, reply }).await?).into_response())
}

async fn remove_token(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Refused> {
    Ok(Json(ask(&app, |reply| Call::RemoveToken { name, reply }).await?).into_response())
}

async fn serving(State(app): State<App>) -> Result<Response, Refused> {
    Ok(Json(ask(&app, Call::Serving).await?).into_response())
}

async fn smoke(
    State(app): State<App>,
    person: AtDoor,
    body: Result<Json<SmokeRequest>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = body?;
    operator(&person, Action::Deploy, String::new())?;
    let job = ask(&app, |reply| Call::Smoke { request, reply }).await?;
    Ok(Json(smoke::run(job, clock::unique()).await).into_response())
}

#[derive(Debug, Deserialize)]
struct FromByte {
    from: Option<u64>,
}

async fn rollout_output(
    State(app): State<App>,
    Path(number): Path<u64>,
    Query(FromByte { from }): Query<FromByte>,
) -> Result<Response, Refused> {
    let read = tokio::task::spawn_blocking(move || output::read(&app.data, number, from.unwrap_or_default())).await;
    let failed = |why: String| Refused(problem(500, "what it said cannot be read", why));
    let piece = read.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    Ok(Json(piece).into_response())
}

#[derive(Debug, Deserialize)]
struct Limit {
    limit: Option<u32>,
}

async fn journal(State(app): State<App>, Query(Limit { limit }): Query<Limit>) -> Result<Response, Refused> {
    let limit = limit.unwrap_or(DEFAULT_JOURNAL).min(MAX_JOURNAL);
    Ok(Json(ask(&app, |reply| Call::Journal { limit, reply }).await?).into_response())
}
