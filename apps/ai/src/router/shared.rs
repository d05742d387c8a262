//! Breakers that instances share, through the cache: whoever finds out that a model fails, or is well again, tells the others,
//! and one instance at a time sends a probe. A cache that is away is no obstacle: each instance then finds out by itself.
//!
//! A breaker's word lies under `ai:breaker:PROVIDER:MODEL` with the time since when it is so; a newer one replaces it. Who
//! takes its turn to probe counts `ai:probe:PROVIDER:MODEL` up first.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kit::cache::Cache;
use kit::clock;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::breaker::{State, Word};
use super::{Line, Router, lock};

/// How often an instance hears what the others say; what it has to say itself it says at once.
const LISTEN_EVERY: Duration = Duration::from_secs(1);

/// How long a word is kept: longer than any breaker is open, or probed.
const KEPT: Duration = Duration::from_mins(10);

/// How long others leave a probe to whoever took the turn, should nothing be heard of it.
const TURN: Duration = Duration::from_secs(15);

/// How long a call is told to wait while another instance probes.
const PROBED_ELSEWHERE: Duration = Duration::from_secs(1);

/// What instances share.
pub(super) struct Shared {
    cache: Cache,
    /// Rings when there is something to say.
    pub(super) changed: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A breaker's word, as instances give it to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    /// Since when, in milliseconds since 1970.
    at_ms: i64,
    word: SharedWord,
}

/// As [`Word`], with times that all instances know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SharedWord {
    Closed,
    Open { until_ms: i64, openings: u32 },
}

impl std::fmt::Display for SharedWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Open { until_ms, openings } => write!(f, "open {until_ms} {openings}"),
        }
    }
}

impl FromStr for Said {
    type Err = ();

    /// What the cache holds: the time, and the word.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(' ');
        let mut number = || parts.next()?.parse::<i64>().ok();
        let at_ms = number().ok_or(())?;
        let word = match parts.next() {
            Some("closed") => SharedWord::Closed,
            Some("open") => {
                let mut number = || parts.next()?.parse::<i64>().ok();
                let (until_ms, openings) = number().zip(number()).ok_or(())?;
                SharedWord::Open { until_ms, openings: u32::try_from(openings).map_err(|_| ())? }
            }
            _ => return Err(()),
        };
        Ok(Self { at_ms, word })
    }
}

/// The last that an instance said or heard of one breaker; nothing before it differed from a closed one.
#[derive(Debug, Default)]
pub(super) struct Known {
    word: Word,
    at_ms: i64,
}

impl Router {
    /// The same router, in step with those of other instances through this cache. Needs [`Router::keep_in_step`] to run.
    #[must_use]
    pub fn shared_through(self, cache: Cache) -> Self {
        Self { shared: Some(Arc::new(Shared { cache, changed: Notify::new() })), ..self }
    }

    /// Tells other instances what this one finds out, and hears what they do, for ever.
    pub async fn keep_in_step(self) {
        let Some(shared) = &self.shared else { return };
        loop {
            for line in self.lines.iter() {
                self.exchange(shared, line).await;
            }
            tokio::select! {
                () = sleep(LISTEN_EVERY) => {}
                () = shared.changed.notified() => {}
            }
        }
    }

    /// Lets a call pass, or says how long none will. A probe takes its turn among all instances first.
    pub(super) async fn pass(&self, line: &Line) -> Result<(), Duration> {
        let probes = lock(&line.breaker).would_probe(self.began.elapsed());
        let Some(shared) = self.shared.as_ref().filter(|_| probes) else {
            return lock(&line.breaker).admit(self.began.elapsed());
        };
        // Without the cache there are no turns.
        if shared.cache.increment(&line.key("probe"), TURN).await.is_ok_and(|count| count > 1) {
            return Err(PROBED_ELSEWHERE);
        }
        // The last probe's outcome may not have been heard yet.
        self.exchange(shared, line).await;
        let admitted = lock(&line.breaker).admit(self.began.elapsed());
        if admitted.is_err() || lock(&line.breaker).state() == State::Closed {
            shared.end_turn(line).await;
        }
        admitted
    }

    /// Says what is new of a breaker, and hears what others say.
    async fn exchange(&self, shared: &Shared, line: &Line) {
        let mut known = line.known.lock().await;
        let (now, now_ms) = (self.began.elapsed(), clock::now().as_millisecond());
        let own = lock(&line.breaker).word();
        if let Some(own) = own.filter(|own| *own != known.word) {
            // Never older than what it answers to, whatever the clocks say.
            *known = Known { word: own, at_ms: now_ms.max(known.at_ms + 1) };
            line.heard.store(false, Ordering::Relaxed);
            let said = match own {
                Word::Closed => SharedWord::Closed,
                Word::Open { until, openings } => {
                    SharedWord::Open { until_ms: now_ms.saturating_add(ms_from(now, until)), openings }
                }
            };
            // An error is counted and said by the cache; the others find out by themselves.
            let _ = shared.cache.set_newer(&line.key("breaker"), known.at_ms, &said.to_string(), KEPT).await;
            shared.end_turn(line).await;
        }
        let heard = shared.cache.get(&line.key("breaker")).await.ok().flatten();
        let Some(said) = heard.and_then(|text| text.parse::<Said>().ok()).filter(|said| said.at_ms > known.at_ms)
        else {
            return;
        };
        let word = match said.word {
            SharedWord::Closed => Word::Closed,
            SharedWord::Open { until_ms, openings } => {
                let left = Duration::from_millis(u64::try_from(until_ms - now_ms).unwrap_or(0));
                Word::Open { until: now + left, openings }
            }
        };
        let (before, after) = {
            let mut breaker = lock(&line.breaker);
            let before = breaker.state();
            breaker.hear(word, now, &self.settings.breaker);
            // What has become of it is nothing new to say.
            *known = Known { word: breaker.word().unwrap_or(word), at_ms: said.at_ms };
            (before, breaker.state())
        };
        line.heard.store(after != State::Closed, Ordering::Relaxed);
        line.changed(before, after, true);
    }
}

impl Shared {
    async fn end_turn(&self, line: &Line) {
        let _ = self.cache.delete(&line.key("probe")).await;
    }
}

impl Line {
    fn key(&self, what: &str) -> String {
        format!("ai:{what}:{}:{}", self.offer.provider.name(), self.offer.model)
    }
}

/// How long it is until then; negative where that is over.
fn ms_from(now: Duration, then: Duration) -> i64 {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    ms(then) - ms(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_what_makes_no_sense_is_not() {
        for word in [SharedWord::Closed, SharedWord::Open { until_ms: 1_700_000_005_000, openings: 3 }] {
            let said = Said { at_ms: 1_700_000_000_000, word };
            assert_eq!(format!("1700000000000 {word}").parse(), Ok(said));
        }
        for nonsense in
            ["", "closed", "x closed", "1 ajar", "1 open", "1 open 2", "1 open 2 -1", "1 open 2 99999999999"]
        {
            assert_eq!(nonsense.parse::<Said>(), Err(()), "{nonsense}");
        }
    }
}
