//! Accounts: who there is, registering, signing in, and what people do with their own.

pub(crate) mod password_routes;
pub(crate) mod routes;
pub(crate) mod store;
pub(crate) mod validate;

use kit::Problem;
use kit::auth::User;

use crate::app::App;
use crate::entity::user::Model;
use crate::sessions;

/// The account of an access token whose session has not ended.
pub(crate) async fn by_token(app: &App, caller: &User) -> Result<Model, Problem> {
    sessions::require_live(app, caller).await?;
    let user = store::by_id(&*app.database, caller.claims.sub).await?.filter(|user| user.deleted_at.is_none());
    user.ok_or_else(|| Problem::unauthorized("This account is no longer there."))
}
