//! The service that calls: services show each other a token of their own on internal endpoints.

use axum::extract::FromRequestParts;
use http::HeaderName;
use http::request::Parts;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::problem::Problem;

/// The header that carries it.
pub const SERVICE_TOKEN_HEADER: HeaderName = HeaderName::from_static("x-service-token");

/// The token that internal endpoints accept.
#[derive(Debug, Clone)]
pub struct ServiceToken(pub SecretString);

/// Proof that the caller is a service of this ecosystem. As a handler's argument it refuses (401) anyone else.
#[derive(Debug, Clone, Copy)]
pub struct ServiceCaller(());

impl<S: Sync> FromRequestParts<S> for ServiceCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let expected = parts.extensions.get::<ServiceToken>();
        let expected = expected.expect("Service::service_token was given to a service with internal endpoints");
        let given = parts.headers.get(SERVICE_TOKEN_HEADER).map(http::HeaderValue::as_bytes).unwrap_or_default();
        if bool::from(given.ct_eq(expected.0.expose_secret().as_bytes())) {
            Ok(Self(()))
        } else {
            metrics::counter!("service_tokens_refused_total").increment(1);
            Err(Problem::unauthorized("This address is for services of the ecosystem."))
        }
    }
}
