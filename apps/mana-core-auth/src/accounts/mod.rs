//! Accounts: who there is, signing in, and what people do with their own.

pub(crate) mod farewells;
pub(crate) mod own_routes;
pub(crate) mod owner;
pub(crate) mod password_routes;
pub(crate) mod roles;
pub(crate) mod routes;
pub(crate) mod store;
pub(crate) mod validate;

use jiff::Timestamp;
use kit::auth::User;
use kit::{Problem, clock};

use crate::app::App;
use crate::entity::user::Model;
use crate::sessions;

/// A new account of somebody.
pub(crate) fn new_user(email: String, name: String, password_hash: String, now: Timestamp) -> Model {
    Model {
        id: clock::new_id(),
        email,
        name,
        role: "user".into(),
        password_hash,
        created_at: now.as_millisecond(),
        email_verified_at: None,
        disabled_at: None,
        deleted_at: None,
        roles: String::new(),
    }
}

/// The account of an access token whose session has not ended.
pub(crate) async fn by_token(app: &App, caller: &User) -> Result<Model, Problem> {
    sessions::require_live(app, caller).await?;
    let user = store::by_id(&*app.database, caller.claims.sub).await?.filter(|user| user.deleted_at.is_none());
    user.ok_or_else(|| Problem::unauthorized("This account is no longer there."))
}
