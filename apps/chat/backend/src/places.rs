//! Places at the models: how many answers may be written at once, and how long a call waits for one.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::limits::PLACE_PATIENCE;

/// A bounded number of places, given in the order of asking.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
}

/// One place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)) }
    }

    /// A place, if one becomes free soon enough.
    pub(crate) async fn take(&self) -> Result<Place, Failure> {
        match timeout(PLACE_PATIENCE, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            // The semaphore is never closed, so the other inner case does not happen.
            Ok(Err(_)) | Err(_) => Err(Failure::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_call_too_many_is_turned_away_and_a_free_place_is_given_on() {
        let places = Places::new(1);
        let first = places.take().await.unwrap();
        assert!(matches!(places.take().await, Err(Failure::Busy)));
        drop(first);
        places.take().await.unwrap();
    }
}
