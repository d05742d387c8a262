//! Which readings of the cells are kept, so that it can be told what happened since a moment.
//!
//! People and alerts ask for the last minutes, so one is kept every few seconds, and fewer the older they are. Whoever judges a release
//! asks "since it gets traffic", so one is kept for each snapshot that was put into effect; those that somebody judges by stay, however
//! many other snapshots follow.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::registry::Key;
use super::render::Total;
use super::window::{About, Reading, Since};
use crate::admin::Window;
use crate::snapshot::{Snapshot, Target};

/// How often a reading is made.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// By their age: the distance between those that are kept at least, and how many. A window of up to ten minutes begins within 5 s of the
/// moment that is asked for, a longer one within a seventh of its length; and a day is remembered. No more than that: a reading of a busy
/// slot is some 3 KB.
const AGES: [(u64, usize); 3] = [(0, 125), (60_000, 60), (600_000, 144)];

/// Snapshots that are remembered, beside those that something is judged by.
const GENERATIONS: usize = 64;

/// A generation by which a route was judged is remembered for so long after the last look, where no lease says that it still is. Looks
/// come every ten seconds, and after a minute without any a canary goes back.
const UNASKED_MS: u64 = 600_000;

/// Routes whose generations are kept so; an ecosystem has some hundred at most.
const ROUTES: usize = 256;

#[derive(Default)]
pub(crate) struct Readings {
    /// The newest last, by age as in [`AGES`].
    timed: [VecDeque<Reading>; AGES.len()],
    generations: VecDeque<Reading>,
    /// By route: what it is judged by.
    judged: BTreeMap<String, Judged>,
    /// The weights of routes that have a lease: their new versions are watched.
    leased: BTreeMap<String, Vec<(String, u32)>>,
}

/// Since which generation a route is judged, and when somebody looked last.
#[derive(Debug, Clone, Copy)]
struct Judged {
    generation: u64,
    at_ms: u64,
}

impl Readings {
    /// Keeps a reading, because it is time.
    pub(crate) fn tick(&mut self, at_ms: u64, generation: u64, totals: &BTreeMap<Key, Total>) {
        let mut next = Some(self.read(at_ms, generation, totals));
        for ((apart_ms, most), kept) in AGES.into_iter().zip(&mut self.timed) {
            let Some(reading) = next.take() else { return };
            if kept.back().is_some_and(|last| reading.at_ms < last.at_ms.saturating_add(apart_ms)) {
                return;
            }
            kept.push_back(reading);
            if kept.len() > most {
                next = kept.pop_front();
            }
        }
    }

    /// Keeps a reading, because a snapshot is put into effect.
    pub(crate) fn applied(&mut self, at_ms: u64, snapshot: &Snapshot, totals: &BTreeMap<Key, Total>) {
        let generation = snapshot.generation;
        let reading = self.read(at_ms, generation, totals);
        self.generations.push_back(reading);
        let leased = leased(snapshot);
        for (route, weights) in &leased {
            if self.leased.get(route) != Some(weights) {
                self.judge(route, generation, at_ms);
            }
        }
        self.leased = leased;
        self.forget(at_ms);
    }

    /// What happened since; `None` for a generation that is not remembered.
    pub(crate) fn since(
        &mut self,
        since: Since,
        now_ms: u64,
        generation: u64,
        totals: &BTreeMap<Key, Total>,
        about: &About<'_>,
    ) -> Option<Window> {
        let from = match since {
            Since::Generation(generation) => {
                let from = self.generations.iter().rev().find(|reading| reading.generation == generation)?.clone();
                if let Some(route) = about.route {
                    self.judge(route, generation, now_ms);
                }
                from
            }
            Since::Ago(ago) => {
                self.before(now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)))?
            }
        };
        Some(self.read(now_ms, generation, totals).since(&from, about))
    }

    fn read(&self, at_ms: u64, generation: u64, totals: &BTreeMap<Key, Total>) -> Reading {
        Reading::of(at_ms, generation, totals, self.timed[0].back())
    }

    /// The last reading before a moment, or the oldest there is.
    fn before(&self, at_ms: u64) -> Option<Reading> {
        let all = self.timed.iter().flatten().chain(&self.generations);
        let earlier = all.clone().filter(|reading| reading.at_ms <= at_ms).max_by_key(|reading| reading.at_ms);
        earlier.or_else(|| all.min_by_key(|reading| reading.at_ms)).cloned()
    }

    /// A route is judged since this generation.
    fn judge(&mut self, route: &str, generation: u64, at_ms: u64) {
        if self.judged.len() < ROUTES || self.judged.contains_key(route) {
            self.judged.insert(route.to_owned(), Judged { generation, at_ms });
        }
    }

    /// Forgets the oldest generations by which nothing is judged.
    fn forget(&mut self, now_ms: u64) {
        let leased = &self.leased;
        self.judged
            .retain(|route, judged| leased.contains_key(route) || now_ms.saturating_sub(judged.at_ms) < UNASKED_MS);
        let judged = &self.judged;
        let is_free = |reading: &Reading| judged.values().all(|judged| judged.generation != reading.generation);
        let mut excess = self.generations.iter().filter(|reading| is_free(reading)).count().saturating_sub(GENERATIONS);
        self.generations.retain(|reading| {
            let goes = excess > 0 && is_free(reading);
            excess -= usize::from(goes);
            !goes
        });
    }
}

fn leased(snapshot: &Snapshot) -> BTreeMap<String, Vec<(String, u32)>> {
    let leased = snapshot.routes.iter().filter(|route| route.lease.is_some());
    let weights = leased.filter_map(|route| match &route.target {
        Target::Slots(slots) => {
            Some((route.name.clone(), slots.iter().map(|slot| (slot.name.clone(), slot.weight)).collect()))
        }
        Target::Static(_) | Target::Redirect(_) => None,
    });
    weights.collect()
}

#[cfg(test)]
mod tests {
    use super::super::cells::{Cells, Class};
    use super::*;

    const CHAT: About<'static> = About { route: Some("chat"), slow: None };
    const TICK_MS: u64 = 5_000;

    fn totals(cells: &Cells) -> BTreeMap<Key, Total> {
        let key = Key { route: "chat".into(), slot: "green".into(), release: "v2".into() };
        let mut total = Total::default();
        total.add(cells);
        BTreeMap::from([(key, total)])
    }

    fn ask(cells: &Cells, status: u16) {
        cells.started.add(1);
        let took = Duration::from_millis(1);
        cells.finish(Class::Status(status), Some(took), Some(took), took, 10, 100);
    }

    /// A snapshot; `green`: the share of a canary of `chat`.
    fn snapshot(generation: u64, green: Option<u32>) -> Snapshot {
        let slot = |name: &str, weight: u32| serde_json::json!({"name": name, "release": name, "weight": weight, "instances": []});
        let share = green.unwrap_or_default();
        let mut route =
            serde_json::json!({"name": "chat", "target": {"slots": [slot("blue", 100 - share), slot("green", share)]}});
        if green.is_some() {
            route["lease"] = serde_json::json!({"slot": "green", "ms": 60_000});
        }
        serde_json::from_value(serde_json::json!({"generation": generation, "listeners": [], "routes": [route]}))
            .unwrap()
    }

    fn window(readings: &mut Readings, since: Since, now_ms: u64, cells: &Cells) -> Option<Window> {
        readings.since(since, now_ms, 1, &totals(cells), &CHAT)
    }

    fn ago(seconds: u64) -> Since {
        Since::Ago(Duration::from_secs(seconds))
    }

    #[test]
    fn a_window_of_many_minutes_is_not_diluted_by_what_was_before() {
        let (cells, mut readings) = (Cells::default(), Readings::default());
        readings.applied(0, &snapshot(1, None), &totals(&cells));
        let hours = 3 * 3_600_000;
        for tick in 0..=hours / TICK_MS {
            let now = tick * TICK_MS;
            readings.tick(now, 1, &totals(&cells));
            // A request a tick; errors in the last ten minutes.
            ask(&cells, if now >= hours - 600_000 { 500 } else { 200 });
        }
        for (seconds, within_ms) in [(600, TICK_MS), (620, TICK_MS), (890, 60_000), (3_600, 60_000), (7_000, 600_000)] {
            let seen = window(&mut readings, ago(seconds), hours, &cells).unwrap();
            let late = hours - seconds * 1_000 - seen.from_ms;
            assert!(late <= within_ms, "{seconds}: {late}");
            assert_eq!(seen.slots[0].requests, (hours - seen.from_ms) / TICK_MS + 1, "{seconds}");
        }
        let seen = window(&mut readings, ago(600), hours, &cells).unwrap();
        assert_eq!(seen.slots[0].classes["2xx"], 0, "all of it is what happened lately");
    }

    #[test]
    fn a_day_is_remembered_and_no_more_than_so_many_readings() {
        let (cells, mut readings) = (Cells::default(), Readings::default());
        let day = 24 * 3_600_000;
        for tick in 0..=2 * day / TICK_MS {
            readings.tick(tick * TICK_MS, 1, &totals(&cells));
        }
        let seen = window(&mut readings, ago(86_000), 2 * day, &cells).unwrap();
        assert!((day - 300_000..day + 700_000).contains(&seen.from_ms), "{}", seen.from_ms);
        let kept: usize = readings.timed.iter().map(VecDeque::len).sum();
        assert_eq!(kept, AGES.iter().map(|(_, most)| most).sum::<usize>());
        // Asked for more than is remembered, it says from when it is.
        let seen = window(&mut readings, ago(400_000), 2 * day, &cells).unwrap();
        assert!(seen.from_ms > day - 5_000_000, "{}", seen.from_ms);
    }

    #[test]
    fn what_a_canary_is_judged_by_stays_whatever_happens_elsewhere() {
        let (cells, mut readings) = (Cells::default(), Readings::default());
        readings.applied(0, &snapshot(1, None), &totals(&cells));
        readings.applied(1_000, &snapshot(2, Some(10)), &totals(&cells));
        ask(&cells, 200);
        // Instances elsewhere come and go.
        let mut generation = 2;
        let mut elsewhere = |readings: &mut Readings, green, at_ms| {
            for _ in 0..10 * GENERATIONS {
                generation += 1;
                readings.applied(at_ms, &snapshot(generation, green), &totals(&cells));
            }
            generation
        };
        let last = elsewhere(&mut readings, Some(10), 2_000);
        let seen = window(&mut readings, Since::Generation(2), 3_000, &cells).expect("the canary's own");
        assert_eq!((seen.from_ms, seen.slots[0].requests), (1_000, 1));
        assert!(window(&mut readings, Since::Generation(1), 3_000, &cells).is_none());
        // A control plane that comes back asks since what it finds; and the next step begins with a generation of its own.
        assert!(window(&mut readings, Since::Generation(last), 4_000, &cells).is_some());
        elsewhere(&mut readings, Some(10), 6_000);
        assert!(window(&mut readings, Since::Generation(last), 7_000, &cells).is_some());
        let last = elsewhere(&mut readings, Some(50), 8_000);
        let step = last + 1 - 10 * u64::try_from(GENERATIONS).unwrap();
        assert!(window(&mut readings, Since::Generation(step), 9_000, &cells).is_some());
        // After the cutover it is looked at for as long as somebody asks.
        elsewhere(&mut readings, None, 10_000);
        assert!(window(&mut readings, Since::Generation(step), 9_000 + UNASKED_MS - 1, &cells).is_some());
        elsewhere(&mut readings, None, 9_000 + 2 * UNASKED_MS);
        assert!(window(&mut readings, Since::Generation(step), 10_000 + 2 * UNASKED_MS, &cells).is_none());
        assert_eq!(readings.generations.len(), GENERATIONS);
    }
}
