//! Who is looked at when: (targets, time) → whose turn it is. No I/O, no clock of its own.
//!
//! Each target has its own place within the interval, which follows from its name: it is the same after a restart, and all together are
//! spread evenly. Places are [`STEP_MS`] apart, so that whoever looks wakes once for several of many. A target whose turn is not over is left out, and what it missed is counted: it holds up nobody else, and is never asked
//! twice at once. Whoever takes a turn says when it is [`done`](Schedule::done), after [`TIMEOUT`] at the latest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::exposition::{Nonsense, Reading};
use crate::gather::Sink;

/// How often each target is looked at.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// How long a target may take to answer: whoever is slower has still an end before its next turn.
pub const TIMEOUT: Duration = Duration::from_secs(8);
/// Most targets; a machine of a small team has some dozens.
pub const MAX_TARGETS: usize = 2_000;
/// Places are this far apart, in milliseconds: of two hundred targets that are looked at every ten seconds, four have their turn together.
pub const STEP_MS: i64 = 200;
/// A turn that is this late still counts as in time: even steps between samples take less room, and no one sees the difference.
const IN_TIME_MS: i64 = 100;

/// Targets by their names, and whose turn is next.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval_ms: i64,
    targets: BTreeMap<String, Target>,
    /// When each target that is not being looked at is due next.
    waiting: BTreeSet<(i64, String)>,
    /// The latest time that a turn was planned by. While the clock does not go back behind it, no turn is further away than its interval.
    planned_by: i64,
}

#[derive(Debug, Clone, Copy)]
struct Target {
    interval_ms: i64,
    /// The round of the turn that is not over.
    running: Option<i64>,
    /// It was taken away while its turn was not over.
    unwanted: bool,
    missed: u64,
}

/// A turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whose.
    pub target: String,
    /// The time that its samples get, in milliseconds since 1970.
    pub at: i64,
}

/// There are [`MAX_TARGETS`] already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target} is not watched: there are {MAX_TARGETS} targets already, and no more are looked at")]
pub struct TooMany {
    /// The one too many.
    pub target: String,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It gave an exposition.
    Read {
        /// Samples in it.
        scraped: usize,
        /// Samples that were kept.
        kept: usize,
        /// Series that had not been there before.
        added: usize,
        /// Lines that were left out.
        bad: usize,
    },
    /// It did not answer in time, or with nonsense.
    Failed,
}

impl Schedule {
    /// One without targets, for turns every `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { interval_ms, targets: BTreeMap::new(), waiting: BTreeSet::new(), planned_by: i64::MIN }
    }

    /// Looks at a target from `now` (milliseconds since 1970) on. One that is known stays as it is.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&mut self, target: &str, now: i64) -> Result<(), TooMany> {
        self.add_every(target, Duration::from_millis(self.interval_ms.unsigned_abs()), now)
    }

    /// As [`Self::add`], with turns every `interval`. Of one that is known it holds after its next turn.
    ///
    /// # Errors
    /// There are too many.
    pub fn add_every(&mut self, target: &str, interval: Duration, now: i64) -> Result<(), TooMany> {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 2).max(1);
        if let Some(known) = self.targets.get_mut(target) {
            known.unwanted = false;
            if std::mem::replace(&mut known.interval_ms, interval_ms) != interval_ms {
                // Its next turn may be further away than an interval is from here on.
                self.planned_by = i64::MAX;
            }
            return Ok(());
        }
        if self.targets.len() == MAX_TARGETS {
            return Err(TooMany { target: target.to_owned() });
        }
        self.targets.insert(target.to_owned(), Target { interval_ms, running: None, unwanted: false, missed: 0 });
        self.planned_by = self.planned_by.max(now);
        self.waiting.insert((self.next(target, now - 1), target.to_owned()));
        Ok(())
    }

    /// Looks at a target no more. A turn that is not over still is to be ended.
    pub fn remove(&mut self, target: &str) {
        let Some(known) = self.targets.get_mut(target) else { return };
        if known.running.is_some() {
            known.unwanted = true;
        } else {
            self.targets.remove(target);
            self.waiting.retain(|(_, waiting)| waiting != target);
        }
    }

    /// Whose turn it is. A turn that was not asked for in time is missed, but for the last one.
    pub fn due(&mut self, now: i64) -> Vec<Turn> {
        self.follow_a_clock_that_was_set_back(now);
        let mut turns = Vec::new();
        while self.waiting.first().is_some_and(|(round, _)| *round <= now) {
            let Some((round, target)) = self.waiting.pop_first() else { break };
            let interval_ms = self.interval_of(&target);
            let rounds_late = (now - round) / interval_ms;
            let round = round + rounds_late * interval_ms;
            if let Some(known) = self.targets.get_mut(&target) {
                known.missed += rounds_late.unsigned_abs();
                known.running = Some(round);
            }
            turns.push(Turn { target, at: if now - round <= IN_TIME_MS { round } else { now } });
        }
        turns
    }

    /// A target's turn is over.
    pub fn done(&mut self, target: &str, now: i64) {
        let Some(known) = self.targets.get(target).copied() else { return };
        let Some(round) = known.running else { return };
        if known.unwanted {
            self.targets.remove(target);
            return;
        }
        let after = now.max(round);
        let next = self.next(target, after);
        self.planned_by = self.planned_by.max(after);
        if let Some(known) = self.targets.get_mut(target) {
            known.running = None;
            known.missed += ((next - round) / known.interval_ms - 1).max(0).unsigned_abs();
        }
        self.waiting.insert((next, target.to_owned()));
    }

    /// When the next turn is.
    #[must_use]
    pub fn next_at(&self) -> Option<i64> {
        self.waiting.first().map(|(round, _)| *round)
    }

    /// How many turns a target missed.
    #[must_use]
    pub fn missed(&self, target: &str) -> u64 {
        self.targets.get(target).map_or(0, |target| target.missed)
    }

    /// The target's first round after this time.
    fn next(&self, target: &str, after: i64) -> i64 {
        let interval_ms = self.interval_of(target);
        let place = i64::try_from(spread(target) % interval_ms.unsigned_abs()).unwrap_or(0);
        let place = place - place % STEP_MS;
        after - (after - place).rem_euclid(interval_ms) + interval_ms
    }

    fn interval_of(&self, target: &str) -> i64 {
        self.targets.get(target).map_or(self.interval_ms, |target| target.interval_ms)
    }

    /// A round that is further away than an interval was planned by a clock that is no more.
    fn follow_a_clock_that_was_set_back(&mut self, now: i64) {
        // Looking at every target on each turn would cost more than all else here.
        if std::mem::replace(&mut self.planned_by, now) <= now {
            return;
        }
        if self.waiting.iter().any(|(round, target)| *round > now + self.interval_of(target)) {
            let waiting = std::mem::take(&mut self.waiting);
            self.waiting =
                waiting.into_iter().map(|(round, target)| (round.min(self.next(&target, now)), target)).collect();
        }
    }
}

/// A number that follows from a name and differs much between names that differ little. It is written down nowhere, so it may change with
/// versions; FNV-1a, mixed once more.
fn spread(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

impl Outcome {
    /// What a target's reading came to.
    pub fn of<I>(read: &Result<Reading<I>, Nonsense>) -> Self {
        read.as_ref().map_or(Self::Failed, |reading| Self::Read {
            scraped: reading.scraped,
            kept: reading.scraped.saturating_sub(reading.refused + reading.doubled),
            added: reading.added,
            bad: reading.bad,
        })
    }

    /// Puts what Prometheus puts for each turn, and what it has no word for: lines that were left out, and turns that were missed.
    #[expect(clippy::cast_precision_loss, reason = "counts of one body")]
    pub fn put(self, took: Duration, missed: u64, sink: &mut dyn Sink) {
        let (up, scraped, kept, added, bad) = match self {
            Self::Read { scraped, kept, added, bad } => (1.0, scraped, kept, added, bad),
            Self::Failed => (0.0, 0, 0, 0, 0),
        };
        sink.put("up", &[], up);
        sink.put("scrape_duration_seconds", &[], took.as_secs_f64());
        sink.put("scrape_samples_scraped", &[], scraped as f64);
        sink.put("scrape_samples_post_metric_relabeling", &[], kept as f64);
        sink.put("scrape_series_added", &[], added as f64);
        sink.put("scrape_bad_lines", &[], bad as f64);
        sink.put("scrape_missed_total", &[], missed as f64);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gather::Found;

    const T0: i64 = 1_800_000_000_000;
    const MS: i64 = 10_000;

    fn schedule(targets: &[&str]) -> Schedule {
        let mut schedule = Schedule::new(INTERVAL);
        for target in targets {
            schedule.add(target, T0).expect("room");
        }
        schedule
    }

    fn names(turns: &[Turn]) -> Vec<&str> {
        turns.iter().map(|turn| turn.target.as_str()).collect()
    }

    #[test]
    fn each_target_has_its_turn_once_an_interval_at_its_own_place() {
        let mut schedule = schedule(&["a", "b", "c"]);
        let mut turns: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for now in (T0..T0 + 3 * MS).step_by(10) {
            for turn in schedule.due(now) {
                schedule.done(&turn.target, now + 5);
                turns.entry(turn.target).or_default().push(turn.at);
            }
        }
        assert_eq!(turns.len(), 3);
        for times in turns.values() {
            assert!(times.len() == 3 && times.windows(2).all(|pair| pair[1] - pair[0] == MS));
        }
        let places: BTreeSet<i64> = turns.values().map(|times| times[0]).collect();
        assert_eq!(places.len(), 3, "nobody shares a place");
    }

    #[test]
    fn many_targets_are_spread_over_the_interval() {
        let mut schedule = Schedule::new(INTERVAL);
        for number in 0..500 {
            schedule.add(&format!("shop-{number}"), T0).expect("room");
        }
        let each_second: Vec<usize> = (1..=10)
            .map(|second| {
                let turns = schedule.due(T0 + second * 1_000);
                turns.len()
            })
            .collect();
        assert_eq!(each_second.iter().sum::<usize>(), 500);
        assert!(each_second.iter().all(|count| (25..=80).contains(count)), "{each_second:?}");
    }

    #[test]
    fn many_targets_have_their_turns_at_a_few_moments() {
        let mut schedule = Schedule::new(INTERVAL);
        for number in 0..500 {
            schedule.add(&format!("shop-{number}"), T0).expect("room");
        }
        let moments: BTreeSet<i64> = schedule.waiting.iter().map(|(moment, _)| *moment).collect();
        assert!((40..=50).contains(&moments.len()), "{moments:?}");
        assert!(moments.iter().all(|moment| moment % STEP_MS == 0), "{moments:?}");
    }

    #[test]
    fn a_slow_target_misses_turns_and_nobody_else_does() {
        let mut schedule = schedule(&["slow", "quick"]);
        let mut quick = 0;
        let mut slow = 0;
        for now in (T0..T0 + 10 * MS).step_by(100) {
            for turn in schedule.due(now) {
                if turn.target == "quick" {
                    quick += 1;
                    schedule.done("quick", now);
                } else {
                    slow += 1;
                }
            }
            if now == T0 + 5 * MS {
                schedule.done("slow", now);
            }
        }
        assert_eq!((quick, slow), (10, 2));
        assert_eq!((schedule.missed("quick"), schedule.missed("slow")), (0, 4));
    }

    #[test]
    fn turns_that_were_slept_through_are_one_and_the_others_are_missed() {
        let mut schedule = schedule(&["a"]);
        let first = schedule.next_at().expect("a turn");
        let turns = schedule.due(first + 5 * MS + 700);
        assert_eq!(turns, [Turn { target: "a".into(), at: first + 5 * MS + 700 }]);
        assert_eq!(schedule.missed("a"), 5);
        schedule.done("a", first + 5 * MS + 800);
        assert_eq!(schedule.next_at(), Some(first + 6 * MS));
    }

    #[test]
    fn a_turn_that_is_a_little_late_gets_the_time_it_was_due() {
        let mut schedule = schedule(&["a"]);
        let first = schedule.next_at().expect("a turn");
        assert_eq!(schedule.due(first + IN_TIME_MS)[0].at, first);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let mut schedule = schedule(&["a", "b"]);
        let back = T0 - 3_600_000;
        let turns: Vec<Turn> = (0..=100).flat_map(|step| schedule.due(back + step * 100)).collect();
        assert_eq!(turns.len(), 2);
        // Also while its turn is not over.
        schedule.done("a", back - MS * 3);
        assert_eq!(names(&schedule.due(back - MS)), ["a"; 0]);
        assert_eq!(names(&schedule.due(back + MS)), ["a"]);
    }

    #[test]
    fn a_target_that_is_taken_away_and_given_back_during_its_turn_has_no_second_one() {
        let mut schedule = schedule(&["a"]);
        assert_eq!(names(&schedule.due(T0 + MS)), ["a"]);
        schedule.remove("a");
        schedule.add("a", T0 + MS).expect("room");
        assert_eq!(names(&schedule.due(T0 + 3 * MS)), ["a"; 0]);
        schedule.done("a", T0 + 3 * MS);
        assert_eq!(names(&schedule.due(T0 + 4 * MS)), ["a"]);
        schedule.remove("a");
        schedule.done("a", T0 + 5 * MS);
        assert_eq!((schedule.next_at(), schedule.targets.len()), (None, 0));
    }

    #[test]
    fn there_is_a_bound() {
        let mut schedule = Schedule::new(INTERVAL);
        for number in 0..MAX_TARGETS {
            schedule.add(&number.to_string(), T0).expect("room");
        }
        assert!(
            schedule.add("one more", T0).is_err_and(|error| error.to_string().starts_with("one more is not watched"))
        );
        assert_eq!(schedule.add("7", T0), Ok(()), "a known one is none more");
        schedule.remove("7");
        assert_eq!(schedule.add("one more", T0), Ok(()));
    }

    #[test]
    fn a_turn_gives_the_series_that_prometheus_gives() {
        let took = Duration::from_millis(250);
        let read = Outcome::Read { scraped: 10, kept: 8, added: 2, bad: 1 };
        let found = Found::by(|sink| read.put(took, 3, sink));
        let values = [
            ("up", 1.0),
            ("scrape_duration_seconds", 0.25),
            ("scrape_samples_scraped", 10.0),
            ("scrape_samples_post_metric_relabeling", 8.0),
            ("scrape_series_added", 2.0),
            ("scrape_bad_lines", 1.0),
            ("scrape_missed_total", 3.0),
        ];
        for (name, value) in values {
            assert_eq!(found.get(name, &[]), Some(value), "{name}");
        }
        assert_eq!(Found::by(|sink| Outcome::Failed.put(took, 0, sink)).get("up", &[]), Some(0.0));
        let nonsense: Result<Reading<u8>, Nonsense> = Err(Nonsense::CutOff);
        assert_eq!(Outcome::of(&nonsense), Outcome::Failed);
    }

    #[test]
    fn a_target_with_an_interval_of_its_own_is_due_that_often() {
        let mut schedule = Schedule::new(INTERVAL);
        schedule.add_every("model", Duration::from_mins(1), T0).expect("room");
        schedule.add("shop", T0).expect("room");
        let (mut turns, mut now) = (std::collections::BTreeMap::new(), T0);
        while now < T0 + 300_000 {
            for turn in schedule.due(now) {
                *turns.entry(turn.target.clone()).or_insert(0) += 1;
                schedule.done(&turn.target, now);
            }
            now += 100;
        }
        assert_eq!(turns, [("model".to_owned(), 5), ("shop".to_owned(), 30)].into());
        assert_eq!((schedule.missed("model"), schedule.missed("shop")), (0, 0));
    }

    proptest! {
        #[test]
        fn whatever_happens_no_target_has_two_turns_at_once_and_none_is_forgotten(
            steps in prop::collection::vec((0..4_u8, 0..3_usize, -20_000..20_000_i64), 0..60)
        ) {
            let all = ["a", "b", "c"];
            let (mut schedule, mut now) = (Schedule::new(INTERVAL), T0);
            let (mut running, mut wanted) = (BTreeSet::new(), BTreeSet::new());
            for (what, which, passed) in steps {
                now += passed;
                let target = all[which];
                match what {
                    0 => { schedule.add(target, now).expect("room"); wanted.insert(target); }
                    1 => { schedule.remove(target); wanted.remove(target); }
                    2 => { schedule.done(target, now); running.remove(target); }
                    _ => {
                        for turn in schedule.due(now) {
                            let target = all.iter().find(|name| **name == turn.target).expect("a target");
                            prop_assert!(wanted.contains(target), "it is not wanted");
                            prop_assert!(running.insert(*target), "it has two turns at once");
                            prop_assert!(turn.at <= now && turn.at > now - MS);
                        }
                    }
                }
            }
            for target in running {
                schedule.done(target, now);
            }
            // Twice, since the first may have been planned by a clock that was set back since.
            let turns = schedule.due(now);
            let later = schedule.due(now + MS);
            let had: BTreeSet<&str> = turns.iter().chain(&later).map(|turn| turn.target.as_str()).collect();
            prop_assert_eq!(had, wanted);
        }
    }
}
