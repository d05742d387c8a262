//! The keys that sign access tokens, by id.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::{self, InContext};

/// After this the set is fetched again, so that a withdrawn key stops working.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Shortest time between two fetches, so that tokens with made-up key ids cannot make this service hammer the issuer.
const MIN_PAUSE: Duration = Duration::from_secs(2);

/// Where keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// The issuer's `/.well-known/jwks.json`.
    Remote(String),
    /// The issuer itself knows its own.
    Fixed(JwkSet),
}

impl KeySource {
    /// The keys that a `mana-core-auth` at this base URL publishes.
    pub fn remote(base: &str) -> Self {
        Self::Remote(format!("{}/.well-known/jwks.json", base.trim_end_matches('/')))
    }
}

#[derive(Default)]
struct Known {
    by_id: HashMap<String, Arc<DecodingKey>>,
    fetched: Option<Instant>,
}

pub(super) struct Keys {
    known: RwLock<Known>,
    /// Present for a remote source; held while fetching, so that it happens once for many waiting requests. Holds the time
    /// of the last attempt.
    remote: Option<(String, reqwest::Client, Mutex<Option<Instant>>)>,
}

impl Keys {
    pub(super) fn new(source: KeySource) -> Self {
        match source {
            KeySource::Fixed(set) => {
                let known = Known { by_id: by_id(&set), fetched: None };
                Self { known: RwLock::new(known), remote: None }
            }
            KeySource::Remote(url) => {
                let remote = Some((url, client::internal(), Mutex::new(None)));
                Self { known: RwLock::default(), remote }
            }
        }
    }

    /// The key of this id; an error only where no key is known at all and the issuer does not answer.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Arc<DecodingKey>>, reqwest::Error> {
        let (key, fresh) = self.look(id);
        if key.is_some() && fresh || self.remote.is_none() {
            return Ok(key);
        }
        match self.refresh(id).await {
            Ok(()) => Ok(self.look(id).0),
            // What was known goes on counting while the issuer is away: tokens are short-lived anyway.
            Err(_) if key.is_some() => Ok(key),
            Err(error) => Err(error),
        }
    }

    fn look(&self, id: &str) -> (Option<Arc<DecodingKey>>, bool) {
        let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = self.remote.is_none() || known.fetched.is_some_and(|at| at.elapsed() < MAX_AGE);
        (known.by_id.get(id).cloned(), fresh)
    }

    async fn refresh(&self, id: &str) -> Result<(), reqwest::Error> {
        let Some((url, client, last_attempt)) = &self.remote else { return Ok(()) };
        let mut last_attempt = last_attempt.lock().await;
        let (key, fresh) = self.look(id);
        let have_any = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).fetched.is_some();
        if key.is_some() && fresh || have_any && last_attempt.is_some_and(|at| at.elapsed() < MIN_PAUSE) {
            return Ok(());
        }
        *last_attempt = Some(Instant::now());
        let set: JwkSet = client.get(url).in_context().send().await?.error_for_status()?.json().await?;
        let fresh = Known { by_id: by_id(&set), fetched: Some(Instant::now()) };
        *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// Keys of other kinds, or without id, are passed over.
fn by_id(set: &JwkSet) -> HashMap<String, Arc<DecodingKey>> {
    let usable = set.keys.iter().filter_map(|jwk| {
        let id = jwk.common.key_id.clone()?;
        match DecodingKey::from_jwk(jwk) {
            Ok(key) => Some((id, Arc::new(key))),
            Err(error) => {
                tracing::warn!(%error, id, "a published key cannot be used");
                None
            }
        }
    });
    usable.collect()
}
