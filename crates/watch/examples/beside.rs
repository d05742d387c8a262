//! Fills a store and a Prometheus with the same samples, so that both can be asked the same: ninety days of one service's latency histogram and the last day of nine more, a sample every ten seconds.
//! `beside SERIES_FOLDER PORT`; the Prometheus at the port takes remote writes. The last sample is of this minute.

#[path = "../tests/prometheus/server.rs"]
#[expect(dead_code, reason = "the test starts one and asks it; here one is there")]
mod server;

use std::path::PathBuf;

use mana_watch::series::NAME;
use mana_watch::store::{Kind, Limits, SeriesId, Store};
use mana_watch::{Labels, Sample, Series};
use server::Prometheus;

/// Upper bounds of a histogram's buckets, in seconds.
const BOUNDS: [&str; 12] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const SERVICES: usize = 10;
const BEAT_MS: i64 = 10_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// What is told at once.
const SLICE_MS: i64 = 30 * 60 * 1000;

struct One {
    labels: Labels,
    id: SeriesId,
    weight: f64,
    value: f64,
    from: i64,
}

#[expect(clippy::disallowed_methods, reason = "the rim of a program of its own")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map(PathBuf::from).expect("the folder of the store, as the first argument");
    let port = arguments.next().and_then(|port| port.parse().ok()).expect("Prometheus' port, as the second argument");
    let prometheus = Prometheus::at(port);
    let now = jiff::Timestamp::now().as_millisecond() / 60_000 * 60_000;
    let begin = now - 90 * DAY_MS;
    let mut store = Store::open(&folder, Limits::default(), begin).expect("a store");
    let mut all = series(&mut store, begin, now);
    let (mut chance, mut samples) = (1_u64, 0_usize);
    for from in (begin..now).step_by(usize::try_from(SLICE_MS).expect("a short slice")) {
        let mut slice: Vec<Series> =
            all.iter().map(|one| Series { labels: one.labels.clone(), samples: Vec::new() }).collect();
        for at in (from..(from + SLICE_MS).min(now)).step_by(usize::try_from(BEAT_MS).expect("a short beat")) {
            let mut round = Vec::new();
            for (one, told) in all.iter_mut().zip(&mut slice).filter(|(one, _)| one.from <= at) {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                one.value += (one.weight * f64::from((chance >> 40) as u32 & 0xff) / 128.0).floor();
                round.push((one.id, one.value));
                told.samples.push(Sample { at, value: one.value });
            }
            samples += round.len();
            let appended = store.append(&round, at);
            assert!(appended.unwritten.is_none(), "{appended:?}");
        }
        slice.retain(|one| !one.samples.is_empty());
        prometheus.write(&slice);
        while store.maintain(from + SLICE_MS).expect("upkeep") {}
    }
    let stats = store.stats();
    let bytes: u64 = stats.levels.iter().map(|level| level.bytes).sum::<u64>() + stats.journal_bytes;
    println!("{{\"samples\": {samples}, \"store_bytes\": {bytes}}}");
}

fn series(store: &mut Store, begin: i64, now: i64) -> Vec<One> {
    let mut all = Vec::new();
    for service in 0..SERVICES {
        let name = format!("service-{service}");
        for (number, bound) in BOUNDS.into_iter().enumerate() {
            let labels = Labels::new([
                (NAME, "http_request_duration_seconds_bucket"),
                ("le", bound),
                ("service", name.as_str()),
                ("instance", "blue-1"),
            ]);
            let id = store.identify(&name, &labels, Kind::Counter).expect("room for it");
            let weight = 40.0 * (f64::from(u32::try_from(number).unwrap_or(0)) + 1.0);
            let from = if service == 0 { begin } else { now - DAY_MS };
            all.push(One { labels, id, weight, value: 0.0, from });
        }
    }
    all
}
