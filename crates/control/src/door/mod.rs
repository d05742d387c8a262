//! The operators' door: what the edge lets in at the host `ops`. It listens on loopback, and believes nobody there either.
//!
//! | at | who | what |
//! |---|---|---|
//! | `/api/v1/…` | a token, as `Authorization: Bearer` or as a signature ([`access`]) | the calls of `control.sock` that are not for its owner alone |
//! | `PUT /api/v1/releases/SERVICE` | a token | a release from another machine |
//! | `/`, … | a token | the pages of the [dashboard](crate::dashboard) |
//! | `POST /hooks/push` | the repository's host, by its signature ([`push`]) | deploys what was pushed |

pub(crate) mod access;
mod push;
mod upload;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{post, put};
use tokio::net::TcpListener;
use tower::limit::ConcurrencyLimitLayer;

use crate::api::Scope;
use crate::server::{App, MAX_REQUEST_BYTES, Refused, ask, problem, shared};
use crate::supervisor::Call;
use crate::{clock, dashboard};
use access::Access;
pub(crate) use push::Watched;

const API: &str = "/api";
/// Others wait.
const PUSHES_AT_ONCE: usize = 2;

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, app: App) -> std::io::Result<()> {
    let uploads =
        Router::new().route("/v1/releases/{service}", put(upload::release)).layer(DefaultBodyLimit::disable());
    let api = shared().layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES)).merge(uploads);
    let api = api.layer(middleware::from_fn_with_state(app.clone(), admit));
    let door = Router::new()
        .nest(API, api)
        // What strangers send is held in memory until its signature was looked at.
        .route("/hooks/push", post(push::pushed).layer(ConcurrencyLimitLayer::new(PUSHES_AT_ONCE)))
        .layer(DefaultBodyLimit::max(push::MAX_BYTES))
        .merge(dashboard::router(&app).layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES)))
        .fallback(async || Refused(problem(404, "there is nothing here", String::new())))
        .with_state(app);
    axum::serve(listener, door).await
}

/// Only who shows a token that counts, and may do such a thing at all. What exactly is for the call to look at.
pub(crate) async fn admit(State(app): State<App>, request: Request, next: Next) -> Result<Response, Refused> {
    let (access, mut request) = known(&app, request).await?;
    let enough = match *request.method() {
        Method::GET => access.may(Scope::Read),
        _ => access.may(Scope::Deploy) || access.may(Scope::Approve),
    };
    if !enough {
        return Err(access.refused());
    }
    request.extensions_mut().insert(access);
    Ok(next.run(request).await)
}

async fn known(app: &App, request: Request) -> Result<(Access, Request), Refused> {
    let stranger = || Refused(problem(401, "who are you?", "show a token: `mana token create` makes one".to_owned()));
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(token) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
        let sha256 = access::hash(token);
        let row = ask(app, |reply| Call::TokenByHash { sha256, reply }).await?.ok_or_else(stranger)?;
        return Ok((Access::of(row.view, clock::timestamp()).ok_or_else(stranger)?, request));
    }
    let claim = access::Claim::of(request.headers()).ok_or_else(stranger)?;
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await;
    let body = body.map_err(|_| Refused(problem(413, "the request is too large", String::new())))?;
    let name = claim.name.clone();
    let row = ask(app, |reply| Call::TokenByName { name, reply }).await?.ok_or_else(stranger)?;
    // As it was asked for: what is nested does not see where.
    let path = format!("{API}{}", parts.uri);
    let now = clock::timestamp();
    if !claim.holds(&row.sha256, parts.method.as_str(), &path, &body, now) {
        return Err(stranger());
    }
    let access = Access::of(row.view, now).ok_or_else(stranger)?;
    Ok((access, Request::from_parts(parts, body.into())))
}
