//! Who asks. Today that is whoever shows a valid access token, in either protocol; when API keys come, they resolve to the
//! same [`Caller`] here, and nothing behind it changes.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kit::Problem;
use kit::auth::User;
use uuid::Uuid;

/// The person whose credits pay and whose conversations are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// The person's id at mana-core-auth.
    pub(crate) user: Uuid,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let user = User::from_request_parts(parts, state).await?;
        Ok(Self { user: user.claims.sub })
    }
}
