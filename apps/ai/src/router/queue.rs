//! Places at one model: so many calls at once, a bounded queue behind them, and everyone in the queue served in turn, so
//! that one who asks a hundred times does not stand before ninety-nine others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Who waits; a user's id.
pub type Who = u128;

/// The queue, decided without waiting: `T` is whoever is to be told.
#[derive(Debug)]
struct Fair<T> {
    places: usize,
    taken: usize,
    most_waiting: usize,
    waiting: usize,
    lines: HashMap<Who, VecDeque<T>>,
    /// Those with somebody in their line, in the order of their turns.
    turns: VecDeque<Who>,
}

impl<T> Fair<T> {
    fn new(places: usize, most_waiting: usize) -> Self {
        Self { places, taken: 0, most_waiting, waiting: 0, lines: HashMap::new(), turns: VecDeque::new() }
    }

    /// Takes a place that is free; those who wait come first.
    fn enter(&mut self) -> bool {
        let free = self.taken < self.places && self.waiting == 0;
        self.taken += usize::from(free);
        free
    }

    /// Stands in line; false if the queue is full.
    fn wait(&mut self, who: Who, ticket: T) -> bool {
        if self.waiting >= self.most_waiting {
            return false;
        }
        self.waiting += 1;
        let line = self.lines.entry(who).or_default();
        if line.is_empty() {
            self.turns.push_back(who);
        }
        line.push_back(ticket);
        true
    }

    /// Gives a place back; gives whose turn it is. The place is then theirs.
    fn leave(&mut self) -> Option<T> {
        let next = self.next();
        self.taken -= usize::from(next.is_none());
        next
    }

    fn next(&mut self) -> Option<T> {
        let who = self.turns.pop_front()?;
        let line = self.lines.get_mut(&who)?;
        let ticket = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&who);
        } else {
            self.turns.push_back(who);
        }
        self.waiting -= usize::from(ticket.is_some());
        ticket
    }

    /// Forgets those who no longer wait.
    fn forget(&mut self, gone: impl Fn(&T) -> bool) {
        for line in self.lines.values_mut() {
            line.retain(|ticket| !gone(ticket));
        }
        self.lines.retain(|_, line| !line.is_empty());
        self.turns.retain(|who| self.lines.contains_key(who));
        self.waiting = self.lines.values().map(VecDeque::len).sum();
    }
}

type Shared = Mutex<Fair<oneshot::Sender<Place>>>;

/// The places of one model.
#[derive(Debug, Clone)]
pub struct Places {
    fair: Arc<Shared>,
    patience: Duration,
}

/// One place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    fair: Option<Arc<Shared>>,
}

/// There was no place in time, or no room to wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Places {
    /// `places` at once, `most_waiting` behind them, each for as long as `patience`.
    pub fn new(places: usize, most_waiting: usize, patience: Duration) -> Self {
        Self { fair: Arc::new(Mutex::new(Fair::new(places, most_waiting))), patience }
    }

    /// A place, at once or in turn.
    pub async fn take(&self, who: Who) -> Result<Place, Full> {
        let turn = {
            let mut fair = lock(&self.fair);
            if fair.enter() {
                return Ok(Place { fair: Some(self.fair.clone()) });
            }
            if fair.waiting >= fair.most_waiting {
                fair.forget(oneshot::Sender::is_closed);
            }
            let (sender, turn) = oneshot::channel();
            if !fair.wait(who, sender) {
                return Err(Full);
            }
            turn
        };
        match timeout(self.patience, turn).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// How many places are taken, and how many wait.
    pub fn count(&self) -> (usize, usize) {
        let fair = lock(&self.fair);
        (fair.taken, fair.waiting)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(fair) = self.fair.take() else { return };
        loop {
            let next = lock(&fair).leave();
            let Some(next) = next else { return };
            match next.send(Place { fair: Some(fair.clone()) }) {
                Ok(()) => return,
                // Gone meanwhile: the place goes to the next one, not back through this one's end.
                Err(mut unsent) => unsent.fair = None,
            }
        }
    }
}

fn lock(fair: &Shared) -> std::sync::MutexGuard<'_, Fair<oneshot::Sender<Place>>> {
    fair.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[test]
    fn everyone_in_the_queue_is_served_in_turn() {
        let mut fair = Fair::new(1, 10);
        assert!(fair.enter() && !fair.enter());
        for (who, ticket) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            assert!(fair.wait(who, ticket));
        }
        let served: Vec<_> = std::iter::from_fn(|| fair.leave()).collect();
        assert_eq!(served, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!((fair.taken, fair.waiting, fair.turns.len(), fair.lines.len()), (0, 0, 0, 0));
    }

    #[test]
    fn a_full_queue_turns_away_and_who_left_makes_room() {
        let mut fair = Fair::new(1, 2);
        fair.enter();
        assert!(fair.wait(1, 1) && fair.wait(2, 2) && !fair.wait(3, 3));
        fair.forget(|ticket| *ticket == 1);
        assert!(fair.wait(3, 3));
        assert_eq!((fair.leave(), fair.leave(), fair.leave()), (Some(2), Some(3), None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_call_too_many_is_turned_away_and_a_free_place_is_given_on() {
        let places = Places::new(1, 1, Duration::from_secs(5));
        let first = places.take(1).await.unwrap();
        assert_eq!(places.take(1).await.map(|_| ()), Err(Full), "nobody left in time");
        let (next, ()) = tokio::join!(places.take(2), async { drop(first) });
        drop(next.unwrap());
        assert_eq!(places.count(), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_place_is_lost_or_given_twice_however_they_come_and_go() {
        let places = Places::new(3, 50, Duration::from_secs(10));
        let work = (0..200_u64).map(|n| {
            let places = places.clone();
            tokio::spawn(async move {
                // Every third loses patience before its turn.
                let wait = Duration::from_micros(if n % 3 == 0 { 50 } else { 5_000_000 });
                if let Ok(Ok(_place)) = timeout(wait, places.take(u128::from(n % 7))).await {
                    assert!(places.count().0 <= 3);
                    tokio::task::yield_now().await;
                }
            })
        });
        assert!(join_all(work).await.into_iter().all(|done| done.is_ok()));
        assert_eq!(places.count().0, 0);
    }
}
