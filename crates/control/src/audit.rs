//! Who changed what: one layer around all calls, at the socket and at the door, writes each change to the audit log.
//!
//! A change is whatever is not only asked for (`GET`, and questions that are posted), so a call that comes later is written down without being known here;
//! [`change`] only finds better words for those that are. What a stranger asks for is not written down: whoever is not known
//! by a token, a session or the socket's mode is turned away, and could fill the disk. Tries to log in are ([`Said`]); they
//! are limited.
//!
//! A change is one row ([`By`]). What is changed in the memory alone (people, sessions) and its row are one transaction: [`crate::server::remember`]
//! writes both, as soon as [`begins`] has said who changes it. The row of what the owner of the state does (rollouts, applying, tokens) is in the
//! transaction of the first that it writes for it. A call that came to nothing, or was refused, has its row when the answer is there, before it is
//! given, and also where whoever asked has gone away meanwhile. Only of what is written elsewhere (alerts, incidents, uploads) a row says before
//! that it was asked for, and another one how it ended. What cannot be written down is not done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use mana_watch::alert::Span;
use serde_json::{Value, json};

use crate::api::AuditEntry;
use crate::clock;
use crate::door::person::Person;
use crate::server::{App, MAX_REQUEST_BYTES, Refused, ask_memory, problem};
use crate::store::{Companion, NewEntry, Store, StoreError};
use crate::watching::prometheus;

/// Where the command line says for whom it speaks. Believed at the socket alone, whose owner may say anything.
pub(crate) const BY: &str = "mana-operator";
/// What is done to whatever is asked for.
pub(crate) const DONE: &str = "done";
/// Of what somebody says who decides about a rollout, so many are in the row.
const MOST_COMMENT_CHARACTERS: usize = 1_000;
/// What cannot be written down is not done.
const NOT_WRITTEN: &str = "this cannot be written down, and so is not done";
/// Of what is about to be done.
const ASKED_FOR: &str = "asked for";

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

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    what: String,
    target: String,
    by: By,
}

/// Who writes its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// It is done by writing the memory, and by nothing else.
    Memory,
    /// The owner of the state does it, and writes it with its first write.
    Owner,
    /// It is done elsewhere.
    Others,
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

/// The request, and what it says where that is JSON, or a form about alerts or a rollout. Releases and other forms, which hold passwords, are not
/// looked into.
async fn with_body(request: Request) -> Result<(Request, Value), Refused> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (is_json, is_form) =
        (kind.starts_with("application/json"), kind.starts_with("application/x-www-form-urlencoded"));
    let path = request.uri().path();
    let is_about = ["/alerts/", "/rollouts/"].iter().any(|folder| path.starts_with(folder));
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

/// A form's fields by their names, each with the list of its values.
fn fields(body: &[u8]) -> Value {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        fields.entry(name.into_owned()).or_default().push(value.trim().to_owned());
    }
    json!(fields)
}

/// What a request asks to be changed, in words. Only named fields of a body get into it.
fn change(method: &Method, path: &str, body: &Value) -> Change {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let texts = |names: &[&str]| {
        let there: Vec<&str> = names.iter().map(|name| text(name)).filter(|text| !text.is_empty()).collect();
        there.join(" ")
    };
    let path = path.strip_prefix("/api").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (what, target) = match (method.as_str(), parts.as_slice()) {
        ("POST", ["v1", "rollouts"]) => ("deploy".to_owned(), texts(&["service", "release"])),
        ("POST", ["v1", "rollouts", number]) => (text("command").to_owned(), rollout(number, body)),
        ("POST", ["rollouts", number, command]) => ((*command).to_owned(), rollout(number, body)),
        ("POST", ["services", service, "put-back"]) => ("roll back".to_owned(), (*service).to_owned()),
        ("POST", ["v1", "put-back"]) => ("roll back".to_owned(), texts(&["service", "slot", "release"])),
        ("POST", ["v1", "apply"]) => ("apply".to_owned(), texts(&["manifest"])),
        ("PUT", ["v1", "releases", service]) => ("bring a release".to_owned(), (*service).to_owned()),
        ("POST", ["v1", "tokens"]) => {
            let scopes = body.get("scopes").and_then(Value::as_array).into_iter().flatten();
            let scopes: Vec<&str> = scopes.filter_map(Value::as_str).collect();
            ("make token".to_owned(), format!("{} {}", text("name"), scopes.join(",")))
        }
        ("DELETE", ["v1", "tokens", name]) => ("revoke token".to_owned(), (*name).to_owned()),
        ("POST", ["v1", "operators"]) => ("add operator".to_owned(), texts(&["name", "role"])),
        ("POST", ["v1", "operators", name]) => {
            let more = texts(&["role", "session"]);
            (format!("{} operator", text("change")), [*name, &more].join(" ").trim_end().to_owned())
        }
        ("POST", ["v1", "alerting" | "incidents"]) => asked(body),
        ("POST", ["v1", rest @ ..]) => (rest.join("/"), texts(&["service", "name"])),
        ("POST", ["alerts", command]) => (format!("alerts/{command}"), about(body)),
        ("POST", ["hooks", rest @ ..] | rest) => (rest.join("/"), String::new()),
        (method, rest) => (format!("{} {}", method.to_lowercase(), rest.join("/")), String::new()),
    };
    // Whoever adds a call that only writes the memory, or is done by the owner of the state, adds it here: its row is then written with it.
    let by = match parts.as_slice() {
        ["v1", "operators", ..] | ["login" | "logout" | "invite" | "account", ..] => By::Memory,
        ["v1", "rollouts" | "put-back" | "apply" | "restart" | "down" | "run" | "tokens", ..]
        | ["rollouts", _, _]
        | ["services", _, "put-back"] => By::Owner,
        _ => By::Others,
    };
    Change { what, target, by }
}

/// A rollout, and what somebody said who decided about it.
fn rollout(number: &str, body: &Value) -> String {
    let comment: String =
        words(body.get("comment").unwrap_or(&Value::Null)).chars().take(MOST_COMMENT_CHARACTERS).collect();
    if comment.is_empty() { format!("rollout {number}") } else { format!("rollout {number}: {comment}") }
}

/// What somebody wants of alerts or of an incident: `silence`, `post`, with what it is about.
fn asked(body: &Value) -> (String, String) {
    let command = body.get("command").unwrap_or(&Value::Null);
    let Some((name, said)) = command.as_object().and_then(|object| object.iter().next()) else {
        return (command.as_str().unwrap_or("alerting").to_owned(), "alerts".to_owned());
    };
    (name.replace('_', " "), about(said))
}

/// What is to be silenced, looked after or ended, for how long and why: `service=chat for 2h: a new disk`, `3: restarting it`.
fn about(said: &Value) -> String {
    let words = |name: &str| words(said.get(name).unwrap_or(&Value::Null));
    let span = |name: &str| said.get(name).and_then(Value::as_u64).map(|ms| Span::from_millis(ms).to_string());
    let from = said.get("from_ms").and_then(Value::as_i64).and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let from = from.map_or_else(|| words("from"), |from| from.to_string());
    let hold = span("for_ms").unwrap_or_else(|| words("for"));
    let mut text = ["group", "number", "conditions", "services"].map(words).to_vec();
    let times = [("from", from), ("for", hold)].into_iter().filter(|(_, value)| !value.is_empty());
    text.extend(times.map(|(name, value)| format!("{name} {value}")));
    text.retain(|part| !part.is_empty());
    // The dashboard's form has a comment for each group.
    let of_group = words(&format!("comment-{}", words("group")));
    let why = [words("reason"), words("comment"), of_group].concat();
    let text = text.join(" ");
    if why.is_empty() { text } else { format!("{text}: {why}") }
}

/// A number, a text, a condition on a label, or several of them.
fn words(value: &Value) -> String {
    let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(words).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" "),
        Value::Object(_) => [part("label"), part("is"), part("value")].concat(),
        Value::Null | Value::Bool(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_it_writes_its_row() {
        for (path, by) in [
            ("/v1/operators/bob", By::Memory),
            ("/account/password", By::Memory),
            ("/v1/down", By::Owner),
            ("/api/v1/rollouts/7", By::Owner),
            ("/rollouts/7/abort", By::Owner),
            ("/services/chat/put-back", By::Owner),
            ("/v1/incidents", By::Others),
            ("/alerts/silence", By::Others),
            ("/hooks/push", By::Others),
            ("/v1/what-comes-later", By::Others),
        ] {
            assert_eq!(change(&Method::POST, path, &Value::Null).by, by, "{path}");
        }
    }

    #[test]
    fn a_change_is_said_in_words_and_holds_nothing_but_names() {
        let check = |method: Method, path: &str, body: Value, what: &str, target: &str| {
            let found = change(&method, path, &body);
            assert_eq!((found.what.as_str(), found.target.as_str()), (what, target), "{path}");
        };
        let post = Method::POST;
        let deploy = json!({"service": "chat", "release": "v1", "secret": "x"});
        check(post.clone(), "/api/v1/rollouts", deploy, "deploy", "chat v1");
        check(post.clone(), "/v1/rollouts/7", json!({"command": "approve", "digest": "d"}), "approve", "rollout 7");
        let commented = json!({"command": "reject", "comment": "not on a Friday", "by": "bob"});
        check(post.clone(), "/v1/rollouts/7", commented, "reject", "rollout 7: not on a Friday");
        let form = |text: &str| fields(text.as_bytes());
        let rejected = form("csrf=secret&digest=d&comment=+not+on+a+Friday+");
        check(post.clone(), "/rollouts/7/reject", rejected, "reject", "rollout 7: not on a Friday");
        let long = json!({"command": "approve", "comment": "x".repeat(5_000)});
        let bounded = format!("rollout 7: {}", "x".repeat(MOST_COMMENT_CHARACTERS));
        check(post.clone(), "/v1/rollouts/7", long, "approve", &bounded);
        check(post.clone(), "/rollouts/7/abort", form("csrf=secret&digest=d"), "abort", "rollout 7");
        check(post.clone(), "/services/chat/put-back", Value::Null, "roll back", "chat");
        check(post.clone(), "/v1/put-back", json!({"service": "chat", "slot": null}), "roll back", "chat");
        check(
            post.clone(),
            "/v1/tokens",
            json!({"name": "ci", "scopes": ["read", "deploy"]}),
            "make token",
            "ci read,deploy",
        );
        check(
            post.clone(),
            "/v1/operators/bob",
            json!({"change": "role", "role": "admin"}),
            "role operator",
            "bob admin",
        );
        check(post.clone(), "/v1/operators/bob", json!({"change": "disable"}), "disable operator", "bob");
        check(post.clone(), "/api/v1/silences", json!({"name": "chat-p95"}), "silences", "chat-p95");
        check(post.clone(), "/v1/edge", json!("back"), "edge", "");
        let posted = json!({"by": "ana", "command": {"post": {"number": 3, "text": "secret words"}}});
        check(post.clone(), "/api/v1/incidents", posted, "post", "3");
        check(post.clone(), "/v1/alerting", json!({"by": "ana", "command": "test"}), "test", "alerts");
        let silence = json!({"by": "ana", "command": {"silence": {
            "conditions": [{"label": "service", "is": "=", "value": "chat"}, {"label": "severity", "is": "=~", "value": "P3|P4"}],
            "for_ms": 7_200_000, "reason": "a new disk",
        }}});
        check(post.clone(), "/v1/alerting", silence, "silence", "service=chat severity=~P3|P4 for 2h: a new disk");
        let looked_after = json!({"command": {"acknowledge": {"group": 3, "comment": "", "for_ms": null}}});
        check(post.clone(), "/v1/alerting", looked_after, "acknowledge", "3");
        let planned = json!({"command": {"maintenance": {
            "services": ["chat", "auth"], "from_ms": 0, "for_ms": 60_000, "reason": "a larger machine",
        }}});
        let target = "chat auth from 1970-01-01T00:00:00Z for 1m: a larger machine";
        check(post.clone(), "/v1/alerting", planned, "maintenance", target);
        let silence = form("csrf=secret&conditions=service%3Dchat+severity%3D~P3&for=2h&reason=a+new+disk");
        let target = "service=chat severity=~P3 for 2h: a new disk";
        check(post.clone(), "/alerts/silence", silence, "alerts/silence", target);
        let looked_after = form("csrf=secret&comment-2=&comment-3=+restarting+it+&group=3");
        check(post.clone(), "/alerts/acknowledge", looked_after, "alerts/acknowledge", "3: restarting it");
        let planned = form("services=chat&services=auth&from=&for=30m&reason=x");
        check(post.clone(), "/alerts/maintenance", planned, "alerts/maintenance", "chat auth for 30m: x");
        check(post.clone(), "/alerts/test", form("csrf=secret"), "alerts/test", "");
        check(post.clone(), "/account/password", Value::Null, "account/password", "");
        check(Method::DELETE, "/v1/tokens/ci", Value::Null, "revoke token", "ci");
        check(Method::DELETE, "/api/v1/silences/3", Value::Null, "delete v1/silences/3", "");
        check(Method::PUT, "/api/v1/releases/chat", Value::Null, "bring a release", "chat");
    }
}
