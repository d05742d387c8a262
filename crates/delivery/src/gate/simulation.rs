//! Simulated canaries. Shared by the tests and the example, which both bring `judge` and its types into the module above.

use std::time::Duration;

use super::{Counts, Policy, Reading, Verdict, judge};

/// The traffic at which the goals hold, in requests per second of both slots: at 10 % for 10 min these are 3,000 of green.
pub(crate) const SAMPLE: f64 = 50.0;
/// What a service is usually like.
pub(crate) const LIKE_BLUE: Slot = Slot { errors: 0.002, slow: 0.005 };

/// A slot's truth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) errors: f64,
    pub(crate) slow: f64,
}

/// A canary to simulate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canary {
    /// Of both slots together.
    pub(crate) requests_per_second: f64,
    /// Green's share of them.
    pub(crate) weight: f64,
    pub(crate) green: Slot,
    pub(crate) blue: Option<Slot>,
}

/// What became of many of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcomes {
    pub(crate) passed: u32,
    pub(crate) stopped: u32,
    /// Neither, until the longest window ended: green goes back to 0 % and a person decides.
    pub(crate) held: u32,
    /// Seconds until the verdict, summed.
    pub(crate) seconds: u64,
    /// Green's errors until the verdict, summed.
    pub(crate) errors: u64,
}

const WINDOW: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Answers of the first minute count for errors only.
const WARM_AFTER: Duration = Duration::from_mins(1);

/// `times` canaries of one kind, the same ones for the same seed.
pub(crate) fn simulate(policy: &Policy, canary: &Canary, times: u32, seed: u64) -> Outcomes {
    let mut chance = Chance(seed);
    let mut outcomes = Outcomes::default();
    for _ in 0..times {
        run(policy, canary, &mut chance, &mut outcomes);
    }
    outcomes
}

fn run(policy: &Policy, canary: &Canary, chance: &mut Chance, outcomes: &mut Outcomes) {
    let (mut green, mut blue) = (Counts::default(), Counts::default());
    let mut elapsed = Duration::ZERO;
    let verdict = loop {
        elapsed += LOOK_EVERY;
        let requests = canary.requests_per_second * LOOK_EVERY.as_secs_f64();
        let timed = elapsed > WARM_AFTER;
        serve(&mut green, requests * canary.weight, canary.green, timed, chance);
        if let Some(slot) = canary.blue {
            serve(&mut blue, requests * (1.0 - canary.weight), slot, timed, chance);
        }
        let reading = Reading { elapsed, window: WINDOW, green, blue: canary.blue.map(|_| blue), complete: true };
        let verdict = judge(policy, &reading).verdict;
        if matches!(verdict, Verdict::Pass | Verdict::Fail | Verdict::Environment) || elapsed >= policy.longest {
            break verdict;
        }
    };
    outcomes.seconds += elapsed.as_secs();
    outcomes.errors += green.errors;
    match verdict {
        Verdict::Pass => outcomes.passed += 1,
        Verdict::Fail | Verdict::Environment => outcomes.stopped += 1,
        Verdict::NoData | Verdict::Inconclusive => outcomes.held += 1,
    }
}

fn serve(counts: &mut Counts, expected: f64, slot: Slot, timed: bool, chance: &mut Chance) {
    let requests = chance.poisson(expected);
    counts.requests += requests;
    counts.errors += chance.hits(requests, slot.errors);
    if timed {
        counts.timed += requests;
        counts.slow += chance.hits(requests, slot.slow);
    }
}

/// SplitMix64: small, fast, and the same everywhere.
struct Chance(u64);

impl Chance {
    /// Above 0, at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON / 4.0
    }

    /// How many arrive where `mean` are expected: the gaps between arrivals are exponential.
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 500.0 {
            // Halves of a Poisson stream are Poisson streams; a bell is near enough for the large ones.
            let bell = (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos();
            return round(mean + bell * mean.sqrt());
        }
        let (mut arrived, mut at) = (0, -self.uniform().ln());
        while at < mean {
            arrived += 1;
            at -= self.uniform().ln();
        }
        arrived
    }

    /// How many of `total` have what a `share` of all has: leaps from one to the next, as most have not.
    fn hits(&mut self, total: u64, share: f64) -> u64 {
        if share <= 0.0 {
            return 0;
        }
        if share >= 1.0 {
            return total;
        }
        let (mut hits, mut at) = (0, 0);
        loop {
            at += 1 + round((self.uniform().ln() / (-share).ln_1p()).floor());
            if at > total {
                return hits;
            }
            hits += 1;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and what it rounds is small and not negative"
)]
fn round(value: f64) -> u64 {
    value.round().min(1e15) as u64
}
