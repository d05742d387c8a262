//! The crate's one source of time, ids and chance.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use mana_runtime::lifecycle::Time;
use tokio::time::Instant;

/// Tells the time, for logic (since the control plane began) and for people (RFC 3339).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now, for logic.
    pub(crate) fn now(self) -> Time {
        Time(self.origin.elapsed())
    }

    /// The moment to sleep until.
    pub(crate) fn instant(self, time: Time) -> Instant {
        self.origin + time.0
    }
}

/// Now, for rollouts: since the machine was started, and of the day.
pub(crate) fn rollout_time() -> mana_delivery::rollout::Time {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up_ms = u64::try_from(up.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(up.tv_nsec).unwrap_or(0) / 1_000_000;
    let wall_ms = u64::try_from(timestamp().as_millisecond()).unwrap_or(0);
    mana_delivery::rollout::Time { up_ms, wall_ms }
}

/// Now, for people and records.
#[expect(clippy::disallowed_methods, reason = "the crate's one sanctioned clock")]
pub(crate) fn timestamp() -> Timestamp {
    let now = Timestamp::now();
    // Milliseconds are enough for a person.
    now.round(jiff::Unit::Millisecond).unwrap_or(now)
}

/// Chance in 0.0..1.0, for jitter.
pub(crate) fn chance() -> f64 {
    rand::random()
}

/// An id for a new instance of a service. 40 random bits: unique over all ecosystems of a machine; the store refuses the
/// improbable duplicate.
pub(crate) fn instance_id(service: &str) -> String {
    format!("{service}-{:010x}", rand::random::<u64>() >> 24)
}

/// A word that nobody has used before.
pub(crate) fn unique() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// A word that nobody guesses: 256 bits, in letters that URLs, cookies and forms hold as they are.
pub(crate) fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
