//! Copies of balances for showing, in the cache that services share: `credits:{userId}`.
//!
//! The ledger gives each balance a version that rises with every change. A copy is replaced only by a newer one, so that two
//! answers that come in the wrong order leave the right one behind. Nothing is ever decided by a copy.

use std::time::Duration;

use uuid::Uuid;

use crate::Credits;
use crate::cache::{Cache, Error};

/// How long a copy is believed.
const TTL: Duration = Duration::from_mins(5);

/// A balance as the ledger said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBalance {
    /// What can be spent.
    pub balance: Credits,
    /// Rises with each change.
    pub version: i64,
}

impl KeptBalance {
    /// Keeps it, unless a newer one is kept.
    pub async fn keep(self, cache: &Cache, user: Uuid) -> Result<(), Error> {
        cache.set_newer(&key(user), self.version, &self.balance.to_string(), TTL).await
    }

    /// What is kept for a user.
    pub async fn kept(cache: &Cache, user: Uuid) -> Result<Option<Self>, Error> {
        let text = cache.get(&key(user)).await?;
        Ok(text.and_then(|text| {
            let (version, balance) = text.split_once(' ')?;
            Some(Self { balance: balance.parse().ok()?, version: version.parse().ok()? })
        }))
    }

    /// Forgets what is kept for a user.
    pub async fn forget(cache: &Cache, user: Uuid) -> Result<(), Error> {
        cache.delete(&key(user)).await
    }
}

fn key(user: Uuid) -> String {
    format!("credits:{user}")
}
