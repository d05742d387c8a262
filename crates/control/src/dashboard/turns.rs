//! Turns at what takes memory: so many at once, others wait for a while and are then told to come again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::{Refused, problem};

/// Hands them out.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    patience: Duration,
}

impl Turns {
    pub(crate) fn new(at_once: usize, patience: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(at_once)), patience }
    }

    /// A turn, as long as it is held. What works in a thread takes it along: whoever asked may go away before the work ends.
    pub(crate) async fn take(&self, what: &str) -> Result<OwnedSemaphorePermit, Refused> {
        let turn = tokio::time::timeout(self.patience, Arc::clone(&self.free).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            let detail = format!("others are {what}, and no turn came within {:?}; try again", self.patience);
            Refused(problem(503, "too many at once", detail))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_too_many_waits_for_a_turn_and_is_told_when_none_comes() {
        let turns = Turns::new(2, Duration::from_millis(20));
        let (first, second) = (turns.take("searching").await, turns.take("searching").await);
        assert!(first.is_ok() && second.is_ok());
        let Err(Refused(problem)) = turns.take("searching").await else { panic!("a third turn of two") };
        assert_eq!(problem.status, 503);
        assert_eq!(problem.detail, "others are searching, and no turn came within 20ms; try again");
        drop(first);
        assert!(turns.take("searching").await.is_ok(), "whoever has ended makes room");
    }
}
