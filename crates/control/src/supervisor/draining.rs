//! When an instance that gets nothing new may be stopped.
//!
//! The edge knows what is still with it, requests and WebSockets, and ends the latter with a goodbye when their time is over.
//! It is asked until nothing is left; for the ordinary instance that is its first answer, a moment after the new one took over.

use std::collections::BTreeSet;
use std::time::Duration;

use mana_edge::admin::{self, ClientError, Retired};
use mana_runtime::lifecycle::Time;

use super::place::Place;
use super::{Message, Supervisor};
use crate::desired::EDGE;
use crate::paths;

/// Between two questions.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Longest time one answer may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Over its drain limit an instance gets this long: for the edge's goodbye to WebSockets (2 s) and the next question.
const MARGIN: Duration = Duration::from_secs(3);
/// Where everything goes down nobody takes over, and waiting helps nobody: requests that were on their way to the instance
/// arrive, and it finishes them within its stop timeout.
const DOWN_GRACE: Duration = Duration::from_millis(150);

/// What the edge said.
#[derive(Debug)]
pub(crate) struct Told {
    asked_at: Time,
    result: Result<Vec<Retired>, ClientError>,
}

/// The books about it.
#[derive(Debug, Default)]
pub(super) struct Drains {
    asking: bool,
    next: Time,
    /// Instances that requests are with, and when that was asked.
    busy: Option<(Time, BTreeSet<String>)>,
}

impl Drains {
    /// The edge answered.
    pub(super) fn answered(&mut self, told: Told, now: Time) {
        self.asking = false;
        self.next = now.after(LOOK_INTERVAL);
        let Told { asked_at, result } = told;
        match result {
            Ok(retired) => self.busy = Some((asked_at, retired.into_iter().map(|retired| retired.id).collect())),
            // An edge of before there was such a question: as it was then, nobody waits.
            Err(ClientError::Protocol { what, .. }) => {
                tracing::debug!(what, "the edge cannot say what is in flight");
                self.busy = Some((asked_at, BTreeSet::new()));
            }
            Err(error) => tracing::debug!(%error, "the edge does not say what is in flight"),
        }
    }

    /// Whether nothing is with an instance, as the edge said when it was asked after `since`.
    fn is_free(&self, id: &str, since: Time) -> bool {
        self.busy.as_ref().is_some_and(|(asked_at, busy)| *asked_at > since && !busy.contains(id))
    }
}

impl Supervisor {
    /// Whether an instance may be stopped as far as its clients are concerned.
    pub(super) fn is_drained(&self, place: &Place) -> bool {
        if place.service == EDGE {
            return true;
        }
        let Some(since) = place.unrouted else { return false };
        let free = || place.id().is_none_or(|id| self.drains.is_free(id, since));
        self.clock.now() >= self.drained_by(place, since) || (self.running && !self.edge_is_replaced() && free())
    }

    /// When it may be stopped at the latest.
    fn drained_by(&self, place: &Place, unrouted: Time) -> Time {
        unrouted.after(if self.running { place.facts.drain().saturating_add(MARGIN) } else { DOWN_GRACE })
    }

    /// Two edges run, and the one that ends may still have requests of its own, of which the other knows nothing.
    fn edge_is_replaced(&self) -> bool {
        self.places.values().filter(|place| place.service == EDGE && place.life.has_process()).count() > 1
    }

    fn draining(&self) -> impl Iterator<Item = (&Place, Time)> {
        let draining = self.places.values().filter(|place| {
            place.service != EDGE && place.retiring && place.life.has_process() && !place.life.stopping_for_good()
        });
        draining.filter_map(|place| Some((place, place.unrouted?))).filter(|(place, _)| !self.is_drained(place))
    }

    /// When something is to be done about it even if nothing happens.
    pub(super) fn drain_timer(&self) -> Option<Time> {
        let next = (!self.drains.asking && self.running).then_some(self.drains.next);
        self.draining().flat_map(|(place, since)| [Some(self.drained_by(place, since)), next]).flatten().min()
    }

    /// Asks the edge, where somebody waits for its answer.
    pub(super) fn ask_what_drains(&mut self) {
        let now = self.clock.now();
        if self.drains.asking || !self.running || now < self.drains.next || self.draining().next().is_none() {
            return;
        }
        self.drains.asking = true;
        let client = admin::Client::new(paths::edge_socket(&self.data)).timeout(LOOK_TIMEOUT);
        let mailbox = self.mailbox();
        tokio::spawn(async move {
            let result = client.retired().await;
            // The owner is gone only when the process ends.
            let _ = mailbox.send(Message::Drains(Told { asked_at: now, result })).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    fn told(asked_at: Time, ids: &[&str]) -> Told {
        let retired = ids.iter().map(|id| Retired { id: (*id).to_owned(), in_flight: 1 });
        Told { asked_at, result: Ok(retired.collect()) }
    }

    #[test]
    fn only_an_answer_to_a_question_of_afterwards_counts() {
        let mut drains = Drains::default();
        assert!(!drains.is_free("a", at(5)), "nobody said anything yet");
        drains.answered(told(at(4), &[]), at(6));
        assert!(!drains.is_free("a", at(5)), "asked while it still got requests");
        drains.answered(told(at(6), &["a"]), at(6));
        assert!(!drains.is_free("a", at(5)) && drains.is_free("b", at(5)));
        drains.answered(told(at(7), &[]), at(7));
        assert!(drains.is_free("a", at(5)));
    }

    #[test]
    fn an_edge_that_does_not_answer_frees_nobody() {
        let mut drains = Drains::default();
        let result = Err(ClientError::Draining { socket: "edge.sock".into() });
        drains.answered(Told { asked_at: at(6), result }, at(6));
        assert!(!drains.is_free("a", at(5)));
    }
}
