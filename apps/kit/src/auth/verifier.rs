//! Access tokens: verified by every service itself, with the keys that `mana-core-auth` publishes.

use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{KeySource, Keys, KeysError};
use crate::clock;
use crate::config::{self, Env};
use crate::problem::Problem;

/// The header's `typ`, so that no other kind of token signed with the same key passes for an access token (RFC 9068).
pub const TOKEN_TYPE: &str = "at+jwt";

/// How far two machines' clocks may be apart.
const LEEWAY_SECONDS: u64 = 5;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user's id.
    pub sub: Uuid,
    /// `user` or `admin`.
    pub role: String,
    /// The app the user signed in to.
    pub app_id: String,
    /// The user's e-mail address.
    pub email: String,
    /// The session's id.
    pub sid: Uuid,
    /// Who issued it.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// Expires at, seconds since 1970.
    pub exp: i64,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// The token's own id.
    pub jti: Uuid,
}

/// Which tokens count.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must be this.
    pub audience: String,
    /// `app_id` must be one of these; `None` takes the tokens of every app.
    pub apps: Option<Vec<String>>,
}

impl Settings {
    /// `TOKEN_ISSUER`, `TOKEN_AUDIENCE` where it differs from the issuer, and `TOKEN_APPS`: the apps, separated by commas, whose
    /// tokens count here. A token that a person got for another app is refused. Only a service for all apps leaves it out.
    pub fn read(env: &Env) -> Result<Self, config::Error> {
        let issuer = env.required("TOKEN_ISSUER", "the public URL of mana-core-auth")?;
        let audience = env.optional("TOKEN_AUDIENCE").unwrap_or_else(|| issuer.clone());
        let apps = env.optional("TOKEN_APPS").map(|list| list.split(',').map(|app| app.trim().to_owned()).collect());
        Ok(Self { issuer, audience, apps })
    }
}

/// Why a token does not count.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a token, expired, forged, or for someone else; the source says which and goes to the log only.
    #[error("the access token is not valid")]
    Invalid(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The issuer's keys cannot be had and none is known.
    #[error("the issuer's keys cannot be had")]
    KeysUnavailable(#[source] KeysError),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(why) => {
                tracing::debug!(why = crate::telemetry::chain(&*why), "access token refused");
                metrics::counter!("access_tokens_refused_total").increment(1);
                Self::unauthorized("The access token is missing, expired or not valid; sign in again.")
            }
            Refusal::KeysUnavailable(error) => {
                tracing::warn!(error = crate::telemetry::chain(&error), "token keys cannot be had");
                Self::unavailable("auth_unavailable", "Signing in cannot be checked at the moment; try again shortly.")
            }
        }
    }
}

/// Verifies access tokens.
pub struct Verifier {
    keys: Keys,
    validation: Validation,
    apps: Option<Vec<String>>,
}

impl Verifier {
    /// A verifier of tokens signed with the source's keys.
    pub fn new(source: KeySource, settings: &Settings) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        Self { keys: Keys::new(source), validation, apps: settings.apps.clone() }
    }

    /// Puts these keys in the place of those known, where the issuer verifies its own tokens and its keys change.
    pub fn replace_keys(&self, set: &jsonwebtoken::jwk::JwkSet) {
        self.keys.replace(set);
    }

    /// The verifier of a service that needs `mana-core-auth`: its keys are at `MANA_CORE_AUTH_URL`.
    pub fn read(env: &Env) -> Result<Self, config::Error> {
        let auth = env.required("MANA_CORE_AUTH_URL", "the internal URL of mana-core-auth")?;
        Ok(Self::new(KeySource::remote(&auth), &Settings::read(env)?))
    }

    /// What a valid token says.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        if header.alg != Algorithm::EdDSA {
            return Err(invalid(format!("algorithm {:?}", header.alg)));
        }
        if header.typ.as_deref() != Some(TOKEN_TYPE) {
            return Err(invalid(format!("type {:?}", header.typ)));
        }
        let id = header.kid.ok_or_else(|| invalid("no key id"))?;
        let key = self.keys.find(&id).await.map_err(Refusal::KeysUnavailable)?;
        let key = key.ok_or_else(|| invalid(format!("unknown key {id:?}")))?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation).map_err(invalid)?.claims;
        let now = clock::now().as_second();
        if claims.iat > now.saturating_add(LEEWAY_SECONDS.cast_signed()) {
            return Err(invalid("issued in the future"));
        }
        if self.apps.as_ref().is_some_and(|apps| !apps.contains(&claims.app_id)) {
            metrics::counter!("access_tokens_of_another_app_total").increment(1);
            return Err(invalid(format!("for the app {:?}", claims.app_id)));
        }
        Ok(claims)
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal::Invalid(why.into())
}
