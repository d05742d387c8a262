//! Something outside that does not answer: said once when it begins and once when it is over, however many calls fail
//! in between. `outages_total{of}` counts it, and `outage{of}` is 1 while it lasts.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::chain;

/// An outage is over with the first answer after nothing has failed for so long: what answers and fails by turns is one outage.
/// Longer than anybody waits for an answer, so that what fails last is part of it.
const CALM: Duration = Duration::from_secs(15);

/// What is known of one thing outside.
#[derive(Debug)]
pub struct Outage {
    of: &'static str,
    /// Whether there is one: all that an answered call looks at as a rule.
    lasts: AtomicBool,
    spell: Mutex<Option<Spell>>,
}

/// An outage that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spell {
    since: Instant,
    last: Instant,
    failed: u64,
}

impl Outage {
    /// Of something that is taken to be there. `of` is its name in logs and metrics.
    pub const fn new(of: &'static str) -> Self {
        Self { of, lasts: AtomicBool::new(false), spell: Mutex::new(None) }
    }

    /// A call got no answer.
    pub fn failed(&self, error: &dyn Error) {
        let of = self.of;
        let mut spell = self.spell.lock().unwrap_or_else(PoisonError::into_inner);
        if failed(&mut spell, Instant::now()) {
            self.lasts.store(true, Ordering::Relaxed);
            metrics::counter!("outages_total", "of" => of).increment(1);
            metrics::gauge!("outage", "of" => of).set(1.0);
            tracing::warn!(
                of,
                error = chain(error),
                "it does not answer; what fails from now on is counted, not logged"
            );
        }
    }

    /// A call was answered.
    pub fn answered(&self) {
        if !self.lasts.load(Ordering::Relaxed) {
            return;
        }
        let of = self.of;
        let mut spell = self.spell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(over) = answered(&mut spell, Instant::now()) {
            self.lasts.store(false, Ordering::Relaxed);
            metrics::gauge!("outage", "of" => of).set(0.0);
            let lasted_ms = u64::try_from((over.last - over.since).as_millis()).unwrap_or(u64::MAX);
            tracing::info!(of, lasted_ms, failed = over.failed, "it answers again");
        }
    }
}

/// Whether an outage begins with this.
fn failed(spell: &mut Option<Spell>, now: Instant) -> bool {
    if let Some(spell) = spell {
        (spell.last, spell.failed) = (now, spell.failed + 1);
        return false;
    }
    *spell = Some(Spell { since: now, last: now, failed: 1 });
    true
}

/// The outage that is over with this.
fn answered(spell: &mut Option<Spell>, now: Instant) -> Option<Spell> {
    spell.take_if(|spell| now.duration_since(spell.last) >= CALM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_and_fails_by_turns_is_one_outage() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut spell = None;
        assert_eq!(answered(&mut spell, at(0)), None);
        assert!(failed(&mut spell, at(1)), "it begins");
        for second in 2..9 {
            assert_eq!(answered(&mut spell, at(second)), None);
            assert!(!failed(&mut spell, at(second)), "said once");
        }
        assert_eq!(answered(&mut spell, at(22)), None, "not calm yet");
        assert_eq!(answered(&mut spell, at(23)), Some(Spell { since: at(1), last: at(8), failed: 8 }));
        assert_eq!(answered(&mut spell, at(24)), None);
        assert!(failed(&mut spell, at(24)), "another one");
    }
}
