//! Everything that can be configured, read and checked before a socket is bound.
//!
//! Beside what every service gets ([`kit::config::Base`]): `MANA_CORE_AUTH_URL` (the ledger and the token keys),
//! `SERVICE_TOKEN` (shown to the ledger), `TOKEN_ISSUER`, `CHAT_MODEL_PLACES` (answers of a model written at once, 1024
//! unless said otherwise; `AI_CONCURRENCY` says it by model), `CHAT_USER_REQUESTS_PER_MINUTE` and
//! `CHAT_USER_CREDITS_PER_DAY` (what each person may do at most; no limit unless said), `CHAT_VISITOR_REQUESTS_PER_MINUTE` (what each
//! client address may at what needs no token, 100 unless said), `CHAT_TITLE_MODEL` (which model names conversations: one of those on
//! offer, or `none`; the cheapest unless said otherwise, and none where there is only echo, which names nothing), and the variables of [`ai::config`].

use std::sync::Arc;

use ai::{Catalog, Offer};
use kit::Credits;
use kit::auth::Verifier;
use kit::config::{Base, Env, Error};
use secrecy::SecretString;
use url::Url;

use crate::budgets::Limits;

/// Answers written at once. A waiting stream costs tens of kilobytes; a thousand of them fit the service's memory.
const DEFAULT_PLACES: usize = 1024;

/// More pages in a minute than anybody reads.
const DEFAULT_VISITOR_REQUESTS: u64 = 100;

/// The service's name where the platform gives none.
const NAME: &str = "chat-backend";

/// The configuration.
pub struct Config {
    /// What every service gets.
    pub base: Base,
    pub(crate) ledger_url: Url,
    pub(crate) service_token: SecretString,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) catalog: Catalog,
    pub(crate) router: ai::Router,
    /// What everyone may do at most.
    pub(crate) limits: Limits,
    /// Requests a minute of one client address on what needs no token.
    pub(crate) visitor_requests_per_minute: u64,
    /// Who names conversations.
    pub(crate) titles: Option<Offer>,
}

impl Config {
    /// Reads all of it.
    pub fn read(env: &Env) -> Result<Self, Error> {
        let allowed = "the internal URL of mana-core-auth";
        let ledger_url = env.required("MANA_CORE_AUTH_URL", allowed)?;
        let invalid = |value: String, name: &str, allowed: &str| Error::Invalid {
            name: name.into(),
            value,
            allowed: allowed.into(),
        };
        let ledger_url = ledger_url.parse().map_err(|_| invalid(ledger_url, "MANA_CORE_AUTH_URL", allowed))?;
        let places = env.parsed("CHAT_MODEL_PLACES", "a number from 1 to 100000")?.unwrap_or(DEFAULT_PLACES);
        if !(1..=100_000).contains(&places) {
            return Err(invalid(places.to_string(), "CHAT_MODEL_PLACES", "a number from 1 to 100000"));
        }
        let mut routing = ai::config::routing(|name| env.optional(name)).map_err(|e| Error::Usage(e.to_string()))?;
        if env.optional("AI_CONCURRENCY").is_none() {
            routing.places = vec![("*".into(), places)];
        }
        let requests = |name: &str| -> Result<Option<u64>, Error> {
            let allowed = "a number from 1 to 100000";
            let limit: Option<u64> = env.parsed(name, allowed)?;
            match limit.filter(|limit| !(1..=100_000).contains(limit)) {
                Some(beyond) => Err(invalid(beyond.to_string(), name, allowed)),
                None => Ok(limit),
            }
        };
        let requests_per_minute = requests("CHAT_USER_REQUESTS_PER_MINUTE")?;
        let visitor_requests_per_minute =
            requests("CHAT_VISITOR_REQUESTS_PER_MINUTE")?.unwrap_or(DEFAULT_VISITOR_REQUESTS);
        let credits_per_day: Option<Credits> = env.parsed("CHAT_USER_CREDITS_PER_DAY", "credits, more than 0")?;
        if let Some(limit) = credits_per_day.filter(|limit| *limit <= Credits::ZERO) {
            return Err(invalid(limit.to_string(), "CHAT_USER_CREDITS_PER_DAY", "credits, more than 0"));
        }
        // It says everything that is wrong at once, each with its variable's name.
        let catalog = ai::config::catalog(|name| env.optional(name)).map_err(|e| Error::Usage(e.to_string()))?;
        let router = ai::Router::new(&catalog, routing).map_err(Error::Usage)?;
        Ok(Self {
            titles: titles(env.optional("CHAT_TITLE_MODEL").as_deref(), &catalog)?,
            base: Base::read(env, NAME)?,
            ledger_url,
            service_token: env.secret("SERVICE_TOKEN", "the token that services show each other")?,
            verifier: Arc::new(Verifier::read(env)?),
            catalog,
            router,
            limits: Limits { requests_per_minute, credits_per_day },
            visitor_requests_per_minute,
        })
    }
}

/// What naming a conversation is about, to compare prices by.
const TITLE_READS_CHARS: usize = 2_000;
const TITLE_WRITES_CHARS: usize = 40;

/// Who names conversations: the cheapest model that can, unless said otherwise.
fn titles(named: Option<&str>, catalog: &Catalog) -> Result<Option<Offer>, Error> {
    match named {
        Some("none") => Ok(None),
        Some(model) => catalog.find(model).cloned().map(Some).ok_or_else(|| Error::Invalid {
            name: "CHAT_TITLE_MODEL".into(),
            value: model.into(),
            allowed: "a model on offer, or none".into(),
        }),
        None => {
            let able = catalog.offers().iter().filter(|offer| offer.provider.name() != "echo");
            // By what naming one takes: some of an exchange read, a few words written.
            let usage = ai::price::estimate(TITLE_READS_CHARS, TITLE_WRITES_CHARS);
            Ok(able.min_by_key(|offer| offer.price.charge(usage, 1, Credits::MAX)).cloned())
        }
    }
}
