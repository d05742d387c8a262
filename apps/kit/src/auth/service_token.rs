//! The service that calls: services show each other a token of their own on internal endpoints.
//!
//! Each caller can have a token of its own, with a name for the logs and scopes: what lies below `/api/internal/` at these
//! paths is open to it and nothing else. What is not named is closed.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderName;
use http::request::Parts;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::config::{Env, Error};
use crate::problem::Problem;

/// The header that carries it.
pub const SERVICE_TOKEN_HEADER: HeaderName = HeaderName::from_static("x-service-token");

/// What every internal address begins with; scopes are what comes after it.
const INTERNAL: &str = "/api/internal/";

/// A token that internal endpoints accept.
#[derive(Debug, Clone)]
pub struct ServiceToken {
    caller: String,
    token: SecretString,
    /// `None`: everything internal.
    scopes: Option<Vec<String>>,
}

impl ServiceToken {
    /// A token that opens all that is internal.
    pub fn new(caller: impl Into<String>, token: SecretString) -> Self {
        Self { caller: caller.into(), token, scopes: None }
    }

    /// Opens only these paths below `/api/internal/`, and what lies below them: `credits`, `credits/reserve`.
    #[must_use]
    pub fn limited_to<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// `SERVICE_TOKEN`, limited to `SERVICE_TOKEN_SCOPES` where that is set, and for each `NAME=SCOPE+SCOPE` in
    /// `SERVICE_CALLERS` (separated by commas) the token in `SERVICE_TOKEN_NAME`.
    pub fn read(env: &Env) -> Result<Vec<Self>, Error> {
        let shared = env.secret("SERVICE_TOKEN", "the token that services show each other")?;
        let mut shared = Self::new("service", shared);
        if let Some(scopes) = env.optional("SERVICE_TOKEN_SCOPES") {
            shared = shared.limited_to(words(&scopes, &[',', '+', ' ']));
        }
        let mut tokens = vec![shared];
        for caller in words(&env.optional("SERVICE_CALLERS").unwrap_or_default(), &[',']) {
            let (name, scopes) = caller.split_once('=').unwrap_or((&caller, ""));
            let scopes = words(scopes, &['+']);
            if name.is_empty() || scopes.is_empty() {
                let allowed =
                    "NAME=SCOPE+SCOPE, separated by commas, such as chat-backend=credits/reserve+credits/settle";
                return Err(Error::Invalid { name: "SERVICE_CALLERS".into(), value: caller, allowed: allowed.into() });
            }
            let variable = format!("SERVICE_TOKEN_{}", name.to_uppercase().replace('-', "_"));
            let token = env.secret(&variable, "the token that this caller shows")?;
            tokens.push(Self::new(name, token).limited_to(scopes));
        }
        Ok(tokens)
    }

    fn opens(&self, path: &str) -> bool {
        let Some(scopes) = &self.scopes else { return true };
        let Some(inner) = path.strip_prefix(INTERNAL) else { return false };
        scopes.iter().any(|scope| {
            inner.strip_prefix(scope.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

fn words(text: &str, between: &[char]) -> Vec<String> {
    text.split(between).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Proof that the caller is a service of this ecosystem. As a handler's argument it refuses anyone else (401), and a service
/// whose token is for something else (403).
#[derive(Debug, Clone)]
pub struct ServiceCaller {
    /// Whose token it showed.
    pub name: String,
}

impl<S: Sync> FromRequestParts<S> for ServiceCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let accepted = parts.extensions.get::<Arc<[ServiceToken]>>();
        let accepted = accepted.expect("Service::service_tokens was given to a service with internal endpoints");
        let given = parts.headers.get(SERVICE_TOKEN_HEADER).map(http::HeaderValue::as_bytes).unwrap_or_default();
        // All are compared, so that the time says nothing about which one was close.
        let same = |token: &&ServiceToken| bool::from(given.ct_eq(token.token.expose_secret().as_bytes()));
        let shown: Vec<&ServiceToken> = accepted.iter().filter(same).collect();
        if shown.is_empty() {
            metrics::counter!("service_tokens_refused_total").increment(1);
            return Err(Problem::unauthorized("This address is for services of the ecosystem."));
        }
        if let Some(token) = shown.iter().find(|token| token.opens(parts.uri.path())) {
            return Ok(Self { name: token.caller.clone() });
        }
        metrics::counter!("service_tokens_out_of_scope_total").increment(1);
        tracing::warn!(caller = shown[0].caller, path = parts.uri.path(), "a service token is not for this");
        Err(Problem::forbidden("This service's token is not for this address; its scopes say what it is for."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_opens_its_path_and_what_lies_below() {
        let token = ServiceToken::new("chat", "t".to_owned().into()).limited_to(["credits/reserve", "mail"]);
        for (path, open) in [
            ("/api/internal/credits/reserve", true),
            ("/api/internal/credits/reserve/many", true),
            ("/api/internal/credits/settle/many", false),
            ("/api/internal/mail/send", true),
            ("/api/internal/credits", false),
            ("/api/internal/credits/grant", false),
            ("/api/internal/credits/reserved", false),
            ("/api/mail", false),
        ] {
            assert_eq!(token.opens(path), open, "{path}");
        }
        assert!(ServiceToken::new("all", "t".to_owned().into()).opens("/api/internal/credits/grant"));
    }

    #[test]
    fn the_token_that_the_shipped_services_share_makes_no_credits() {
        let manifest = include_str!("../../../../mana.toml");
        let (_, said) = manifest.split_once("SERVICE_TOKEN_SCOPES = \"").unwrap();
        let scopes = said.split('"').next().unwrap().split(' ');
        let token = ServiceToken::new("service", "t".to_owned().into()).limited_to(scopes);
        for open in
            ["credits/balance", "credits/reserve", "credits/settle", "credits/release", "accounts", "sessions/ended"]
        {
            assert!(token.opens(&format!("/api/internal/{open}")), "{open}");
        }
        assert!(!token.opens("/api/internal/credits/grant"));
    }

    #[test]
    fn callers_are_read_with_their_tokens_and_scopes() {
        let env = Env::table([
            ("SERVICE_TOKEN", "shared"),
            ("SERVICE_TOKEN_SCOPES", "credits/balance"),
            ("SERVICE_CALLERS", "chat-backend=credits/reserve+credits/settle"),
            ("SERVICE_TOKEN_CHAT_BACKEND", "own"),
        ]);
        let tokens = ServiceToken::read(&env).unwrap();
        assert_eq!(tokens.iter().map(|token| token.caller.as_str()).collect::<Vec<_>>(), ["service", "chat-backend"]);
        assert!(tokens[1].opens("/api/internal/credits/settle") && !tokens[1].opens("/api/internal/credits/grant"));
        assert!(!tokens[0].opens("/api/internal/credits/settle"));
        let wrong = Env::table([("SERVICE_TOKEN", "shared"), ("SERVICE_CALLERS", "chat-backend")]);
        assert!(ServiceToken::read(&wrong).unwrap_err().to_string().contains("NAME=SCOPE"));
    }
}
