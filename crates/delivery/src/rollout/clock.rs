//! Time without a clock: events carry it, and a rollout counts what passed.
//!
//! Decisions use only the time since boot ([`Time::up_ms`]), which no administrator and no time server moves: a wall clock
//! that jumps an hour in either direction changes nothing. Time since boot goes backwards at a reboot alone; then no time
//! has passed for the rollout. When it stands higher than before although the machine was rebooted in between, the boot
//! lies after the last event, so the difference is still no more than what really passed. The rollout's own time therefore
//! never runs ahead: a window may last longer than it should, never shorter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When an event happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// Milliseconds since the machine started, suspends included (`CLOCK_BOOTTIME`).
    pub up_ms: u64,
    /// Milliseconds since 1970. For people; nothing is decided by it.
    pub wall_ms: u64,
}

/// A moment in a rollout: milliseconds since its first event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Elapsed(pub u64);

impl Elapsed {
    /// The moment so much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// What passed since an earlier moment.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Counts the time of one rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    now: Elapsed,
    /// Of the last event; `None` before the first.
    seen: Option<Time>,
}

impl Clock {
    /// The moment of the last event.
    pub fn now(&self) -> Elapsed {
        self.now
    }

    /// The moment that it is when the machine's clock shows this.
    #[must_use]
    pub fn at(&self, time: Time) -> Elapsed {
        let mut clock = *self;
        clock.advance(time);
        clock.now
    }

    /// What the wall clock said at the last event, in milliseconds since 1970.
    pub fn wall_ms(&self) -> Option<u64> {
        self.seen.map(|time| time.wall_ms)
    }

    pub(super) fn advance(&mut self, time: Time) {
        let before = self.seen.map_or(time.up_ms, |seen| seen.up_ms);
        self.now.0 = self.now.0.saturating_add(time.up_ms.saturating_sub(before));
        self.seen = Some(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_since_boot_counts_and_never_backwards() {
        let mut clock = Clock::default();
        let mut now = |up_ms, wall_ms| {
            clock.advance(Time { up_ms, wall_ms });
            clock.now().0
        };
        assert_eq!(now(500_000, 7), 0);
        assert_eq!(now(501_000, 3_600_007), 1_000, "the wall clock jumped an hour");
        assert_eq!(now(502_000, 0), 2_000, "and back");
        assert_eq!(now(10, 0), 2_000, "a reboot");
        assert_eq!(now(1_010, 0), 3_000);
    }
}
