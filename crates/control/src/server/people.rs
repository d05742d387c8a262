//! The calls that say who logs in, and those that read the audit log.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use jiff::{SignedDuration, Timestamp};

use super::{App, AtDoor, Limit, Refused, ask, problem, remember};
use crate::api::{Invitation, NewOperator, OperatorAfter, OperatorChange, OperatorView, SessionView};
use crate::store::{Changed, SessionRow, Store, StoreError};
use crate::supervisor::{Call, internal};
use crate::{clock, paths, people};

/// How long somebody has to set a password.
const INVITATION: SignedDuration = SignedDuration::from_hours(24);
/// Entries in one answer, at most and by default.
const MAX_ENTRIES: u32 = 10_000;
const DEFAULT_ENTRIES: u32 = 100;
/// How much of a session's hash it is called by.
const SESSION_NAME: usize = 16;

pub(super) fn calls() -> Router<App> {
    Router::new()
        .route("/v1/operators", get(operators).post(add))
        .route("/v1/operators/{name}", axum::routing::post(change))
        .route("/v1/operators/{name}/sessions", get(sessions))
        .route("/v1/audit", get(audit_log))
        .route("/v1/audit/check", get(check_audit))
}

async fn operators(State(app): State<App>) -> Result<Json<Vec<OperatorView>>, Refused> {
    let rows = remember(&app, |store| store.operators()).await?;
    Ok(Json(rows.into_iter().map(|row| row.view).collect()))
}

async fn add(
    State(app): State<App>,
    body: Result<Json<NewOperator>, JsonRejection>,
) -> Result<Json<OperatorAfter>, Refused> {
    let Json(NewOperator { name, role }) = body?;
    people::check_name(&name)?;
    let (code, invitation, end) = invitation(&app).await?;
    let at = clock::timestamp().to_string();
    let added = remember(&app, {
        let name = name.clone();
        move |store| {
            let added = store.add_operator(&name, role, &at)?;
            if added == Changed::Yes {
                store.invite(&name, &code, end)?;
            }
            Ok(added)
        }
    });
    if added.await? == Changed::No {
        let detail = format!(
            "there is an operator {name} already, or there are too many; `mana operator reset {name}` invites them anew"
        );
        return Err(Refused(problem(409, "this does not fit the present state", detail)));
    }
    after(&app, &name, Some(invitation)).await
}

async fn change(
    State(app): State<App>,
    person: AtDoor,
    Path(name): Path<String>,
    body: Result<Json<OperatorChange>, JsonRejection>,
) -> Result<Json<OperatorAfter>, Refused> {
    let Json(change) = body?;
    let of_oneself = person.is_some_and(|Extension(person)| person.name == name);
    if of_oneself && !matches!(change, OperatorChange::Revoke { .. }) {
        let detail = format!("{name} is you; another admin does this, or `mana operator` on the machine itself");
        return Err(Refused(problem(409, "nobody takes away their own access", detail)));
    }
    let mut invited = None;
    let changed = {
        let name = name.clone();
        match change {
            OperatorChange::Role { role } => remember(&app, move |store| store.set_role(&name, role)).await?,
            OperatorChange::Disable => remember(&app, move |store| store.set_disabled(&name, true)).await?,
            OperatorChange::Enable => remember(&app, move |store| store.set_disabled(&name, false)).await?,
            OperatorChange::Reset => {
                let (code, invitation, end) = invitation(&app).await?;
                invited = Some(invitation);
                remember(&app, move |store| store.invite(&name, &code, end)).await?
            }
            OperatorChange::Revoke { session: Some(session) } => {
                let of = name.clone();
                let begin = session.clone();
                let ended = remember(&app, move |store| store.revoke_session(&of, &begin)).await?;
                if ended == Changed::No {
                    let detail = format!("`{session}` is none of {name}; `mana operator sessions {name}` lists them");
                    return Err(Refused(problem(404, "there is no such session", detail)));
                }
                ended
            }
            OperatorChange::Revoke { session: None } => {
                // Nobody to log out is as good as everybody logged out.
                remember(&app, move |store| store.revoke_sessions(&name, "").map(|_| Changed::Yes)).await?
            }
        }
    };
    if changed == Changed::No {
        return Err(nobody(&name));
    }
    after(&app, &name, invited).await
}

fn nobody(name: &str) -> Refused {
    Refused(problem(404, "there is no such operator", name.to_owned()))
}

async fn after(app: &App, name: &str, invitation: Option<Invitation>) -> Result<Json<OperatorAfter>, Refused> {
    let of = name.to_owned();
    let row = remember(app, move |store| store.operator(&of)).await?.ok_or_else(|| nobody(name))?;
    Ok(Json(OperatorAfter { view: row.view, invitation }))
}

/// A new code, how it is told, and when it ends.
async fn invitation(app: &App) -> Result<(String, Invitation, i64), Refused> {
    let site = ask(app, Call::Site).await?;
    let code = clock::secret();
    let end = clock::timestamp().checked_add(INVITATION).map_err(|error| Refused(internal(&error)))?;
    // Behind the `#` it is sent nowhere by itself, and stands in no log of a server.
    let link = format!("{}/invite#{code}", site.origin);
    Ok((code, Invitation { link, expires_at: end.to_string() }, end.as_second()))
}

async fn sessions(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Vec<SessionView>>, Refused> {
    let now = clock::timestamp().as_second();
    let of = name.clone();
    let found = remember(&app, move |store| Ok((store.operator(&of)?, store.sessions(&of, now)?))).await?;
    if found.0.is_none() {
        return Err(nobody(&name));
    }
    Ok(Json(found.1.into_iter().map(view).collect()))
}

/// A session as it is shown.
pub(crate) fn view(row: SessionRow) -> SessionView {
    let time = |seconds| Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default();
    SessionView {
        id: row.sha256.chars().take(SESSION_NAME).collect(),
        made_at: time(row.made_at),
        seen_at: time(row.seen_at),
        expires_at: time(row.expires_at),
        address: row.address,
        agent: row.agent,
    }
}

async fn audit_log(State(app): State<App>, Query(Limit { limit }): Query<Limit>) -> Result<Response, Refused> {
    let limit = limit.unwrap_or(DEFAULT_ENTRIES).min(MAX_ENTRIES);
    Ok(Json(beside(&app, move |store| store.audit_log(limit)).await?).into_response())
}

async fn check_audit(State(app): State<App>) -> Result<Response, Refused> {
    Ok(Json(beside(&app, Store::check_audit).await?).into_response())
}

/// Reads a memory that may be long, without the owner of the state having to wait.
async fn beside<T: Send + 'static>(
    app: &App,
    read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refused> {
    let path = paths::database(&app.data);
    let work = move || Store::look_into(&path)?.map(|store| read(&store)).transpose();
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| Refused(internal(&error)))?;
    let there = done.map_err(|error| Refused(internal(&error)))?;
    there.ok_or_else(|| Refused(problem(503, "the control plane's memory is not there yet", "ask again".to_owned())))
}
