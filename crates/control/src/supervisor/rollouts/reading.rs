//! From what the edge counted to what the gate judges. Pure.

use std::time::Duration;

use mana_delivery::gate::{Counts, Reading};
use mana_edge::admin::{SlotWindow, Window};

use super::effects::EDGE_TIMEOUT;
use crate::slot::Slot;

/// A new process has cold caches: its first answers count for errors, not for latency. A tenth of the window, and no more than this.
const WARMING_UP: Duration = Duration::from_mins(1);

/// How long a window has lasted, of which the edge says so. It stamps with the wall clock, which may jump: no window has lasted longer
/// than the rollout's own time, `own`, says when it was asked for (`EDGE_TIMEOUT` more, at its answer). One since a generation (`whole`)
/// has lasted no less either; of a time ago the edge may remember less.
pub(super) fn lasted(window: &Window, own: Duration, whole: bool) -> Duration {
    let by_edge = Duration::from_millis(window.to_ms.saturating_sub(window.from_ms)).min(own + EDGE_TIMEOUT);
    if whole { by_edge.max(own) } else { by_edge }
}

/// How long after its begin the latency of a window counts.
pub(super) fn warming_up(window: Duration) -> Duration {
    (window / 10).min(WARMING_UP)
}

/// `whole`: since the window opened. `warm`: of the part whose latency counts; `None`: there is none yet. `blue`: which slot the old
/// version is in, where it gets traffic.
pub(super) fn reading(
    whole: &Window,
    warm: Option<&Window>,
    window: Duration,
    green: Slot,
    blue: Option<Slot>,
) -> Reading {
    let counts = |slot: Slot| {
        let of = |window: &Window| sum(window.slots.iter().filter(|found| found.slot == slot.as_str()));
        let timed = warm.map(of).unwrap_or_default();
        let all = of(whole);
        // The two were read one after the other.
        Counts { timed: timed.timed.min(all.requests), slow: timed.slow.min(all.requests), ..all }
    };
    Reading {
        elapsed: Duration::from_millis(whole.to_ms.saturating_sub(whole.from_ms)),
        window,
        green: counts(green),
        blue: blue.map(counts),
        complete: true,
    }
}

/// While a service is replaced in its slot, two versions are in it.
fn sum<'a>(slots: impl Iterator<Item = &'a SlotWindow>) -> Counts {
    slots.fold(Counts::default(), |sum, slot| {
        // A connection that could not be opened may have been made good elsewhere: for whoever judges the slot it is an error.
        let requests = slot.requests + slot.connect_failures;
        let errors = slot.classes.get("5xx").copied().unwrap_or_default() + slot.broken_off + slot.connect_failures;
        Counts {
            requests: sum.requests + requests,
            errors: sum.errors + errors.min(requests),
            timed: sum.timed + slot.to_head.count,
            slow: sum.slow + slot.slow.unwrap_or_default().min(slot.to_head.count),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(to_ms: u64, requests: u64) -> Window {
        let slot = |slot: &str, errors: u64, connect_failures: u64| {
            serde_json::json!({
                "route": "chat", "slot": slot, "release": "v1", "requests": requests, "in_flight": 0,
                "classes": {"2xx": requests - errors, "5xx": errors}, "received_bytes": 0, "sent_bytes": 0,
                "connect_failures": connect_failures, "retries": 0, "broken_off": 1, "slow": 3,
                "to_head": {"count": requests, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0},
                "upstream": {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0},
                "total": {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0},
            })
        };
        let slots = [slot("blue", 2, 0), slot("green", 5, 4), slot("", 0, 0)];
        serde_json::from_value(serde_json::json!({"from_ms": 1_000, "to_ms": to_ms, "generation": 7, "slots": slots}))
            .expect("a window")
    }

    #[test]
    fn each_slot_has_its_own_counts_and_latency_begins_later() {
        let (whole, warm) = (window(61_000, 100), window(61_000, 90));
        let ten_minutes = Duration::from_mins(10);
        let read = reading(&whole, Some(&warm), ten_minutes, Slot::Green, Some(Slot::Blue));
        assert_eq!((read.elapsed, read.window, read.complete), (Duration::from_mins(1), ten_minutes, true));
        assert_eq!(read.green, Counts { requests: 104, errors: 10, timed: 90, slow: 3 });
        assert_eq!(read.blue, Some(Counts { requests: 100, errors: 3, timed: 90, slow: 3 }));
        let early = reading(&whole, None, ten_minutes, Slot::Blue, None);
        assert_eq!((early.green.timed, early.green.slow, early.blue), (0, 0, None));
    }

    #[test]
    fn no_jump_of_the_edges_clock_makes_a_window_longer_or_shorter_than_it_was() {
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        let ends = |to_ms: u64| window(to_ms, 100);
        // It began at 1 s.
        assert_eq!(lasted(&ends(61_500), minute, true), Duration::from_millis(60_500));
        assert_eq!(lasted(&ends(3_661_000), minute, true), minute + EDGE_TIMEOUT, "an hour ahead");
        assert_eq!(lasted(&ends(0), minute, true), minute, "and back");
        assert_eq!(lasted(&ends(61_000), hour, true), hour);
        // Of an hour ago it may remember a minute.
        assert_eq!(lasted(&ends(61_000), hour, false), minute);
        assert_eq!(lasted(&ends(3_661_000), minute, false), minute + EDGE_TIMEOUT);
    }

    #[test]
    fn a_short_window_warms_up_for_a_short_time() {
        assert_eq!(warming_up(Duration::from_mins(30)), Duration::from_mins(1));
        assert_eq!(warming_up(Duration::from_secs(20)), Duration::from_secs(2));
    }
}
