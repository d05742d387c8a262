//! Who asks. [`Caller`] is a person with a valid access token; [`KeyCaller`] is that, or a program with one of the person's
//! API keys. Which of the two a route takes says who may use it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kit::Problem;
use kit::auth::User;
use uuid::Uuid;

use crate::app::App;
use crate::budgets::Limits;
use crate::keys::Secret;
use crate::time::now_ms;

/// The person whose credits pay and whose conversations are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// The person's id at mana-core-auth.
    pub(crate) user: Uuid,
    /// The key that speaks for them, where one does.
    pub(crate) key: Option<CallerKey>,
}

/// A key with what it may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallerKey {
    pub(crate) id: Uuid,
    pub(crate) limits: Limits,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let user = User::from_request_parts(parts, state).await?;
        Ok(Self { user: user.claims.sub, key: None })
    }
}

/// The same person, also when an API key speaks for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyCaller(pub(crate) Caller);

impl FromRequestParts<Arc<App>> for KeyCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let bearer = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim());
        let Some(secret) = bearer.and_then(Secret::from_bearer) else {
            return Caller::from_request_parts(parts, app).await.map(Self);
        };
        if let Some(caller) = app.keys.owner(&secret, now_ms()).await? {
            return Ok(Self(caller));
        }
        metrics::counter!("chat_keys_refused_total").increment(1);
        Err(Problem::unauthorized("The API key is unknown or revoked."))
    }
}
