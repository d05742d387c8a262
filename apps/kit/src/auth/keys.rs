//! The keys that sign access tokens, by id.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client;

/// After this the set is fetched again, so that a withdrawn key stops working.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Shortest time between two fetches, so that neither tokens with made-up key ids nor an issuer that is away make this
/// service hammer it.
const MIN_PAUSE: Duration = Duration::from_secs(2);

/// Longest wait for the issuer: requests wait for it when their key is not known yet.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

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

/// Why the issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It did not answer, or not with keys.
    #[error("the issuer does not answer")]
    Fetch(#[from] reqwest::Error),
    /// It did not a moment ago, and is not asked again so soon.
    #[error("the issuer did not answer a moment ago")]
    Pausing,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<String, Arc<DecodingKey>>,
    fetched: Option<Instant>,
}

struct Remote {
    url: String,
    client: reqwest::Client,
    /// Held while fetching, so that it happens once for many waiting requests.
    last_attempt: Mutex<Option<Instant>>,
}

/// The keys known so far, and where to ask for more.
#[derive(Clone)]
pub(super) struct Keys {
    known: Arc<RwLock<Known>>,
    remote: Option<Arc<Remote>>,
}

impl Keys {
    pub(super) fn new(source: KeySource) -> Self {
        match source {
            KeySource::Fixed(set) => {
                let known = Known { by_id: by_id(&set), fetched: None };
                Self { known: Arc::new(RwLock::new(known)), remote: None }
            }
            KeySource::Remote(url) => {
                let remote = Remote { url, client: client::internal(), last_attempt: Mutex::new(None) };
                Self { known: Arc::default(), remote: Some(Arc::new(remote)) }
            }
        }
    }

    /// The key of this id; an error only where it is not known and the issuer does not answer.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Arc<DecodingKey>>, KeysError> {
        let (key, fresh) = self.look(id);
        let Some(remote) = &self.remote else { return Ok(key) };
        if key.is_some() {
            if !fresh {
                self.refresh_aside(remote);
            }
            return Ok(key);
        }
        self.refresh(remote, id).await?;
        Ok(self.look(id).0)
    }

    /// Puts another set in the place of what is known, for an issuer that knows its own.
    pub(super) fn replace(&self, set: &JwkSet) {
        let known = Known { by_id: by_id(set), fetched: None };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn look(&self, id: &str) -> (Option<Arc<DecodingKey>>, bool) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        (known.by_id.get(id).cloned(), known.fetched.is_some_and(|at| at.elapsed() < MAX_AGE))
    }

    /// A known key goes on counting while the set is fetched anew: nobody waits for that.
    fn refresh_aside(&self, remote: &Arc<Remote>) {
        let (keys, remote) = (self.clone(), Arc::clone(remote));
        tokio::spawn(async move {
            let Ok(mut last_attempt) = remote.last_attempt.try_lock() else { return };
            if last_attempt.is_some_and(|at| at.elapsed() < MIN_PAUSE) {
                return;
            }
            *last_attempt = Some(Instant::now());
            if let Err(error) = keys.fetch(&remote).await {
                tracing::warn!(error = crate::telemetry::chain(&error), "token keys could not be refreshed");
            }
        });
    }

    async fn refresh(&self, remote: &Remote, id: &str) -> Result<(), KeysError> {
        let mut last_attempt = remote.last_attempt.lock().await;
        if self.look(id).0.is_some() {
            return Ok(());
        }
        if last_attempt.is_some_and(|at| at.elapsed() < MIN_PAUSE) {
            let ever = self.known.read().unwrap_or_else(PoisonError::into_inner).fetched.is_some();
            return if ever { Ok(()) } else { Err(KeysError::Pausing) };
        }
        *last_attempt = Some(Instant::now());
        self.fetch(remote).await
    }

    async fn fetch(&self, remote: &Remote) -> Result<(), KeysError> {
        let answer = remote.client.get(&remote.url).timeout(FETCH_TIMEOUT).send().await?.error_for_status()?;
        let fresh = Known { by_id: by_id(&answer.json().await?), fetched: Some(Instant::now()) };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = fresh;
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
