//! Counts that all instances share: in the cache, which is Redis where it is configured.
//!
//! Where Redis is away this instance counts by itself: limits are then per instance, which is counted (the cache says that it is
//! away), and nobody is locked out or let through for want of a counter. Each instance keeps what it has counted itself beside
//! Redis, and the higher of the two counts: neither a Redis that is lost between two tries nor one that was emptied gives anybody
//! their tries anew. That a count was forgotten is written down beside it, since another instance may still have its own.

use std::time::Duration;

use crate::cache::{Cache, Error};

/// The counters.
#[derive(Clone)]
pub struct Counters {
    shared: Cache,
    local: Cache,
}

impl Counters {
    /// Counts in `shared`, and beside it in this process.
    pub fn new(shared: Cache) -> Self {
        Self { shared, local: Cache::in_process() }
    }

    /// Adds one; gives the new count. It lives for `ttl` from its first count.
    pub async fn add(&self, key: &str, ttl: Duration) -> u64 {
        let here = self.local.increment(key, ttl).await.unwrap_or(1);
        match self.with_shared(key, ttl, here).await {
            Ok(count) => count,
            Err(error) => {
                said(&error);
                here
            }
        }
    }

    /// As [`Counters::add`], for those who do nothing where instances cannot count together.
    ///
    /// # Errors
    /// Where they cannot: the shared cache does not answer.
    pub async fn add_together(&self, key: &str, ttl: Duration) -> Result<u64, Error> {
        let here = self.local.increment(key, ttl).await.unwrap_or(1);
        self.with_shared(key, ttl, here).await
    }

    async fn with_shared(&self, key: &str, ttl: Duration, here: u64) -> Result<u64, Error> {
        let count = self.shared.increment(key, ttl).await?;
        if count >= here {
            return Ok(count);
        }
        if self.shared.get(&forgotten(key)).await?.is_some() {
            // Another instance has forgotten it; what was counted here goes, too.
            drop(self.local.delete(key).await);
            return Ok(count);
        }
        Ok(here)
    }

    /// Forgets a count that lives for `ttl`.
    pub async fn forget(&self, key: &str, ttl: Duration) {
        let done = async {
            self.shared.set(&forgotten(key), "1", ttl).await?;
            self.shared.delete(key).await
        };
        if let Err(error) = done.await {
            said(&error);
        }
        // What was counted here is forgotten, too.
        drop(self.local.delete(key).await);
    }

    /// Remembers that something is so.
    pub async fn mark(&self, key: &str, ttl: Duration) {
        drop(self.local.set(key, "1", ttl).await);
        if let Err(error) = self.shared.set(key, "1", ttl).await {
            said(&error);
        }
    }

    /// Whether something was remembered, by all instances or, where they have lost it, by this one.
    pub async fn is_marked(&self, key: &str) -> bool {
        let found = self.shared.get(key).await.unwrap_or_else(|error| {
            said(&error);
            None
        });
        found.is_some() || self.local.get(key).await.ok().flatten().is_some()
    }

    /// Whether this is the first use of something that may be used once within `ttl`.
    pub async fn is_first_use(&self, key: &str, ttl: Duration) -> bool {
        self.add(key, ttl).await == 1
    }
}

/// Where it is written down that a count was forgotten.
fn forgotten(key: &str) -> String {
    format!("forgotten:{key}")
}

fn said(error: &Error) {
    metrics::counter!("counts_of_this_instance_alone_total").increment(1);
    tracing::debug!(%error, "the shared counters do not answer; this instance counts by itself");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_redis_an_instance_counts_by_itself() {
        let away = Cache::connect(Some(&"redis://127.0.0.1:1/".to_owned().into())).unwrap();
        let counters = Counters::new(away);
        for expected in 1..=3 {
            assert_eq!(counters.add("x", Duration::from_mins(1)).await, expected);
        }
        counters.forget("x", Duration::from_mins(1)).await;
        assert_eq!(counters.add("x", Duration::from_mins(1)).await, 1);
        counters.mark("y", Duration::from_mins(1)).await;
        assert!(counters.is_marked("y").await && !counters.is_marked("z").await);
        assert!(counters.add_together("w", Duration::from_mins(1)).await.is_err());
    }

    #[tokio::test]
    async fn a_cache_that_was_emptied_gives_nobody_their_tries_anew() {
        let shared = Cache::in_process();
        let counters = Counters::new(shared.clone());
        for key in ["x", "y"] {
            for expected in 1..=3 {
                assert_eq!(counters.add(key, Duration::from_mins(1)).await, expected);
            }
            shared.delete(key).await.unwrap();
        }
        assert_eq!(counters.add("x", Duration::from_mins(1)).await, 4);
        assert_eq!(counters.add_together("y", Duration::from_mins(1)).await.unwrap(), 4);
        assert!(!counters.is_first_use("x", Duration::from_mins(1)).await);
        counters.mark("z", Duration::from_mins(1)).await;
        shared.delete("z").await.unwrap();
        assert!(counters.is_marked("z").await, "nor does it forget whom somebody is known by");
    }

    #[tokio::test]
    async fn what_one_instance_forgets_no_other_remembers() {
        let shared = Cache::in_process();
        let [one, other] = [&shared, &shared].map(|shared| Counters::new(shared.clone()));
        for instance in [&one, &other, &other] {
            instance.add("x", Duration::from_mins(1)).await;
        }
        one.forget("x", Duration::from_mins(1)).await;
        assert_eq!(other.add("x", Duration::from_mins(1)).await, 1);
        assert_eq!(one.add("x", Duration::from_mins(1)).await, 2);
        assert_eq!(other.add("x", Duration::from_mins(1)).await, 3);
        // Emptied after that, both begin with what they have counted since.
        shared.delete("x").await.unwrap();
        shared.delete(&forgotten("x")).await.unwrap();
        assert_eq!(other.add("x", Duration::from_mins(1)).await, 2);
    }
}
