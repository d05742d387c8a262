//! What was found out a moment ago, for whoever asks the same again: each thing is made once at a time, however many wait.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Keeps so many things for so long.
#[derive(Debug)]
pub(crate) struct Keep<K, V> {
    kept: Mutex<HashMap<K, Kept<V>>>,
    most: usize,
    for_ms: i64,
}

#[derive(Debug)]
struct Kept<V> {
    until_ms: i64,
    value: Arc<OnceCell<V>>,
}

impl<K: Eq + Hash, V: Clone> Keep<K, V> {
    pub(crate) fn new(most: usize, for_ms: i64) -> Self {
        Self { kept: Mutex::default(), most, for_ms }
    }

    /// What is kept under this key, or what is made now.
    pub(crate) async fn get(&self, key: K, now_ms: i64, make: impl Future<Output = V>) -> V {
        self.cell(key, now_ms).get_or_init(|| make).await.clone()
    }

    /// Nothing that was found out before is good any more.
    pub(crate) fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn cell(&self, key: K, now_ms: i64) -> Arc<OnceCell<V>> {
        // Whoever panicked with it left whole entries.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes nothing last longer than it should.
        let fresh = |kept: &Kept<V>| (now_ms..=now_ms + self.for_ms).contains(&kept.until_ms);
        if let Some(found) = kept.get(&key).filter(|kept| fresh(kept)) {
            return Arc::clone(&found.value);
        }
        if kept.len() >= self.most {
            kept.retain(|_, kept| fresh(kept));
        }
        if kept.len() >= self.most {
            kept.clear();
        }
        let value = Arc::new(OnceCell::new());
        kept.insert(key, Kept { until_ms: now_ms + self.for_ms, value: Arc::clone(&value) });
        value
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_thing_is_made_once_in_its_time_and_anew_after_it() {
        let (keep, count) = (Keep::new(2, 100), Cell::new(0));
        let ask = async |key: &'static str, now: i64| {
            keep.get(key, now, async {
                count.set(count.get() + 1);
                count.get()
            })
            .await
        };
        assert_eq!((ask("a", 0).await, ask("a", 100).await, ask("a", 101).await), (1, 1, 2));
        assert_eq!(ask("a", -50).await, 3, "a clock that was set back");
        assert_eq!((ask("b", 0).await, ask("c", 0).await, ask("d", 0).await), (4, 5, 6));
        assert!(keep.kept.lock().expect("no panic").len() <= 2);
    }

    #[tokio::test]
    async fn what_is_forgotten_is_made_anew() {
        let keep = Keep::new(2, 100);
        assert_eq!(keep.get("a", 0, async { 1 }).await, 1);
        keep.forget();
        assert_eq!(keep.get("a", 0, async { 2 }).await, 2);
    }

    #[tokio::test]
    async fn whoever_asks_meanwhile_waits_for_the_same() {
        let keep = Keep::new(2, 100);
        let slow = keep.get("a", 0, async {
            tokio::task::yield_now().await;
            1
        });
        let second = keep.get("a", 1, async { unreachable!("it is being made") });
        assert_eq!(tokio::join!(slow, second), (1, 1));
    }
}
