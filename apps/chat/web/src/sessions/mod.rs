//! Who is signed in on which browser. The tokens of mana-core-auth stay here; the browser holds a random id and nothing else.
//!
//! Invariants: an id is stored only as its hash; tokens are sealed and bound to their row; a sign-in always makes a new id.
//! Tokens are exchanged by one request at a time ([`refresh`]), over all instances, since the row says who does it.

pub(crate) mod cookie;
mod entity;
mod id;
mod keys;
mod refresh;
mod store;

use jiff::Timestamp;
use kit::Problem;
use kit::database::Database;
use sea_orm::DbErr;
use secrecy::SecretString;
use uuid::Uuid;

pub(crate) use cookie::Cookies;
pub(crate) use id::BrowserId;
pub(crate) use keys::Keys;

use crate::limits::SESSION_AGE;
use crate::upstream::{Auth, SignedIn};

/// What signing in gave, and what no browser ever sees.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: SecretString,
    pub(crate) refresh: SecretString,
    pub(crate) access_expires_at: Timestamp,
}

/// A sign-in with a token that is good now.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) access: SecretString,
}

/// Why a browser's session cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// There is none, or it has ended.
    #[error("not signed in")]
    SignedOut,
    /// Whether it is still good cannot be said at the moment.
    #[error("mana-core-auth does not answer")]
    AuthAway,
    /// The database failed.
    #[error("the sessions cannot be read")]
    Storage(#[from] DbErr),
}

/// All sessions.
#[derive(Clone)]
pub(crate) struct Sessions {
    store: store::Store,
    keys: std::sync::Arc<Keys>,
    auth: Auth,
}

impl Sessions {
    pub(crate) fn new(database: Database, keys: std::sync::Arc<Keys>, auth: Auth) -> Self {
        Self { store: store::Store::new(database), keys, auth }
    }

    /// Begins a session; gives the id to put into the cookie.
    pub(crate) async fn begin(&self, signed_in: SignedIn, now: Timestamp) -> Result<BrowserId, Problem> {
        let id = BrowserId::random();
        let row = entity::Model {
            id_hash: id.hash(),
            name: signed_in.user.name,
            email: signed_in.user.email,
            tokens: self.keys.seal(&id, &signed_in.tokens),
            access_expires_at: signed_in.tokens.access_expires_at.as_millisecond(),
            generation: 0,
            lease_until: 0,
            created_at: now.as_millisecond(),
            expires_at: later(now, SESSION_AGE),
            user_id: Some(signed_in.user.id),
        };
        self.store.insert(row).await?;
        Ok(id)
    }

    /// Ends a browser's session here and at mana-core-auth. Here it always ends; where mana-core-auth does not answer, its
    /// session runs out by itself, and that is logged.
    pub(crate) async fn end(&self, id: &BrowserId) -> Result<(), Problem> {
        let Some(row) = self.store.find(&id.hash()).await? else { return Ok(()) };
        self.store.remove(&row.id_hash).await?;
        let Some(tokens) = self.keys.open(id, &row) else { return Ok(()) };
        if let Err(error) = self.auth.logout(&tokens.refresh).await {
            metrics::counter!("logouts_not_passed_on_total").increment(1);
            tracing::warn!(%error, "signed out here, but mana-core-auth was not told");
        }
        Ok(())
    }

    /// Forgets a browser's session and all others of the same person, whose account is deleted.
    pub(crate) async fn end_all(&self, id: &BrowserId) -> Result<(), Problem> {
        if let Some(user) = self.store.find(&id.hash()).await?.and_then(|row| row.user_id) {
            self.forget(user).await?;
        }
        self.end(id).await
    }

    /// Forgets all sessions of a person, whose account is deleted; how many those were.
    pub(crate) async fn forget(&self, user: Uuid) -> Result<u64, DbErr> {
        self.store.remove_of(user).await
    }

    /// Removes the sessions whose time is over.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), DbErr> {
        self.store.remove_expired(now.as_millisecond()).await
    }
}

fn later(now: Timestamp, by: std::time::Duration) -> i64 {
    now.as_millisecond().saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}
