//! Series with everything that makes results differ: resets, gaps, ends, late starts, odd histograms, values that are no numbers.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "small numbers, made up"
)]

use mana_watch::Memory;
use mana_watch::series::STALE_BITS;

/// First sample, in milliseconds since 1970. No whole minute, so that steps and samples fall apart.
pub(crate) const START: i64 = 1_700_000_007_000;
/// Milliseconds that the samples span.
pub(crate) const LENGTH: i64 = 3 * 3_600_000;
/// Milliseconds between two samples of most series.
const BEAT: i64 = 15_000;

/// Numbers that look random and are always the same.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub(crate) fn unit(&mut self) -> f64 {
        self.below(1 << 50) as f64 / (1_u64 << 50) as f64
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }
}

fn beats(offset: i64) -> impl Iterator<Item = i64> {
    (0..LENGTH / BEAT).map(move |n| START + offset + n * BEAT)
}

pub(crate) fn all() -> Memory {
    let mut memory = Memory::default();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let stale = f64::from_bits(STALE_BITS);
    for (s, service) in ["chat", "auth", "web"].into_iter().enumerate() {
        let version = ["1.2", "1.3", "2.0"][s];
        memory.push(
            &[("__name__", "build_info"), ("service", service), ("version", version)],
            beats(0).map(|at| (at, 1.0)),
        );
        for (i, instance) in ["a:1", "b:1"].into_iter().enumerate() {
            let offset = (s * 2 + i) as i64 * 1_700;
            for (c, code) in ["200", "404", "500"].into_iter().enumerate() {
                let mut value = chance.unit() * 100.0;
                let mut samples = Vec::new();
                for (n, at) in beats(offset).enumerate() {
                    // Restarts, at different times; one of them twice.
                    if n == 200 + 37 * c + 11 * s || (s == 1 && n == 210 + 37 * c) {
                        value = chance.unit() * 3.0;
                    }
                    value += (chance.unit() * 10.0 / (c + 1) as f64).floor();
                    let gap = s == 0 && i == 1 && (300..380).contains(&n);
                    let late = s == 2 && c == 2 && n < 250;
                    if gap || late {
                        continue;
                    }
                    // Ends, and comes back.
                    if s == 1 && i == 1 && (400..480).contains(&n) {
                        if n == 400 {
                            samples.push((at, stale));
                        }
                        continue;
                    }
                    samples.push((at, value));
                }
                let labels =
                    [("__name__", "requests_total"), ("service", service), ("instance", instance), ("code", code)];
                memory.push(&labels, samples);
            }
            let mut level = 1e8 * (s + 1) as f64;
            let samples: Vec<_> = beats(offset)
                .map(|at| {
                    level += (chance.unit() - 0.5) * 1e6;
                    (at, level)
                })
                .collect();
            memory.push(&[("__name__", "memory_bytes"), ("service", service), ("instance", instance)], samples);
            let up = beats(offset).enumerate().map(|(n, at)| (at, if n % (90 + 40 * i) < 85 { 1.0 } else { 0.0 }));
            memory.push(&[("__name__", "up"), ("service", service), ("instance", instance)], up.collect::<Vec<_>>());
            histogram(&mut memory, &mut chance, s, service, instance, offset);
        }
    }
    odd(&mut memory, &mut chance, stale);
    memory
}

fn histogram(memory: &mut Memory, chance: &mut Chance, s: usize, service: &str, instance: &str, offset: i64) {
    // No last bucket, one bound written in two ways, one that is no number, one that is below zero.
    let bounds: &[&str] = match s {
        0 => &["0.1", "0.5", "1", "2.5", "+Inf"],
        1 => &["0.1", "0.5", "1", "2.5"],
        _ => &["-1", "0.5", "1", "1.0", "many", "2.5", "+Inf"],
    };
    let mut counts = vec![0.0; bounds.len()];
    let mut columns = vec![Vec::new(); bounds.len()];
    for (n, at) in beats(offset).enumerate() {
        if n == 333 {
            counts.fill(0.0);
        }
        let mut sum = 0.0;
        for (b, count) in counts.iter_mut().enumerate() {
            sum += (chance.unit() * 4.0).floor();
            *count += sum;
            // Told apart, so that a bucket is at times behind a lower one.
            let behind = if s == 2 && b == 3 && n % 50 < 10 { 40.0 } else { 0.0 };
            columns[b].push((at, *count - behind));
        }
    }
    for (bound, samples) in bounds.iter().zip(columns) {
        let labels = [("__name__", "latency_bucket"), ("service", service), ("instance", instance), ("le", *bound)];
        memory.push(&labels, samples);
    }
}

fn odd(memory: &mut Memory, chance: &mut Chance, stale: f64) {
    // At the very edge of what an instant selector looks back for, and just beyond.
    for (kind, beat) in [("four", 240_000), ("five", 300_000), ("more", 300_001), ("seven", 420_000)] {
        let samples: Vec<_> = (0..LENGTH / beat).map(|n| (START + n * beat, (n * n) as f64)).collect();
        memory.push(&[("__name__", "sparse"), ("kind", kind)], samples);
    }
    let special = [f64::NAN, 1.0, f64::INFINITY, -2.5, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -1e-300, f64::INFINITY];
    for (kind, every) in [("often", 1), ("seldom", 7)] {
        let samples: Vec<_> = beats(0)
            .enumerate()
            .map(|(n, at)| (at, if n % every == 0 { special[(n / every) % special.len()] } else { n as f64 }))
            .collect();
        memory.push(&[("__name__", "weird"), ("kind", kind)], samples);
    }
    // Comes and goes all the time, in turns with another one that differs only in its name.
    for (name, parity) in [("turn_a", 0), ("turn_b", 1)] {
        let mut samples = Vec::new();
        for (n, at) in beats(0).enumerate() {
            match ((n / 20) % 2 == parity, n % 20) {
                (true, _) => samples.push((at, n as f64)),
                (false, 0) => samples.push((at, stale)),
                _ => {}
            }
        }
        memory.push(&[("__name__", name), ("side", "x")], samples);
    }
    let wave: Vec<_> = beats(0).map(|at| (at, ((at - START) as f64 / 9e5).sin() * 10.0 + chance.unit())).collect();
    memory.push(&[("__name__", "wave")], wave);
    memory.push(&[("__name__", "constant"), ("service", "chat")], beats(0).map(|at| (at, 42.5)));
    memory.push(&[("__name__", "clock"), ("zone", "a")], beats(0).map(|at| (at, at as f64 / 1000.0 + 86_400.0 * 90.0)));
}
