//! Who changed what: one layer around all calls, at the socket and at the door, writes each change to the audit log.
//!
//! A change is whatever is not only asked for (`GET`, and questions that are posted), so a call that comes later is written down without being known here;
//! [`change()`] only finds better words for those that are. What a stranger asks for is not written down: whoever is not known
//! by a token, a session or the socket's mode is turned away, and could fill the disk. Tries to log in are ([`Said`]); they
//! are limited.
//!
//! A change is one row ([`By`]). What is changed in the memory alone (people, sessions) and its row are one transaction: [`crate::server::remember`]
//! writes both, as soon as [`begins`] has said who changes it. The row of what the owner of the state does (rollouts, applying, tokens) is in the
//! transaction of the first that it writes for it. A call that came to nothing, or was refused, has its row when the answer is there, before it is
//! given, and also where whoever asked has gone away meanwhile. Only of what is written elsewhere (alerts, incidents, uploads) a row says before
//! that it was asked for, and another one how it ended. What cannot be written down is not done.

mod change;
pub(crate) mod search;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::api::AuditEntry;
use crate::clock;
use crate::door::person::Person;
use crate::server::{App, MAX_REQUEST_BYTES, Refused, ask_memory, problem};
use crate::store::{Companion, NewEntry, Store, StoreError};
use crate::watching::prometheus;
use change::{By, Change, change, fields};

/// Where the command line says for whom it speaks. Believed at the socket alone, whose owner may say anything.
pub(crate) const BY: &str = "mana-operator";
/// What is done to whatever is asked for.
pub(crate) const DONE: &str = "done";
/// What cannot be written down is not done.
const NOT_WRITTEN: &str = "this cannot be written down, and so is not done";
/// Of what is about to be done.
pub(crate) const ASKED_FOR: &str = "asked for";

tokio::task_local! {
    /// The change that this task carries out.
    static UNDER_WAY: Arc<UnderWay>;
}

/// A change that is under way.
#[derive(Debug)]
struct UnderWay {
    source: String,
    change: Change,
    /// Who changes it, once that is known.
    who: Mutex<Option<String>>,
    /// Its row is there: that it was done.
    written: AtomicBool,
}

impl UnderWay {
    fn entry(&self, outcome: &str) -> Option<NewEntry> {
        let who = self.who.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(entry(who, self.source.clone(), self.change.clone(), outcome.to_owned()))
    }
}

/// It is known who carries out the change of this task, and that they may: from here on it may be done. Says nothing where there is none.
pub(crate) async fn begins(app: &App, who: &str) -> Result<(), Refused> {
    let Ok(change) = UNDER_WAY.try_with(Arc::clone) else { return Ok(()) };
    *change.who.lock().unwrap_or_else(PoisonError::into_inner) = Some(who.to_owned());
    if change.change.by != By::Others {
        return Ok(());
    }
    let Some(entry) = change.entry(ASKED_FOR) else { return Ok(()) };
    let at = clock::timestamp().to_string();
    let row = ask_memory(app, move |store| store.audit(entry, &at)).await;
    row.map(|row| tell(&row)).map_err(|Refused(why)| {
        tracing::error!(why = why.detail, "the audit log cannot be written; nothing is changed");
        Refused(problem(503, NOT_WRITTEN, why.detail))
    })
}

/// What is to be written down with what this task changes in the memory; `None`: nothing.
pub(crate) fn with_it() -> Option<WithIt> {
    due(By::Memory)
}

/// What is to be written down with what the owner of the state does for this task; `None`: nothing.
pub(crate) fn with_call() -> Option<WithIt> {
    due(By::Owner)
}

fn due(by: By) -> Option<WithIt> {
    let change = UNDER_WAY.try_with(Arc::clone).ok()?;
    let due = change.change.by == by && !change.written.load(Ordering::Acquire);
    let entry = change.entry(DONE).filter(|_| due)?;
    Some(WithIt { entry, change })
}

/// A row that is written in the transaction of its change.
#[derive(Debug, Clone)]
pub(crate) struct WithIt {
    entry: NewEntry,
    change: Arc<UnderWay>,
}

impl WithIt {
    pub(crate) fn write<T>(
        self,
        store: &mut Store,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (done, row) = store.audited(self.entry.clone(), &clock::timestamp().to_string(), work)?;
        if let Some(row) = row {
            self.is_written(&row);
        }
        Ok(done)
    }

    /// Goes along with what is written next.
    pub(crate) fn companion(self) -> Companion {
        Companion::new(self.entry.clone(), move |row| self.is_written(row))
    }

    fn is_written(&self, row: &AuditEntry) {
        self.change.written.store(true, Ordering::Release);
        tell(row);
    }
}

/// Where a call comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// On the machine itself, from its owner.
    Socket,
    /// Through the edge.
    Door,
}

/// Why something was refused, beside the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Why(pub(crate) String);

/// What an answer says of whom nobody else knows: who logs in, or tries to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) who: String,
    /// Where it is not what the request says.
    pub(crate) target: Option<String>,
    /// Where it is not what the answer's status says.
    pub(crate) outcome: Option<String>,
}

/// See the module's page.
pub(crate) async fn record(State((app, source)): State<(App, Source)>, request: Request, next: Next) -> Response {
    if prometheus::only_asks(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    let (request, body) = match with_body(request).await {
        Ok(read) => read,
        Err(refused) => return refused.into_response(),
    };
    let change = change(request.method(), request.uri().path(), &body);
    let place = match source {
        Source::Socket => "socket".to_owned(),
        Source::Door => address(request.headers()),
    };
    let speaker = (source == Source::Socket).then(|| speaker(request.headers(), &body));
    let under_way =
        Arc::new(UnderWay { source: place, change, who: Mutex::default(), written: AtomicBool::new(false) });
    // Whoever asked may go away as soon as it is asked for; it is done and written down all the same.
    let done = tokio::spawn(UNDER_WAY.scope(Arc::clone(&under_way), async move {
        if let Some(who) = &speaker
            && let Err(refused) = begins(&app, who).await
        {
            return refused.into_response();
        }
        let response = next.run(request).await;
        let said = response.extensions().get::<Said>().cloned();
        let person = response.extensions().get::<Person>().map(|person| person.name.clone());
        let known = said.as_ref().map(|said| said.who.clone()).or(person).or(speaker);
        let (target, told) = said.map_or((None, None), |said| (said.target, said.outcome));
        let ended = told.unwrap_or_else(|| outcome(&response));
        let is_written = under_way.written.load(Ordering::Acquire) && ended == DONE;
        if let Some(who) = known.filter(|_| !is_written) {
            let UnderWay { source, change, .. } = &*under_way;
            let change = Change { target: target.unwrap_or_else(|| change.target.clone()), ..change.clone() };
            let gives = change.by == By::Owner && ended == DONE;
            if let Err(why) = audit(&app, entry(who, source.clone(), change, ended)).await
                && gives
            {
                return Refused(problem(503, NOT_WRITTEN, why)).into_response();
            }
        }
        response
    }));
    let failed = |why: String| Refused(problem(500, "the control plane could not do this", why)).into_response();
    done.await.unwrap_or_else(|error| failed(error.to_string()))
}

/// Writes a row about what has ended. That it cannot be is said as loud as can be; what was done is done.
async fn audit(app: &App, entry: NewEntry) -> Result<(), String> {
    let at = clock::timestamp().to_string();
    match ask_memory(app, move |store| store.audit(entry, &at)).await {
        Ok(row) => {
            tell(&row);
            Ok(())
        }
        Err(refused) => {
            tracing::error!(why = refused.0.detail, "the audit log cannot be written");
            Err(refused.0.detail)
        }
    }
}

/// The control plane's log is a witness of its own.
fn tell(row: &AuditEntry) {
    tracing::info!(
        number = row.number,
        who = row.who,
        source = row.source,
        what = row.what,
        target = row.target,
        outcome = row.outcome,
        sha256 = row.sha256,
        "audit"
    );
}

fn entry(who: String, source: String, change: Change, outcome: String) -> NewEntry {
    NewEntry { who, source, what: change.what, target: change.target, outcome }
}

fn outcome(response: &Response) -> String {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return DONE.to_owned();
    }
    let why = response.extensions().get::<Why>().map_or_else(|| status.as_u16().to_string(), |why| why.0.clone());
    format!("refused: {why}")
}

/// The client's address, as the edge says it.
pub(crate) fn address(headers: &HeaderMap) -> String {
    headers.get("x-real-ip").and_then(|value| value.to_str().ok()).unwrap_or("unknown").to_owned()
}

/// Who stands behind a call at the socket.
fn speaker(headers: &HeaderMap, body: &Value) -> String {
    let by = body.get("by").and_then(Value::as_str).filter(|by| !by.is_empty());
    let said = || headers.get(BY).and_then(|value| value.to_str().ok());
    by.or_else(said).unwrap_or("owner").to_owned()
}

/// The request, and what it says where that is JSON, or a form about alerts, a rollout, operators or tokens. Releases and other forms are not
/// looked into, and of these no password.
async fn with_body(request: Request) -> Result<(Request, Value), Refused> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (is_json, is_form) =
        (kind.starts_with("application/json"), kind.starts_with("application/x-www-form-urlencoded"));
    let path = request.uri().path();
    let is_about = ["/alerts/", "/rollouts/", "/operators", "/tokens"].iter().any(|folder| path.starts_with(folder));
    if !(is_json && !path.starts_with("/hooks/") || is_form && is_about) {
        return Ok((request, Value::Null));
    }
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await.map_err(|_| {
        let detail = format!("at most {MAX_REQUEST_BYTES} bytes");
        Refused(problem(413, "the request is too large", detail))
    })?;
    let said = if is_json {
        // What is no JSON is for the call to refuse.
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    } else {
        fields(&body)
    };
    Ok((Request::from_parts(parts, Body::from(body)), said))
}
