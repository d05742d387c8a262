//! Work on the stored series beside all else: with a deadline, and for no longer than somebody waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mana_watch::query::Limits;
use tokio::task::JoinError;

/// What comes of some work. Its turn is held until the work has ended, whether somebody still waits for it or not: whoever goes away
/// makes it end, and room for the next one only then.
pub(crate) async fn beside<T: Send + 'static>(
    turn: impl Send + 'static,
    longest: Duration,
    work: impl FnOnce(&Limits<'_>) -> T + Send + 'static,
) -> Result<T, JoinError> {
    // Gone with whoever waits.
    let waiting = Arc::new(());
    let waited_for = Arc::downgrade(&waiting);
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let until = Instant::now() + longest;
        let stop = || Instant::now() >= until || waited_for.strong_count() == 0;
        work(&Limits { stop: Some(&stop), ..Limits::default() })
    });
    let done = done.await;
    drop(waiting);
    done
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::Semaphore;

    use super::*;

    /// Works until it is to stop.
    fn long(began: mpsc::Sender<()>) -> impl FnOnce(&Limits<'_>) {
        move |limits| {
            began.send(()).expect("somebody listens");
            let stop = limits.stop.expect("a deadline");
            while !stop() {
                std::thread::yield_now();
            }
        }
    }

    #[tokio::test]
    async fn whoever_goes_away_ends_the_work_and_its_turn_is_free_only_then() {
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns).acquire_owned().await.expect("open");
        let (began, first) = mpsc::channel();
        let (goes_on, free) = mpsc::channel::<()>();
        let working = tokio::spawn(beside(turn, Duration::from_hours(1), move |limits| {
            long(began)(limits);
            free.recv().expect("it may end");
        }));
        tokio::task::spawn_blocking(move || first.recv()).await.expect("no panic").expect("begun");
        working.abort();
        assert!(working.await.expect_err("nobody waits").is_cancelled());
        assert_eq!(turns.available_permits(), 0, "it has not ended yet");
        goes_on.send(()).expect("it was stopped, and is still there");
        let next = turns.acquire().await.expect("open");
        drop(next);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_stopped() {
        let (began, _first) = mpsc::channel();
        beside((), Duration::from_millis(20), long(began)).await.expect("it ends");
    }
}
