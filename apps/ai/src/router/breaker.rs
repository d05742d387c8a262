//! The circuit breaker of one model at one provider: pure, time comes in with the events.
//!
//! Closed: calls pass; after [`Rules::failures`] in a row, or when half of the last [`WINDOW`] failed, it opens. Open: no
//! call passes until its time is over. Then one call is let through as a probe: its success closes the breaker, its failure
//! opens it for twice as long, up to [`Rules::longest`]. What another instance found out counts like one's own ([`Breaker::hear`]).

use std::time::Duration;

/// Outcomes that the share of failures is taken of: enough to tell a bad spell from bad luck.
const WINDOW: u32 = 20;

/// A probe that never reports (its process or task died) is given up after this: longer than any call may take.
const PROBE_LOST: Duration = Duration::from_mins(5);

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it is open at first.
    pub shortest: Duration,
    /// How long it is open at most.
    pub longest: Duration,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The provider answered.
    Good,
    /// The provider is at fault.
    Bad,
    /// Nothing is known: the caller left, or the call itself was wrong.
    Unknown,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Calls pass.
    #[default]
    Closed,
    /// No call passes before this time.
    Open {
        /// Since the process began.
        until: Duration,
    },
    /// One call is under way to see whether the others may follow.
    Probing {
        /// Since the process began.
        since: Duration,
    },
}

/// What an instance tells the others of its breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Word {
    /// Calls pass.
    #[default]
    Closed,
    /// No call passes before this time.
    Open {
        /// Since the process began.
        until: Duration,
        /// How often it opened without closing in between.
        openings: u32,
    },
}

/// One breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Breaker {
    state: State,
    in_a_row: u32,
    /// The last outcomes, the newest lowest: 1 is bad. Only the lowest `seen` count.
    outcomes: u32,
    seen: u32,
    /// How often it opened without closing in between.
    openings: u32,
}

impl Breaker {
    /// Where it stands.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether a call would pass now; else how long until one may.
    pub(super) fn passes(&self, now: Duration) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if now >= until => Ok(()),
            State::Open { until } => Err(until.saturating_sub(now)),
            State::Probing { since } if now >= since + PROBE_LOST => Ok(()),
            State::Probing { .. } => Err(Duration::from_secs(1)),
        }
    }

    /// Whether the next call would be a probe.
    pub(super) fn would_probe(&self, now: Duration) -> bool {
        self.state != State::Closed && self.passes(now).is_ok()
    }

    /// What there is to tell; nothing while a probe is under way.
    pub(super) fn word(&self) -> Option<Word> {
        match self.state {
            State::Closed => Some(Word::Closed),
            State::Open { until } => Some(Word::Open { until, openings: self.openings }),
            State::Probing { .. } => None,
        }
    }

    /// Takes what another instance found out. One's own probe finds out by itself.
    pub(super) fn hear(&mut self, word: Word, now: Duration, rules: &Rules) {
        match (word, self.state) {
            (Word::Closed, State::Closed) | (Word::Open { .. }, State::Probing { .. }) => {}
            (Word::Closed, _) => *self = Self::default(),
            (Word::Open { until, openings }, state) => {
                // However wrong somebody's clock is.
                let until = until.min(now + rules.longest);
                let own = if let State::Open { until } = state { until } else { until };
                let openings = openings.max(self.openings);
                *self = Self { state: State::Open { until: until.max(own) }, openings, ..Self::default() };
            }
        }
    }

    /// Lets a call pass, or says how long none will.
    pub(super) fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        self.passes(now)?;
        if self.state != State::Closed {
            self.state = State::Probing { since: now };
        }
        Ok(())
    }

    /// Takes the outcome of a call that was let through.
    pub(super) fn report(&mut self, outcome: Outcome, now: Duration, rules: &Rules) {
        match (self.state, outcome) {
            (State::Probing { .. }, Outcome::Good) => *self = Self::default(),
            (State::Probing { .. }, Outcome::Bad) => self.open(now, rules),
            // The next call is the probe.
            (State::Probing { .. }, Outcome::Unknown) => self.state = State::Open { until: now },
            // Calls from before it opened say nothing about now.
            (State::Open { .. }, _) | (State::Closed, Outcome::Unknown) => {}
            (State::Closed, Outcome::Good) => {
                self.in_a_row = 0;
                self.remember(0);
            }
            (State::Closed, Outcome::Bad) => {
                self.in_a_row += 1;
                self.remember(1);
                let bad = self.outcomes.count_ones();
                if self.in_a_row >= rules.failures || (self.seen >= WINDOW && bad * 2 >= WINDOW) {
                    self.open(now, rules);
                }
            }
        }
    }

    fn remember(&mut self, bad: u32) {
        self.outcomes = (self.outcomes << 1 | bad) & ((1 << WINDOW) - 1);
        self.seen = (self.seen + 1).min(WINDOW);
    }

    fn open(&mut self, now: Duration, rules: &Rules) {
        let doublings = self.openings.min(16);
        let time = rules.shortest.saturating_mul(1 << doublings).min(rules.longest);
        let openings = self.openings.saturating_add(1);
        *self = Self { state: State::Open { until: now + time }, openings, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules { failures: 3, shortest: Duration::from_secs(5), longest: Duration::from_mins(1) };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_a_probe_closes_it() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            assert_eq!(breaker.admit(at(0)), Ok(()));
            breaker.report(Outcome::Bad, at(0), &RULES);
        }
        assert_eq!(breaker.admit(at(4)), Err(at(1)));
        assert_eq!(breaker.admit(at(5)), Ok(()), "the probe");
        assert!(breaker.admit(at(5)).is_err(), "one at a time");
        breaker.report(Outcome::Bad, at(6), &RULES);
        assert_eq!(breaker.admit(at(15)), Err(at(1)), "twice as long");
        assert_eq!(breaker.admit(at(16)), Ok(()));
        breaker.report(Outcome::Good, at(17), &RULES);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn half_of_the_last_twenty_open_it_though_never_three_in_a_row() {
        let mut breaker = Breaker::default();
        let mut calls = 0;
        while breaker.admit(at(0)).is_ok() && calls < 100 {
            breaker.report(if calls % 2 == 0 { Outcome::Good } else { Outcome::Bad }, at(0), &RULES);
            calls += 1;
        }
        assert_eq!(calls, 20);
    }

    #[test]
    fn a_probe_whose_caller_left_is_followed_by_another() {
        let mut breaker = Breaker { state: State::Open { until: at(5) }, ..Breaker::default() };
        breaker.admit(at(5)).unwrap();
        breaker.report(Outcome::Unknown, at(6), &RULES);
        assert_eq!(breaker.admit(at(6)), Ok(()));
    }

    #[test]
    fn what_another_instance_found_out_counts_like_ones_own() {
        let mut breaker = Breaker::default();
        breaker.hear(Word::Open { until: at(5), openings: 2 }, at(0), &RULES);
        assert_eq!(breaker.admit(at(4)), Err(at(1)));
        breaker.hear(Word::Open { until: at(3), openings: 1 }, at(4), &RULES);
        assert_eq!(
            breaker.word(),
            Some(Word::Open { until: at(5), openings: 2 }),
            "the later time and the longer spell"
        );
        assert!(breaker.would_probe(at(5)) && !breaker.would_probe(at(4)));
        breaker.admit(at(5)).unwrap();
        breaker.hear(Word::Open { until: at(50), openings: 9 }, at(6), &RULES);
        assert_eq!((breaker.state(), breaker.word()), (State::Probing { since: at(5) }, None), "its own probe tells");
        breaker.report(Outcome::Bad, at(6), &RULES);
        assert_eq!(breaker.word(), Some(Word::Open { until: at(26), openings: 3 }), "doubled twice before");
        breaker.hear(Word::Closed, at(7), &RULES);
        assert_eq!(breaker, Breaker::default());
        breaker.hear(Word::Open { until: at(86_400), openings: 1 }, at(8), &RULES);
        assert_eq!(breaker.passes(at(8)), Err(RULES.longest), "no clock shuts it for longer");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Wait(u64),
        Call,
        Report(Outcome),
        Hear(Word),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let outcome = prop_oneof![Just(Outcome::Good), Just(Outcome::Bad), Just(Outcome::Unknown)];
        let open = (0_u64..10_000, 0_u32..40).prop_map(|(until, openings)| Word::Open { until: at(until), openings });
        let word = prop_oneof![Just(Word::Closed), open];
        let step = prop_oneof![
            (0_u64..90).prop_map(Step::Wait),
            Just(Step::Call),
            outcome.prop_map(Step::Report),
            word.prop_map(Step::Hear),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_it_lets_one_probe_through_at_most_and_is_never_shut_for_longer_than_it_may(steps in steps()) {
            let (mut breaker, mut now, mut open) = (Breaker::default(), at(0), 0_u32);
            for step in steps {
                match step {
                    Step::Wait(seconds) => now += at(seconds),
                    Step::Call => {
                        let before = breaker.state();
                        match breaker.admit(now) {
                            Ok(()) => {
                                open += 1;
                                if let State::Probing { since } = before {
                                    prop_assert!(now >= since + PROBE_LOST, "a second probe beside the first");
                                }
                                if let State::Open { until } = before {
                                    prop_assert!(now >= until);
                                }
                            }
                            Err(wait) => {
                                prop_assert!(before != State::Closed, "closed lets everything pass");
                                prop_assert!(wait <= RULES.longest && !wait.is_zero());
                            }
                        }
                    }
                    Step::Report(outcome) if open > 0 => {
                        open -= 1;
                        breaker.report(outcome, now, &RULES);
                    }
                    Step::Report(_) => {}
                    Step::Hear(word) => breaker.hear(word, now, &RULES),
                }
            }
            // However it stands, it does not stay shut for ever.
            prop_assert_eq!(breaker.admit(now + RULES.longest + PROBE_LOST), Ok(()));
        }
    }
}
