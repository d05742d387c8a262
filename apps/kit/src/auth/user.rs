//! The person who calls.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::verifier::{Claims, Verifier};
use crate::problem::Problem;

/// The caller's verified access token. As a handler's argument it refuses (401) whoever has none.
#[derive(Debug, Clone)]
pub struct User {
    /// What the token says.
    pub claims: Claims,
    /// The token itself, to call on in the user's name.
    pub token: secrecy::SecretString,
}

impl User {
    /// Refuses (403) whoever did not have this role when the token was issued.
    pub fn require_role(&self, role: &str) -> Result<(), Problem> {
        if self.claims.has_role(role) {
            return Ok(());
        }
        metrics::counter!("role_missing_total").increment(1);
        Err(Problem::forbidden(format!("This needs the role {role}.")))
    }
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let verifier = parts.extensions.get::<Arc<Verifier>>().cloned();
        let verifier = verifier.expect("Service::verifier was given to a service whose handlers take User");
        let missing = || Problem::unauthorized("Send the access token as `Authorization: Bearer TOKEN`.");
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
        let (scheme, token) = header.split_once(' ').ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let claims = verifier.verify(token.trim()).await?;
        Ok(Self { claims, token: token.trim().to_owned().into() })
    }
}
