//! Settings, read from the environment.

use std::time::Duration;

use kit::Credits;
use kit::auth::{ServiceToken, Settings as TokenSettings};
use kit::config::{Base, Env, Error};
use secrecy::SecretBox;

use crate::accounts::farewells::Told;
use crate::accounts::roles;
use crate::keys::SEED_BYTES;
use crate::letters::mailer::Mail;
use crate::oidc::provider::Provider;
use crate::passkeys::Party;
use crate::registration::Registration;
use crate::settings::{self, DAY, Hashing, Limits, Tokens};

/// Everything the service is configured with.
pub struct Config {
    /// What every service has.
    pub base: Base,
    pub(crate) issued: TokenSettings,
    pub(crate) signing_seed: SecretBox<[u8; SEED_BYTES]>,
    pub(crate) service_tokens: Vec<ServiceToken>,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) hashing: Hashing,
    pub(crate) mail: Mail,
    pub(crate) registration: Registration,
    pub(crate) party: Party,
    pub(crate) told: Told,
    pub(crate) env: Env,
    pub(crate) rules: Rules,
}

/// The figures that a person may want to change.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// What a new account gets, once.
    pub(crate) sign_up_grant: Credits,
    /// `FREE_CREDITS_LAST`: how long free credits can be spent; `None`: for ever.
    pub(crate) free_credits_last: Option<Duration>,
    /// How long credits stay reserved where the caller says nothing.
    pub(crate) reservation_ttl: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { sign_up_grant: Credits::whole(50), free_credits_last: None, reservation_ttl: Duration::from_mins(10) }
    }
}

impl Config {
    /// Reads and checks all of it.
    pub fn read(env: &Env) -> Result<Self, Error> {
        let mut rules = Rules::default();
        if let Some(grant) = env.parsed("SIGN_UP_GRANT", "an amount of credits, such as 50")? {
            rules.sign_up_grant = grant;
        }
        if rules.sign_up_grant < Credits::ZERO {
            let value = rules.sign_up_grant.to_string();
            return Err(Error::Invalid { name: "SIGN_UP_GRANT".into(), value, allowed: "0 credits or more".into() });
        }
        // Commands read them; here they are checked before anything starts.
        roles::known(env)?;
        rules.free_credits_last = settings::optional_duration(env, "FREE_CREDITS_LAST", DAY, 3_650 * DAY)?;
        let base = Base::read(env, "mana-core-auth")?;
        let issued = TokenSettings::of_issuer(env)?;
        let mail = Mail::read(env, &base, &issued.issuer)?;
        // Read here so that it is checked before anything starts.
        Provider::read(env, &mail.app_url)?;
        Ok(Self {
            registration: Registration::read(env, base.environment)?,
            base,
            issued,
            party: Party::read(env, &mail.app_url)?,
            told: Told::read(env)?,
            mail,
            env: env.clone(),
            signing_seed: env.secret_bytes("AUTH_SIGNING_SEED")?,
            service_tokens: ServiceToken::read(env)?,
            tokens: Tokens::read(env)?,
            limits: Limits::read(env)?,
            hashing: Hashing::read(env)?,
            rules,
        })
    }
}
