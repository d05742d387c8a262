//! Fills a store with the last day of ten services' latency histograms, of four instances each, and with the ninety days of one of these instances, a sample
//! every ten seconds until this minute, and writes the same samples down for Prometheus: `beside SERIES_FOLDER TEXT_FOLDER`. Each text is one of OpenMetrics with what goes into one of
//! Prometheus' blocks: `promtool tsdb create-blocks-from openmetrics --max-block-duration=486h`. The store syncs each round, so a folder in memory is
//! filled within seconds, any other within as long as the disk takes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use mana_watch::Labels;
use mana_watch::series::NAME;
use mana_watch::store::{Kind, Limits, SeriesId, Store};

/// Upper bounds of a histogram's buckets, in seconds.
const BOUNDS: [&str; 12] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const METRIC: &str = "http_request_duration_seconds_bucket";
const SERVICES: usize = 10;
const INSTANCES: usize = 4;
const BEAT_MS: i64 = 10_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// Between two times of upkeep: less than what the store takes for a jump of the clock.
const UPKEEP_MS: i64 = 20 * 60 * 1000;
/// What Prometheus joins to one block at most, from a multiple of it on.
const BLOCK_MS: i64 = 486 * 3_600_000;

struct One {
    service: String,
    instance: String,
    bound: &'static str,
    /// From its first sample on, since the store forgets series that have none.
    id: Option<SeriesId>,
    weight: f64,
    value: f64,
    from: i64,
    /// Those of the text that is next.
    untold: Vec<(i64, f64)>,
}

#[expect(clippy::disallowed_methods, reason = "the rim of a program of its own")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map(PathBuf::from).expect("the folder of the store, as the first argument");
    let texts = arguments.next().map(PathBuf::from).expect("the folder of the texts, as the second argument");
    let now = jiff::Timestamp::now().as_millisecond() / 60_000 * 60_000;
    let begin = now - 90 * DAY_MS;
    let mut store = Store::open(&folder, Limits::default(), begin).expect("a store");
    let mut all = series(begin, now);
    let (mut chance, mut samples, mut round) = (1_u64, 0_usize, Vec::new());
    let mut at = begin;
    while at < now {
        round.clear();
        for one in all.iter_mut().filter(|one| one.from <= at) {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            one.value += (one.weight * f64::from((chance >> 40) as u32 & 0xff) / 128.0).floor();
            one.untold.push((at, one.value));
            let One { service, instance, bound, .. } = one;
            let id = *one.id.get_or_insert_with(|| identify(&mut store, service, instance, bound));
            round.push((id, one.value));
        }
        samples += round.len();
        let appended = store.append(&round, at);
        assert!(appended.taken == round.len() && appended.unwritten.is_none(), "{appended:?}");
        at += BEAT_MS;
        if at % UPKEEP_MS == 0 {
            while store.maintain(at).expect("upkeep") {}
        }
        if at % BLOCK_MS == 0 || at >= now {
            tell(&texts, at, &mut all);
        }
    }
    println!("{{\"samples\": {samples}}}");
}

fn tell(texts: &Path, until: i64, all: &mut [One]) {
    let file = File::create(texts.join(format!("{until}.txt"))).expect("the folder of the texts takes a file");
    let mut text = BufWriter::new(file);
    for one in all {
        let One { service, instance, bound, .. } = one;
        for (at, value) in one.untold.drain(..) {
            writeln!(
                text,
                "{METRIC}{{le=\"{bound}\",service=\"{service}\",instance=\"{instance}\"}} {value} {}",
                at / 1000
            )
            .expect("the text takes a line");
        }
    }
    writeln!(text, "# EOF").and_then(|()| text.flush()).expect("the text takes its end");
}

fn identify(store: &mut Store, service: &str, instance: &str, bound: &str) -> SeriesId {
    let labels = [(NAME, METRIC), ("le", bound), ("service", service), ("instance", instance)];
    store.identify(&format!("{service}/{instance}"), &Labels::new(labels), Kind::Counter).expect("room for it")
}

fn series(begin: i64, now: i64) -> Vec<One> {
    let mut all = Vec::new();
    for (service, instance) in (0..SERVICES).flat_map(|service| (0..INSTANCES).map(move |instance| (service, instance)))
    {
        let from = if (service, instance) == (0, 0) { begin } else { now - DAY_MS };
        let (service, instance) = (format!("service-{service}"), format!("blue-{}", instance + 1));
        for (number, bound) in (1_u32..).zip(BOUNDS) {
            let (service, instance, weight) = (service.clone(), instance.clone(), 40.0 * f64::from(number));
            all.push(One { service, instance, bound, id: None, weight, value: 0.0, from, untold: Vec::new() });
        }
    }
    all
}
