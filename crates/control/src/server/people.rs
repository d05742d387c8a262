//! The calls that say who logs in, and those that read the audit log.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use jiff::{SignedDuration, Timestamp};

use super::{App, AtDoor, Limit, Refused, ask, problem, remember};
use crate::api::{Invitation, NewOperator, OperatorAfter, OperatorChange, OperatorView, Role, SessionView};
use crate::door::person::Person;
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
    let Json(new) = body?;
    Ok(Json(invite(&app, new).await?))
}

/// Invites somebody who was not known before.
pub(crate) async fn invite(app: &App, NewOperator { name, role }: NewOperator) -> Result<OperatorAfter, Refused> {
    people::check_name(&name)?;
    let (code, invitation, end) = invitation(app).await?;
    let at = clock::timestamp().to_string();
    let added = remember(app, {
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
    after(app, &name, Some(invitation)).await
}

async fn change(
    State(app): State<App>,
    person: AtDoor,
    Path(name): Path<String>,
    body: Result<Json<OperatorChange>, JsonRejection>,
) -> Result<Json<OperatorAfter>, Refused> {
    let Json(change) = body?;
    let by = person.map(|Extension(person)| person);
    Ok(Json(carry_out(&app, by.as_ref(), &name, change).await?))
}

/// Changes what becomes of an operator; `by`: who came in at the door, `None` for the owner of the machine, who may do all of it.
pub(crate) async fn carry_out(
    app: &App,
    by: Option<&Person>,
    name: &str,
    change: OperatorChange,
) -> Result<OperatorAfter, Refused> {
    let of_oneself = by.is_some_and(|person| person.name == name);
    if of_oneself && !matches!(change, OperatorChange::Revoke { .. }) {
        let detail = format!("{name} is you; another admin does this, or `mana operator` on the machine itself");
        return Err(Refused(problem(409, "nobody takes away their own access", detail)));
    }
    let at_door = by.is_some();
    let mut invited = None;
    let changed = match change {
        OperatorChange::Role { role: Role::Admin } => {
            write(app, name, |store, of| store.set_role(of, Role::Admin)).await?
        }
        OperatorChange::Role { role } => take(app, at_door, name, move |store, of| store.set_role(of, role)).await?,
        OperatorChange::Disable => take(app, at_door, name, |store, of| store.set_disabled(of, true)).await?,
        OperatorChange::Enable => write(app, name, |store, of| store.set_disabled(of, false)).await?,
        OperatorChange::Reset => {
            let (code, invitation, end) = invitation(app).await?;
            invited = Some(invitation);
            take(app, at_door, name, move |store, of| store.invite(of, &code, end)).await?
        }
        OperatorChange::Revoke { session: Some(session) } => {
            let begin = session.clone();
            let ended = write(app, name, move |store, of| store.revoke_session(of, &begin)).await?;
            if ended == Changed::No {
                let detail = format!("`{session}` is none of {name}; `mana operator sessions {name}` lists them");
                return Err(Refused(problem(404, "there is no such session", detail)));
            }
            ended
        }
        OperatorChange::Revoke { session: None } => {
            // Nobody to log out is as good as everybody logged out.
            write(app, name, |store, of| store.revoke_sessions(of, "").map(|_| Changed::Yes)).await?
        }
    };
    if changed == Changed::No {
        return Err(nobody(name));
    }
    after(app, name, invited).await
}

async fn write(
    app: &App,
    name: &str,
    work: impl FnOnce(&mut Store, &str) -> Result<Changed, StoreError> + Send + 'static,
) -> Result<Changed, Refused> {
    let of = name.to_owned();
    remember(app, move |store| work(store, &of)).await
}

/// What takes access away. At the door it is not taken from the last admin: two who do it to each other at the same moment would leave nobody.
async fn take(
    app: &App,
    at_door: bool,
    name: &str,
    work: impl FnOnce(&mut Store, &str) -> Result<Changed, StoreError> + Send + 'static,
) -> Result<Changed, Refused> {
    let of = name.to_owned();
    let taken =
        remember(app, move |store| if at_door { unless_last(store, &of, work) } else { work(store, &of).map(Some) });
    let last = || {
        let detail = format!(
            "no other admin than {name} could log in then; invite one first, or `mana operator` on the machine itself"
        );
        Refused(problem(409, "somebody has to be admin", detail))
    };
    taken.await?.ok_or_else(last)
}

/// `None`: nobody else could log in as an admin, so it is not done.
fn unless_last(
    store: &mut Store,
    name: &str,
    work: impl FnOnce(&mut Store, &str) -> Result<Changed, StoreError>,
) -> Result<Option<Changed>, StoreError> {
    if store.is_last_admin(name)? { Ok(None) } else { work(store, name).map(Some) }
}

/// There is no operator of that name.
pub(crate) fn nobody(name: &str) -> Refused {
    Refused(problem(404, "there is no such operator", name.to_owned()))
}

async fn after(app: &App, name: &str, invitation: Option<Invitation>) -> Result<OperatorAfter, Refused> {
    let of = name.to_owned();
    let row = remember(app, move |store| store.operator(&of)).await?.ok_or_else(|| nobody(name))?;
    Ok(OperatorAfter { view: row.view, invitation })
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
    Ok(Json(sessions_of(&app, &name).await?))
}

/// Where an operator is logged in.
pub(crate) async fn sessions_of(app: &App, name: &str) -> Result<Vec<SessionView>, Refused> {
    let now = clock::timestamp().as_second();
    let of = name.to_owned();
    let found = remember(app, move |store| Ok((store.operator(&of)?, store.sessions(&of, now)?))).await?;
    if found.0.is_none() {
        return Err(nobody(name));
    }
    Ok(found.1.into_iter().map(view).collect())
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
pub(crate) async fn beside<T: Send + 'static>(
    app: &App,
    read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refused> {
    let path = paths::database(&app.data);
    let work = move || Store::look_into(&path)?.map(|store| read(&store)).transpose();
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| Refused(internal(&error)))?;
    let there = done.map_err(|error| Refused(internal(&error)))?;
    there.ok_or_else(|| Refused(problem(503, "the control plane's memory is not there yet", "ask again".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Act = fn(&mut Store, &str) -> Result<Changed, StoreError>;

    #[test]
    fn two_admins_who_act_on_each_other_at_once_leave_one() {
        let mut store = Store::in_memory();
        for name in ["ada", "bob"] {
            store.add_operator(name, Role::Admin, "now").expect("written");
            store.set_password(name, "hash", "").expect("written");
        }
        let acts: [Act; 3] = [
            |store, of| store.set_disabled(of, true),
            |store, of| store.set_role(of, Role::Approver),
            |store, of| store.invite(of, "code", 100),
        ];
        for act in acts {
            assert_eq!(unless_last(&mut store, "bob", act).expect("written"), Some(Changed::Yes));
            assert_eq!(unless_last(&mut store, "ada", act).expect("written"), None, "both were let in before");
            assert!(store.is_last_admin("ada").expect("read"));
            // As before.
            store.set_disabled("bob", false).expect("written");
            store.set_role("bob", Role::Admin).expect("written");
            store.set_password("bob", "hash", "").expect("written");
        }
        assert_eq!(unless_last(&mut store, "nobody", acts[0]).expect("written"), Some(Changed::No));
    }
}
