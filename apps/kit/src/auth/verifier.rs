//! Access tokens: verified by every service itself, with the keys that `mana-core-auth` publishes.

use jsonwebtoken::{Algorithm, Validation};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ended::{Ended, EndedError};
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
    /// What the user may do beside that.
    #[serde(default)]
    pub roles: Vec<String>,
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

impl Claims {
    /// Whether the user has a role, which may be the one or a further one.
    pub fn has_role(&self, role: &str) -> bool {
        self.role == role || self.roles.iter().any(|further| further == role)
    }
}

/// Which tokens count.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must be this.
    pub audience: String,
    /// Whose `app_id` counts.
    pub apps: Apps,
}

/// The apps whose tokens count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apps {
    /// Every one.
    All,
    /// These.
    Named(Vec<String>),
}

/// What `TOKEN_APPS` must hold.
const TOKEN_APPS: &str =
    "the apps whose tokens count here, separated by commas (its own, `chat`, and whoever else), or * for all";

impl Apps {
    /// `TOKEN_APPS`; where it is not set, the service's own, which is named as its project (`MANA_PROJECT`).
    fn read(env: &Env) -> Result<Self, config::Error> {
        let said = env.optional("TOKEN_APPS").or_else(|| env.optional("MANA_PROJECT"));
        let list =
            said.ok_or_else(|| config::Error::Missing { name: "TOKEN_APPS".into(), allowed: TOKEN_APPS.into() })?;
        Self::parse("TOKEN_APPS", list)
    }

    /// The apps that the variable of this name lists.
    pub fn parse(name: &str, list: String) -> Result<Self, config::Error> {
        let names: Vec<String> = list.split(',').map(|app| app.trim().to_owned()).collect();
        if names == ["*"] {
            return Ok(Self::All);
        }
        if names.iter().any(|name| name.is_empty() || name == "*") {
            return Err(config::Error::Invalid { name: name.into(), value: list, allowed: TOKEN_APPS.into() });
        }
        Ok(Self::Named(names))
    }

    /// Whether the tokens of an app count.
    pub fn count(&self, app: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == app),
        }
    }
}

impl Settings {
    /// Of the issuer itself: `TOKEN_ISSUER`, and `TOKEN_AUDIENCE` where it differs. Every app's people have their accounts there, so
    /// without `TOKEN_APPS` the tokens of all count.
    pub fn of_issuer(env: &Env) -> Result<Self, config::Error> {
        let issuer = env.required("TOKEN_ISSUER", "the public URL of mana-core-auth")?;
        let audience = env.optional("TOKEN_AUDIENCE").unwrap_or_else(|| issuer.clone());
        let apps = if env.optional("TOKEN_APPS").is_some() { Apps::read(env)? } else { Apps::All };
        Ok(Self { issuer, audience, apps })
    }

    /// Of any other service: a token that a person got for an app is refused by another one, unless `TOKEN_APPS` lets it in.
    pub fn read(env: &Env) -> Result<Self, config::Error> {
        Ok(Self { apps: Apps::read(env)?, ..Self::of_issuer(env)? })
    }
}

/// Why a token does not count.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a token, expired, forged, or for someone else; the source says which and goes to the log only.
    #[error("the access token is not valid")]
    Invalid(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its session has ended before the token has expired.
    #[error("the session of the access token has ended")]
    Ended,
    /// The issuer's keys cannot be had and none is known.
    #[error("the issuer's keys cannot be had")]
    KeysUnavailable(#[source] KeysError),
    /// The issuer has not said for too long which sessions have ended.
    #[error("which sessions have ended cannot be told")]
    EndedUnavailable(#[source] EndedError),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(why) => {
                tracing::debug!(why = crate::telemetry::chain(&*why), "access token refused");
                metrics::counter!("access_tokens_refused_total").increment(1);
                Self::unauthorized("The access token is missing, expired or not valid; sign in again.")
            }
            Refusal::Ended => {
                metrics::counter!("access_tokens_of_ended_sessions_total").increment(1);
                Self::unauthorized("This session has ended; sign in again.")
            }
            Refusal::KeysUnavailable(error) => {
                tracing::warn!(error = crate::telemetry::chain(&error), "token keys cannot be had");
                unchecked()
            }
            Refusal::EndedUnavailable(error) => {
                metrics::counter!("access_tokens_unchecked_total").increment(1);
                tracing::warn!(error = crate::telemetry::chain(&error), "which sessions have ended cannot be told");
                unchecked()
            }
        }
    }
}

fn unchecked() -> Problem {
    Problem::unavailable("auth_unavailable", "Signing in cannot be checked at the moment; try again shortly.")
}

/// Verifies access tokens.
pub struct Verifier {
    keys: Keys,
    validation: Validation,
    apps: Apps,
    /// `None` at the issuer itself, whose handlers ask the database.
    ended: Option<Ended>,
}

impl Verifier {
    /// A verifier of tokens signed with the source's keys. Of sessions that have ended it knows nothing.
    pub fn new(source: KeySource, settings: &Settings) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        Self { keys: Keys::new(source), validation, apps: settings.apps.clone(), ended: None }
    }

    /// Puts these keys in the place of those known, where the issuer verifies its own tokens and its keys change.
    pub fn replace_keys(&self, set: &jsonwebtoken::jwk::JwkSet) {
        self.keys.replace(set);
    }

    /// The verifier of a service that needs `mana-core-auth`: its keys, and with `SERVICE_TOKEN` which sessions have ended, are at `MANA_CORE_AUTH_URL`.
    pub fn read(env: &Env) -> Result<Self, config::Error> {
        let auth = env.required("MANA_CORE_AUTH_URL", "the internal URL of mana-core-auth")?;
        let token = env.secret("SERVICE_TOKEN", "the token that services show each other")?;
        Ok(Self::new(KeySource::remote(&auth), &Settings::read(env)?).refusing_ended_sessions_of(&auth, token))
    }

    /// Refuses tokens of sessions that have ended, as the issuer at this base URL says.
    #[must_use]
    pub fn refusing_ended_sessions_of(self, issuer: &str, token: SecretString) -> Self {
        Self { ended: Some(Ended::of(issuer, token)), ..self }
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
        if !self.apps.count(&claims.app_id) {
            metrics::counter!("access_tokens_of_another_app_total").increment(1);
            return Err(invalid(format!("for the app {:?}", claims.app_id)));
        }
        if let Some(ended) = &self.ended
            && ended.has(claims.sid).await.map_err(Refusal::EndedUnavailable)?
        {
            return Err(Refusal::Ended);
        }
        Ok(claims)
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal::Invalid(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_on_it_only_the_services_own_app_counts() {
        let read = |variables: &[(&str, &str)]| {
            let issuer = [("TOKEN_ISSUER", "http://auth.test")];
            Settings::read(&Env::table(issuer.iter().chain(variables).copied())).map(|settings| settings.apps)
        };
        let named = |names: &[&str]| Ok(Apps::Named(names.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(read(&[("MANA_PROJECT", "chat")]), named(&["chat"]));
        assert_eq!(read(&[("MANA_PROJECT", "chat"), ("TOKEN_APPS", "chat, photos")]), named(&["chat", "photos"]));
        assert_eq!(read(&[("TOKEN_APPS", "*")]), Ok(Apps::All));
        let issuer = |apps: &str| {
            let env =
                Env::table([("TOKEN_ISSUER", "http://auth.test"), ("MANA_PROJECT", "auth"), ("TOKEN_APPS", apps)]);
            Settings::of_issuer(&env).map(|settings| settings.apps)
        };
        assert_eq!(issuer(""), Ok(Apps::All), "everybody's account is there");
        assert_eq!(issuer("chat"), named(&["chat"]));
        for (variables, expected) in [
            (&[][..], "TOKEN_APPS is not set"),
            (&[("TOKEN_APPS", "chat,*")][..], "TOKEN_APPS is \"chat,*\""),
            (&[("TOKEN_APPS", "chat,")][..], "TOKEN_APPS is \"chat,\""),
        ] {
            let message = read(variables).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
