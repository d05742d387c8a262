//! Waiting for a condition, with a bound. Never a bare sleep.

use std::time::{Duration, Instant};

/// Pause between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` gives a value.
///
/// # Panics
/// When it has not within `bound`; the message names `what`.
pub async fn until<T, F, Fut>(what: &str, bound: Duration, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} in vain for: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
