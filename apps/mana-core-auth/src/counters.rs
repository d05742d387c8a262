//! Counts that all instances share: in the cache, which is Redis where it is configured.
//!
//! Where Redis is away this instance counts by itself: limits are then per instance, which is counted (the cache says that it is
//! away), and nobody is locked out or let through for want of a counter.

use std::time::Duration;

use kit::cache::Cache;

/// The counters.
#[derive(Clone)]
pub(crate) struct Counters {
    shared: Cache,
    local: Cache,
}

impl Counters {
    pub(crate) fn new(shared: Cache) -> Self {
        Self { shared, local: Cache::in_process() }
    }

    /// Adds one; gives the new count. It lives for `ttl` from its first count.
    pub(crate) async fn add(&self, key: &str, ttl: Duration) -> u64 {
        match self.shared.increment(key, ttl).await {
            Ok(count) => count,
            Err(error) => {
                said(&error);
                self.local.increment(key, ttl).await.unwrap_or(1)
            }
        }
    }

    /// Forgets a count.
    pub(crate) async fn forget(&self, key: &str) {
        if let Err(error) = self.shared.delete(key).await {
            said(&error);
        }
        // What was counted here while the cache was away is forgotten too.
        drop(self.local.delete(key).await);
    }

    /// Remembers that something is so.
    pub(crate) async fn mark(&self, key: &str, ttl: Duration) {
        if let Err(error) = self.shared.set(key, "1", ttl).await {
            said(&error);
            drop(self.local.set(key, "1", ttl).await);
        }
    }

    /// Whether something was remembered.
    pub(crate) async fn is_marked(&self, key: &str) -> bool {
        let found = match self.shared.get(key).await {
            Ok(found) => found,
            Err(error) => {
                said(&error);
                self.local.get(key).await.ok().flatten()
            }
        };
        found.is_some()
    }

    /// Whether this is the first use of something that may be used once within `ttl`.
    pub(crate) async fn is_first_use(&self, key: &str, ttl: Duration) -> bool {
        self.add(key, ttl).await == 1
    }
}

fn said(error: &kit::cache::Error) {
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
        counters.forget("x").await;
        assert_eq!(counters.add("x", Duration::from_mins(1)).await, 1);
        counters.mark("y", Duration::from_mins(1)).await;
        assert!(counters.is_marked("y").await && !counters.is_marked("z").await);
    }
}
