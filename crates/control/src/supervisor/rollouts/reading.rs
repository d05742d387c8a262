//! From what the edge counted to what the gate judges. Pure.

use std::time::Duration;

use mana_delivery::gate::{Counts, Reading};
use mana_edge::admin::{SlotWindow, Window};

use super::effects::EDGE_TIMEOUT;
use crate::slot::Slot;

/// A new process has cold caches: its first answers count for errors, not for latency. A tenth of the window, and no more than this.
const WARMING_UP: Duration = Duration::from_mins(1);

/// How long the window has been open: `own` by the rollout's own time when it was asked for, up to `EDGE_TIMEOUT` more at the edge's answer,
/// which may count from a little earlier on.
pub(super) fn lasted(counted: &Window, own: Duration) -> Duration {
    span(counted).clamp(own, own + EDGE_TIMEOUT)
}

/// Whether the edge has counted for as long as it was asked for. An edge that was started or replaced since then has not, and what it does
/// not remember any more it cannot say: what happened before is not known.
pub(super) fn covers(counted: &Window, asked: Duration) -> bool {
    span(counted) >= asked
}

fn span(counted: &Window) -> Duration {
    Duration::from_millis(counted.to_ms.saturating_sub(counted.from_ms))
}

/// How long after its begin the latency of a window counts.
pub(super) fn warming_up(window: Duration) -> Duration {
    (window / 10).min(WARMING_UP)
}

/// `whole`: since the window opened. `warm`: of the part whose latency counts; `None`: there is none yet. `blue`: which slot the old
/// version is in, where it gets traffic. Whether it is complete is for whoever knows how long it should be to say.
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
    Reading { elapsed: span(whole), window, green: counts(green), blue: blue.map(counts), complete: false }
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
        assert_eq!((read.elapsed, read.window, read.complete), (Duration::from_mins(1), ten_minutes, false));
        assert_eq!(read.green, Counts { requests: 104, errors: 10, timed: 90, slow: 3 });
        assert_eq!(read.blue, Some(Counts { requests: 100, errors: 3, timed: 90, slow: 3 }));
        let early = reading(&whole, None, ten_minutes, Slot::Blue, None);
        assert_eq!((early.green.timed, early.green.slow, early.blue), (0, 0, None));
    }

    #[test]
    fn a_window_is_as_long_as_it_was_open_and_whole_where_the_edge_counted_for_all_of_it() {
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        // They begin at 1 s.
        for (to_ms, own, expected, whole) in [
            (61_000, minute, minute, true),
            (61_500, minute, Duration::from_millis(60_500), true),
            (3_661_000, minute, minute + EDGE_TIMEOUT, true),
            (60_999, minute, minute, false),
            (61_000, hour, hour, false),
            (0, minute, minute, false),
        ] {
            let counted = window(to_ms, 100);
            assert_eq!((lasted(&counted, own), covers(&counted, own)), (expected, whole), "{to_ms} of {own:?}");
        }
    }

    #[test]
    fn a_short_window_warms_up_for_a_short_time() {
        assert_eq!(warming_up(Duration::from_mins(30)), Duration::from_mins(1));
        assert_eq!(warming_up(Duration::from_secs(20)), Duration::from_secs(2));
    }
}
