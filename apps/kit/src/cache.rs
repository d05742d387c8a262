//! A cache with a time to live: in the process, or Redis where `REDIS_URL` is set. Same calls, same meaning.
//!
//! A cache may forget at any time and may be away: every call gives a `Result`, and the caller decides whether an error
//! is a miss. Nothing here waits longer than [`TIMEOUT`]. That Redis is away is said once and errors are counted here, so callers
//! need do neither.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache as Memory;
use redis::AsyncCommands;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use secrecy::{ExposeSecret, SecretString};

use crate::config;
use crate::outage::Outage;

/// Longest wait for Redis: a cache that is slower than that is worse than none.
pub const TIMEOUT: Duration = Duration::from_millis(250);

/// Entries kept in the process.
const MAX_ENTRIES: u64 = 10_000;

/// Stores what is newer. A version is compared as a number: below 2^53 Lua's are exact.
const SET_NEWER: &str = "local old = redis.call('GET', KEYS[1])
    local version = old and tonumber(string.match(old, '^(%-?%d+) '))
    if not version or version <= tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
    return redis.status_reply('OK')";

/// Why the cache gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis failed.
    #[error("the cache does not answer")]
    Redis(#[from] redis::RedisError),
    /// Redis took longer than [`TIMEOUT`].
    #[error("the cache does not answer in time")]
    Late,
}

/// The cache.
#[derive(Clone)]
pub struct Cache(Store);

#[derive(Clone)]
enum Store {
    Memory(Memory<String, Entry>),
    Redis(Redis),
}

#[derive(Clone)]
struct Redis {
    manager: ConnectionManager,
    prefix: String,
    outage: Arc<Outage>,
}

#[derive(Clone)]
struct Entry {
    value: String,
    expires: Instant,
}

struct UntilItExpires;

impl Expiry<String, Entry> for UntilItExpires {
    fn expire_after_create(&self, _: &String, entry: &Entry, created: Instant) -> Option<Duration> {
        Some(entry.expires.saturating_duration_since(created))
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        updated: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.expires.saturating_duration_since(updated))
    }
}

impl Cache {
    /// Redis where a URL is given (connected when first used), else in the process. What stands behind a `#` in the URL is
    /// put before every key, so that several ecosystems can share one Redis.
    pub fn connect(url: Option<&SecretString>) -> Result<Self, config::Error> {
        let Some(url) = url else { return Ok(Self::in_process()) };
        let invalid = |_| config::Error::InvalidSecret {
            name: "REDIS_URL".into(),
            allowed: "a redis:// or rediss:// URL".into(),
        };
        let url = url.expose_secret();
        let (server, prefix) = url.split_once('#').unwrap_or((url, ""));
        let client = redis::Client::open(server).map_err(invalid)?;
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_number_of_retries(1);
        let manager = ConnectionManager::new_lazy_with_config(client, settings).map_err(invalid)?;
        let outage = Arc::new(Outage::new("cache"));
        Ok(Self(Store::Redis(Redis { manager, prefix: prefix.to_owned(), outage })))
    }

    /// A cache of this process alone.
    pub fn in_process() -> Self {
        Self(Store::Memory(Memory::builder().max_capacity(MAX_ENTRIES).expire_after(UntilItExpires).build()))
    }

    /// What is stored under `key`.
    pub async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        match &self.0 {
            Store::Memory(memory) => Ok(memory.get(key).await.map(|entry| entry.value)),
            Store::Redis(redis) => redis.answer(redis.manager.clone().get(redis.key(key))).await,
        }
    }

    /// Stores `value` for as long as `ttl`.
    pub async fn set(&self, key: &str, value: &str, ttl: Duration) -> Result<(), Error> {
        match &self.0 {
            Store::Memory(memory) => {
                memory.insert(key.to_owned(), Entry { value: value.to_owned(), expires: Instant::now() + ttl }).await;
                Ok(())
            }
            Store::Redis(redis) => {
                redis.answer(redis.manager.clone().pset_ex(redis.key(key), value, millis(ttl))).await
            }
        }
    }

    /// Stores `version` and `value`, with a blank between them, for as long as `ttl`, unless a higher version is stored.
    pub async fn set_newer(&self, key: &str, version: i64, value: &str, ttl: Duration) -> Result<(), Error> {
        let versioned = format!("{version} {value}");
        match &self.0 {
            Store::Memory(memory) => {
                let fresh = Entry { value: versioned, expires: Instant::now() + ttl };
                let entry = memory.entry_by_ref(key).and_upsert_with(|old| {
                    let old = old.map(moka::Entry::into_value);
                    let newer = old.filter(|old| version_of(&old.value) > Some(version));
                    std::future::ready(newer.unwrap_or(fresh))
                });
                entry.await;
                Ok(())
            }
            Store::Redis(redis) => {
                let mut call = redis::cmd("EVAL");
                call.arg(SET_NEWER).arg(1).arg(redis.key(key)).arg(version).arg(versioned).arg(millis(ttl));
                redis.answer(call.query_async::<()>(&mut redis.manager.clone())).await
            }
        }
    }

    /// Forgets `key`.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        match &self.0 {
            Store::Memory(memory) => {
                memory.invalidate(key).await;
                Ok(())
            }
            Store::Redis(redis) => redis.answer(redis.manager.clone().del(redis.key(key))).await,
        }
    }

    /// Adds one to the counter under `key`, which lives for `ttl` from its first count; gives the new count.
    pub async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, Error> {
        match &self.0 {
            Store::Memory(memory) => {
                let fresh = Instant::now() + ttl;
                let entry = memory.entry_by_ref(key).and_upsert_with(|old| {
                    let (count, expires) = old.map_or((0, fresh), |old| {
                        let old = old.into_value();
                        (old.value.parse::<u64>().unwrap_or(0), old.expires)
                    });
                    std::future::ready(Entry { value: (count + 1).to_string(), expires })
                });
                Ok(entry.await.into_value().value.parse().unwrap_or(1))
            }
            Store::Redis(redis) => {
                let key = redis.key(key);
                let mut transaction = redis::pipe();
                transaction.atomic().incr(&key, 1).cmd("PEXPIRE").arg(key).arg(millis(ttl)).arg("NX").ignore();
                let counts: (u64,) = redis.answer(transaction.query_async(&mut redis.manager.clone())).await?;
                Ok(counts.0)
            }
        }
    }

    /// Whether it answers at all.
    pub async fn ping(&self) -> Result<(), Error> {
        match &self.0 {
            Store::Memory(_) => Ok(()),
            Store::Redis(redis) => redis.answer(redis::cmd("PING").query_async::<()>(&mut redis.manager.clone())).await,
        }
    }
}

fn version_of(value: &str) -> Option<i64> {
    value.split_once(' ')?.0.parse().ok()
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl Redis {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn answer<T>(&self, call: impl Future<Output = Result<T, redis::RedisError>>) -> Result<T, Error> {
        let result = match tokio::time::timeout(TIMEOUT, call).await {
            Ok(result) => result.map_err(Error::from),
            Err(_) => Err(Error::Late),
        };
        match &result {
            Ok(_) => self.outage.answered(),
            Err(error) => {
                metrics::counter!("cache_errors_total").increment(1);
                self.outage.failed(error);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    async fn check(cache: Cache, prefix: &str) {
        let key = format!("{prefix}:value");
        assert_eq!(cache.get(&key).await.unwrap(), None);
        cache.set(&key, "1", LONG).await.unwrap();
        assert_eq!(cache.get(&key).await.unwrap().as_deref(), Some("1"));
        cache.delete(&key).await.unwrap();
        assert_eq!(cache.get(&key).await.unwrap(), None);

        let counter = format!("{prefix}:counter");
        for count in 1..=3 {
            assert_eq!(cache.increment(&counter, LONG).await.unwrap(), count);
        }
        cache.set(&key, "short", Duration::from_millis(1)).await.unwrap();
        let start = Instant::now();
        while cache.get(&key).await.unwrap().is_some() {
            assert!(start.elapsed() < Duration::from_secs(5), "it never expires");
        }
        cache.delete(&counter).await.unwrap();
    }

    #[tokio::test]
    async fn in_process_keeps_counts_and_forgets() {
        check(Cache::in_process(), "memory").await;
    }

    #[tokio::test]
    async fn redis_keeps_counts_and_forgets() {
        let url =
            std::env::var("MANA_TEST_REDIS_URL").expect("run `make test`, or inside `scripts/test-services.sh run`");
        let cache = Cache::connect(Some(&url.into())).unwrap();
        check(cache, &format!("test:{}", crate::clock::new_id())).await;
    }

    #[tokio::test]
    async fn a_redis_that_is_not_there_is_an_error_soon() {
        let cache = Cache::connect(Some(&"redis://127.0.0.1:1/".to_owned().into())).unwrap();
        let get = tokio::time::timeout(Duration::from_secs(5), cache.get("x")).await;
        assert!(get.expect("it does not hang").is_err());
    }
}
