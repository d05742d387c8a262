//! Measures the store with what a team's services give: 50 services with 200 series each, every 10 s, scraped with a jitter.
//!
//! `cargo run --release -p mana-watch --example store -- [HOURS] [FOLDER]` prints bytes a sample on disk, what Gorilla's encoding alone
//! would take for the same samples, memory, and how long rounds, upkeep and queries take. Over a folder that it filled before it only asks
//! the queries.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

use std::time::{Duration, Instant};

use mana_watch::series::{Keep, Labels, Matcher, NAME, Source, Test};
use mana_watch::store::{Kind, Limits, SeriesId, Store};

const SERVICES: usize = 50;
const INTERVAL_MS: i64 = 10_000;
const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_728_000_000_000;
/// Upper bounds of a histogram's buckets, in seconds.
const BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, f64::INFINITY];
const ROUTES: [&str; 8] = ["/", "/login", "/chats", "/chats/{id}", "/messages", "/search", "/settings", "/export"];
const STATUSES: [(&str, f64); 6] =
    [("200", 0.9), ("201", 0.95), ("400", 0.97), ("401", 0.98), ("404", 0.999), ("500", 1.0)];
const COUNTERS: [&str; 4] =
    ["process_cpu_seconds_total", "process_read_bytes_total", "process_written_bytes_total", "process_restarts_total"];
const GAUGES: [&str; 7] = [
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_threads",
    "db_connections_busy",
    "db_connections_free",
    "up",
    "probe_duration_seconds",
];

/// Chance that is the same on every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }

    /// How many events happen where so many are expected.
    fn events(&mut self, expected: f64) -> u64 {
        if expected > 30.0 {
            return (expected + expected.sqrt() * self.normal()).max(0.0).round() as u64;
        }
        let (limit, mut product, mut count) = ((-expected).exp(), self.next(), 0);
        while product > limit {
            product *= self.next();
            count += 1;
        }
        count
    }
}

/// What one service gives: eight routes with a histogram each, counters by status, a process's own figures, its connections.
struct Service {
    ids: Vec<SeriesId>,
    values: Vec<f64>,
    load: f64,
    chance: Chance,
    memory: f64,
}

fn definitions(service: usize) -> Vec<(Labels, Kind)> {
    let name = format!("service-{service}");
    let instance = format!("10.0.{service}.7:9090");
    let base = [("service", name.as_str()), ("instance", &instance), ("slot", "blue"), ("environment", "production")];
    let labels =
        |metric: &str, more: &[(&str, &str)]| Labels::new(base.iter().chain(more).copied().chain([(NAME, metric)]));
    let mut all = Vec::new();
    for route in ROUTES {
        for bound in BOUNDS {
            let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            all.push((labels("http_request_duration_seconds_bucket", &[("route", route), ("le", &le)]), Kind::Counter));
        }
        all.push((labels("http_request_duration_seconds_sum", &[("route", route)]), Kind::Counter));
        all.push((labels("http_request_duration_seconds_count", &[("route", route)]), Kind::Counter));
        for (status, _) in STATUSES {
            all.push((labels("http_requests_total", &[("route", route), ("status", status)]), Kind::Counter));
        }
    }
    all.extend(COUNTERS.map(|counter| (labels(counter, &[]), Kind::Counter)));
    all.extend(GAUGES.map(|gauge| (labels(gauge, &[]), Kind::Gauge)));
    for number in all.len()..200 {
        all.push((labels("build_info", &[("part", &number.to_string())]), Kind::Gauge));
    }
    all
}

impl Service {
    fn new(store: &mut Store, number: usize) -> Self {
        let group = format!("service-{number}");
        let identify = |(labels, kind): &(Labels, Kind)| store.identify(&group, labels, *kind).expect("fits");
        let ids = definitions(number).iter().map(identify).collect();
        // A few are busy, most are not: requests a second.
        let load = 40.0 / (1.0 + number as f64);
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
        let memory = 60e6 + 100e6 * chance.next();
        Self { ids, values: vec![0.0; 200], load, chance, memory }
    }

    /// The values ten seconds later.
    fn go_on(&mut self, at_ms: i64) {
        let day = (at_ms as f64 / 86_400_000.0 * std::f64::consts::TAU).sin();
        let mut busy = 0.0;
        let width = BOUNDS.len() + 2 + STATUSES.len();
        for route in 0..ROUTES.len() {
            let expected = self.load * 10.0 * (1.0 + 0.8 * day) / f64::from(1 << route);
            let (buckets, rest) = self.values[route * width..][..width].split_at_mut(BOUNDS.len());
            for _ in 0..self.chance.events(expected) {
                // Log-normal around 20 ms, in nanoseconds as a clock measures it.
                let seconds = (((self.chance.normal() * 0.8).exp() * 0.02) * 1e9).round() / 1e9;
                busy += seconds;
                for (bucket, _) in buckets.iter_mut().zip(BOUNDS).filter(|(_, bound)| seconds <= *bound) {
                    *bucket += 1.0;
                }
                rest[0] += seconds;
                rest[1] += 1.0;
                let chance = self.chance.next();
                rest[2 + STATUSES.iter().position(|(_, share)| chance < *share).unwrap_or(0)] += 1.0;
            }
        }
        let own = &mut self.values[ROUTES.len() * width..];
        let hundredths = (busy * 30.0 + self.chance.next() * 4.0).round();
        own[0] = ((own[0] * 100.0).round() + hundredths) / 100.0;
        own[1] += (self.chance.events(0.3) * 4_096) as f64;
        own[2] += (self.chance.events(self.load) * 512) as f64;
        if self.chance.next() < 0.3 {
            self.memory = (self.memory + self.chance.normal() * 400e3).clamp(40e6, 400e6);
        }
        own[4] = (self.memory / 4_096.0).round() * 4_096.0;
        let open = self.chance.events(self.load / 4.0) as f64;
        own[5] = 20.0 + open;
        own[6] = 9.0;
        own[7] = open.min(10.0);
        own[8] = 10.0 - open.min(10.0);
        own[9] = 1.0;
        own[10] = 0.002 + (self.chance.next() * 1e6).round() / 1e9;
        own[11..].fill(1.0);
    }
}

/// Bits that Gorilla's encoding takes for a series, times and values (VLDB 2015, 4.1), in blocks of two hours.
#[derive(Clone, Copy, Default)]
struct Gorilla {
    at: i64,
    step: i64,
    bits: u64,
    window: Option<(u32, u32)>,
    count: u32,
}

impl Gorilla {
    fn add(&mut self, at: i64, value: f64) -> u64 {
        let bits = value.to_bits();
        let took = if self.count == 0 {
            self.window = None;
            64 + 14 + 64
        } else {
            let step = at - self.at;
            let time = match step - self.step {
                0 => 1,
                -63..=64 => 9,
                -255..=256 => 12,
                -2_047..=2_048 => 16,
                _ => 36,
            };
            self.step = step;
            let differing = bits ^ self.bits;
            let (lead, trail) = (differing.leading_zeros().min(31), differing.trailing_zeros());
            time + match self.window {
                _ if differing == 0 => 1,
                Some((l, t)) if lead >= l && trail >= t => 2 + u64::from(64 - l - t),
                _ => {
                    self.window = Some((lead, trail));
                    13 + u64::from(64 - lead - trail)
                }
            }
        };
        (self.at, self.bits, self.count) = (at, bits, (self.count + 1) % 720);
        took
    }
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let hours: i64 = arguments.next().and_then(|hours| hours.parse().ok()).unwrap_or(50);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = arguments.next().map_or_else(|| temporary.path().to_path_buf(), Into::into);
    if folder.join("lock").exists() {
        let now = START_MS + hours * HOUR_MS;
        let mut store = Store::open(&folder, Limits::default(), now).expect("opens");
        while store.maintain(now).expect("maintains") {}
        return queries(&store, now);
    }
    let before = resident_mb();
    let mut store = Store::open(&folder, Limits::default(), START_MS).expect("opens");
    let mut services: Vec<Service> = (0..SERVICES).map(|number| Service::new(&mut store, number)).collect();
    println!("{:.1} MB with 10,000 series and no sample", resident_mb() - before);
    let mut gorilla = vec![Gorilla::default(); SERVICES * 200];
    let (mut gorilla_bits, mut samples) = (0u64, 0u64);
    let (mut appending, mut keeping, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut journal_most, mut memory_most, mut resident_most) = (0u64, 0usize, 0f64);
    let mut jitter = Chance(77);
    let rounds = hours * HOUR_MS / INTERVAL_MS;
    let mut now = START_MS;
    for round in 0..rounds {
        for (number, service) in services.iter_mut().enumerate() {
            // Each target at its own time within the interval, a few milliseconds early or late.
            now = START_MS + round * INTERVAL_MS + number as i64 * 190 + (jitter.next() * 5.0) as i64;
            service.go_on(now);
            let values: Vec<(SeriesId, f64)> =
                service.ids.iter().copied().zip(service.values.iter().copied()).collect();
            for (series, (_, value)) in values.iter().enumerate() {
                gorilla_bits += gorilla[number * 200 + series].add(now, *value);
            }
            let begin = Instant::now();
            let appended = store.append(&values, now);
            appending += begin.elapsed();
            assert_eq!(appended.taken, 200);
            samples += 200;
        }
        loop {
            let begin = Instant::now();
            let more = store.maintain(now).expect("maintains");
            keeping += begin.elapsed();
            longest = longest.max(begin.elapsed());
            if !more {
                break;
            }
        }
        if round % 90 == 0 {
            let stats = store.stats();
            journal_most = journal_most.max(stats.journal_bytes);
            memory_most = memory_most.max(stats.window_bytes);
            resident_most = resident_most.max(resident_mb());
        }
    }
    let stats = store.stats();
    println!("{samples} samples of {} series in {hours} h", stats.series);
    for level in &stats.levels {
        let (name, blocks, bytes) = (level.level.name(), level.blocks, level.bytes as f64);
        let each = bytes / level.samples.max(1) as f64;
        println!("{name:<7} {blocks:>4} blocks {:>10.2} MB {each:>8.3} bytes a sample", bytes / 1e6);
    }
    for aside in &stats.set_aside {
        println!("set aside: {aside:?}");
    }
    println!("Gorilla alone {:>8.3} bytes a sample", gorilla_bits as f64 / 8.0 / samples as f64);
    println!("journal at most {:.2} MB", journal_most as f64 / 1e6);
    println!("windows in memory at most {:.2} MB", memory_most as f64 / 1e6);
    let own = (SERVICES * 200 * (size_of::<SeriesId>() + 8) + gorilla.len() * size_of::<Gorilla>()) as f64 / 1e6;
    println!(
        "resident at most {resident_most:.1} MB; {before:.1} MB were there before, {own:.1} MB are the example's own"
    );
    println!("append {:.1} µs a round of 200", appending.as_secs_f64() * 1e6 / (rounds * SERVICES as i64) as f64);
    println!("upkeep {:.2} s in all, {:.1} ms at most in one call", keeping.as_secs_f64(), millis(longest));
    queries(&store, now);
    drop(store);
    let begin = Instant::now();
    let store = Store::open(&folder, Limits::default(), now).expect("opens again");
    println!("opening takes {:.0} ms; {} series", millis(begin.elapsed()), store.stats().series);
}

fn queries(store: &Store, now: i64) {
    let named = |name: &str| Matcher::equal(NAME, name);
    let buckets = || named("http_request_duration_seconds_bucket");
    let one = || Matcher::equal("service", "service-3");
    let ten = || Matcher {
        label: "service".into(),
        test: Test::Like(Matcher::like("service-[0-9]").expect("an expression")),
    };
    let minutes = |count: i64| count * 60_000;
    let hours = |count: i64| count * HOUR_MS;
    let all: [(&str, Vec<Matcher>, i64, i64); 7] = [
        ("a gauge, 5 min", vec![named("process_resident_memory_bytes"), one()], minutes(5), 0),
        ("buckets of 10 services, 5 min", vec![buckets(), ten()], minutes(5), 0),
        ("buckets of 10 services, 24 h, each minute", vec![buckets(), ten()], hours(24), minutes(1)),
        ("buckets of 10 services, 24 h, raw", vec![buckets(), ten()], hours(24), 0),
        ("buckets of one service, 24 h, each minute", vec![buckets(), one()], hours(24), minutes(1)),
        ("buckets of one service, 90 d, each hour", vec![buckets(), one()], hours(24 * 90), hours(1)),
        ("all of one service, 90 d, each hour", vec![one()], hours(24 * 90), hours(1)),
    ];
    for (what, matchers, length, step) in all {
        let mut best = Duration::MAX;
        let (mut series, mut samples) = (0, 0);
        for _ in 0..5 {
            let begin = Instant::now();
            let found = store.select(&matchers, now - length, now, step, Keep::Last).expect("reads");
            best = best.min(begin.elapsed());
            (series, samples) = (found.len(), found.iter().map(|series| series.samples.len()).sum());
        }
        println!("{what:<44} {:>8.2} ms  {series} series, {samples} samples", millis(best));
    }
}
