//! Bounds password guessing: failed logins of one account from one address.
//!
//! Counted by both together, so that a stranger cannot lock someone out. An attempt counts as failed from its beginning,
//! so parallel guesses are no way around it; a success clears the count.

use http::HeaderMap;
use kit::Problem;
use sha2::{Digest, Sha256};

use crate::app::App;

/// One attempt to sign in.
pub(crate) struct Attempt {
    key: String,
}

impl Attempt {
    /// Counts it, or refuses it where there were too many.
    pub(crate) async fn begin(app: &App, email: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let digest = Sha256::digest(format!("{email}\n{}", client_address(headers)));
        let key = format!("login-failures:{}", hex::encode(&digest[..16]));
        match app.cache.increment(&key, app.rules.login_window).await {
            Ok(count) if count > app.rules.login_failures => {
                metrics::counter!("logins_throttled_total").increment(1);
                Err(Problem::throttled(app.rules.login_window.as_secs()))
            }
            Ok(_) => Ok(Self { key }),
            // Without the counter nobody could sign in at all; hashing's own bound still slows guessing down.
            Err(error) => {
                tracing::warn!(%error, "failed logins cannot be counted");
                Ok(Self { key })
            }
        }
    }

    /// Forgets the failures.
    pub(crate) async fn succeeded(self, app: &App) {
        if let Err(error) = app.cache.delete(&self.key).await {
            tracing::warn!(%error, "failed logins cannot be cleared");
        }
    }
}

/// The client's address as the edge found it. The service itself listens on loopback only.
pub(crate) fn client_address(headers: &HeaderMap) -> &str {
    headers.get("x-real-ip").and_then(|value| value.to_str().ok()).map_or("", str::trim)
}
