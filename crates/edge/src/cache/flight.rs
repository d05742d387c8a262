//! One request on its way for all that wait for the same answer.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Longest wait for another request's answer; then one asks for oneself. A slow first client must not hold up others.
const PATIENCE: Duration = Duration::from_secs(5);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The answer is kept: look again.
    Kept,
    /// The answer is for one request only: ask for yourself.
    Unfit,
    /// There is none: look again, and go first.
    Failed,
}

#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// 0: under way.
    outcome: AtomicU8,
    ended: Notify,
}

impl Flight {
    pub(super) fn end(&self, outcome: Outcome) {
        self.outcome.store(1 + outcome as u8, Ordering::Release);
        self.ended.notify_waiters();
    }

    fn outcome(&self) -> Option<Outcome> {
        match self.outcome.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Outcome::Kept),
            2 => Some(Outcome::Unfit),
            _ => Some(Outcome::Failed),
        }
    }

    /// Waits for its end, but not too long.
    pub(super) async fn wait(&self) -> Outcome {
        let mut ended = std::pin::pin!(self.ended.notified());
        // From here on its end is not missed, so what it says now is the truth.
        ended.as_mut().enable();
        if let Some(outcome) = self.outcome() {
            return outcome;
        }
        let _late = tokio::time::timeout(PATIENCE, ended).await;
        self.outcome().unwrap_or(Outcome::Unfit)
    }
}
