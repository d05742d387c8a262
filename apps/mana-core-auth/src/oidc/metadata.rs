//! What apps find out about this issuer by itself (OpenID Connect Discovery, RFC 8414).

use std::sync::Arc;

use axum::extract::State;
use http::header;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// It changes with the configuration only.
const CACHE_CONTROL: &str = "public, max-age=3600";

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(openid)).routes(routes!(oauth))
}

fn metadata(app: &App) -> Value {
    let issuer = app.issued.issuer.trim_end_matches('/');
    json!({
        "issuer": app.issued.issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "userinfo_endpoint": format!("{issuer}/api/auth/me"),
        // People sign in to the apps, which call `/api/auth`: nobody is sent here and back.
        "response_types_supported": [],
        "grant_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "claims_supported": ["sub", "role", "roles", "app_id", "email", "sid", "iss", "aud", "exp", "iat", "jti"],
        "service_documentation": format!("{issuer}/api/openapi.json"),
    })
}

type Told = ([(header::HeaderName, &'static str); 1], axum::Json<Value>);

/// Where the keys are, and what tokens say.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "auth", responses(
    (status = 200, body = Value),
    (status = 429, body = kit::ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn openid(State(app): State<Arc<App>>) -> Told {
    ([(header::CACHE_CONTROL, CACHE_CONTROL)], axum::Json(metadata(&app)))
}

/// The same under its newer name.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "auth", responses(
    (status = 200, body = Value),
    (status = 429, body = kit::ProblemBody, description = "Too many requests; see Retry-After"),
))]
async fn oauth(State(app): State<Arc<App>>) -> Told {
    ([(header::CACHE_CONTROL, CACHE_CONTROL)], axum::Json(metadata(&app)))
}
