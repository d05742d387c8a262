//! What the tasks of watching know of each other: when something was last done, and how often.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use mana_watch::gather::Sink;

/// A store or rules that have been silent for longer do not watch: three rounds.
const SILENT_MS: i64 = 30_000;

/// Shared by those who do something and those who say it.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// When the store last took samples, in milliseconds since 1970.
    kept_at: AtomicI64,
    /// How often it has.
    rounds: AtomicU64,
    /// When the rules were last evaluated.
    judged_at: AtomicI64,
    pub(super) remote: Remote,
    pub(super) beats: Beats,
    pub(super) tells: Tells,
}

/// What became of messages about alerts.
#[derive(Debug, Default)]
pub(super) struct Tells {
    /// There was a channel for it.
    told: AtomicU64,
    /// There was none.
    nobody: AtomicU64,
}

/// What became of samples that were told elsewhere.
#[derive(Debug, Default)]
pub(super) struct Remote {
    pub(super) sent: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) behind_ms: AtomicI64,
}

/// What became of heartbeats.
#[derive(Debug, Default)]
pub(super) struct Beats {
    pub(super) sent: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) withheld: AtomicU64,
}

impl Pulse {
    pub(super) fn kept(&self, now: i64) {
        self.kept_at.store(now, Ordering::Relaxed);
        self.rounds.fetch_add(1, Ordering::Release);
    }

    /// How often samples were taken: as long as it is the same, whoever has looked at them knows all.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Acquire)
    }

    pub(super) fn judged(&self, now: i64) {
        self.judged_at.store(now, Ordering::Relaxed);
    }

    /// Whether it is watched: samples are taken, and judged.
    pub(super) fn is_alive(&self, now: i64) -> bool {
        let lately = |at: &AtomicI64| (0..=SILENT_MS).contains(&(now - at.load(Ordering::Relaxed)));
        lately(&self.kept_at) && lately(&self.judged_at)
    }
}

impl Remote {
    pub(super) fn put(&self, sink: &mut dyn Sink) {
        let counts = [
            ("mana_watch_remote_write_samples_total", &self.sent),
            ("mana_watch_remote_write_dropped_samples_total", &self.dropped),
            ("mana_watch_remote_write_failures_total", &self.failures),
        ];
        for (name, count) in counts {
            sink.put(name, &[], number(count.load(Ordering::Relaxed)));
        }
        let behind = self.behind_ms.load(Ordering::Relaxed).max(0).unsigned_abs();
        sink.put("mana_watch_remote_write_behind_seconds", &[], number(behind) / 1_000.0);
    }
}

impl Tells {
    /// A message was given to so many channels.
    pub(super) fn count(&self, channels: usize) {
        let count = if channels == 0 { &self.nobody } else { &self.told };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn put(&self, sink: &mut dyn Sink) {
        for (result, count) in [("told", &self.told), ("nobody", &self.nobody)] {
            sink.put("mana_watch_alerts_told_total", &[("result", result)], number(count.load(Ordering::Relaxed)));
        }
    }
}

impl Beats {
    pub(super) fn put(&self, sink: &mut dyn Sink) {
        for (result, count) in [("sent", &self.sent), ("failed", &self.failed), ("withheld", &self.withheld)] {
            sink.put("mana_watch_heartbeats_total", &[("result", result)], number(count.load(Ordering::Relaxed)));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_alive_while_samples_are_taken_and_judged() {
        let pulse = Pulse::default();
        assert!(!pulse.is_alive(1_000_000));
        pulse.kept(1_000_000);
        assert!(!pulse.is_alive(1_000_000), "nobody judges");
        pulse.judged(1_000_000);
        assert!(pulse.is_alive(1_000_000 + SILENT_MS));
        pulse.judged(1_000_000 + SILENT_MS);
        assert!(!pulse.is_alive(1_000_001 + SILENT_MS), "nothing is taken");
    }
}
