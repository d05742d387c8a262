//! How long the dashboard's queries take: time on a processor. `cargo run --release -p mana-watch --example query` prints the figures over series in
//! memory, with `-- SERIES_FOLDER` those over a store that the example `beside` has filled.

use std::path::Path;
use std::time::Duration;

use mana_watch::query::{Limits, query_range};
use mana_watch::series::Keep;
use mana_watch::store::Store;
use mana_watch::{Labels, Matcher, Memory, Sample, Series, Source};

const DAY_MS: i64 = 86_400_000;
/// For one figure.
const LONG_ENOUGH: Duration = Duration::from_millis(600);
const BOUNDS: [&str; 12] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// So many services with 4 instances and 12 buckets each, with a sample every `beat` milliseconds.
fn histograms(services: usize, beat: i64, samples: i64) -> Memory {
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut all = Vec::new();
    for (service, instance) in (0..services).flat_map(|service| (0..4).map(move |instance| (service, instance))) {
        let mut counts = [0.0; BOUNDS.len()];
        let mut columns = vec![Vec::new(); BOUNDS.len()];
        for n in 0..samples {
            let mut sum = 0.0;
            for (count, column) in counts.iter_mut().zip(&mut columns) {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                sum += f64::from((chance >> 62) as u32);
                *count += sum;
                column.push(Sample { at: n * beat + instance * 131, value: *count });
            }
        }
        for (bound, samples) in BOUNDS.into_iter().zip(columns) {
            let (service, instance) = (format!("service-{service}"), format!("10.0.0.{instance}:8080"));
            let labels = [
                ("__name__", "x_bucket"),
                ("le", bound),
                ("service", service.as_str()),
                ("instance", instance.as_str()),
            ];
            all.push(Series { labels: Labels::new(labels), samples });
        }
    }
    Memory(all)
}

/// Time on a processor, so that what else the machine does counts little.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says how long a thread was busy");
    Duration::from_nanos(stat.split(' ').next().and_then(|busy| busy.parse().ok()).expect("nanoseconds"))
}

/// The mean of as many rounds as it takes, since that time is told in steps of some milliseconds.
fn mean(mut run: impl FnMut()) -> Duration {
    let start = busy();
    let mut rounds = 0;
    while busy().saturating_sub(start) < LONG_ENOUGH {
        run();
        rounds += 1;
    }
    busy().saturating_sub(start) / rounds
}

fn measure(what: &str, source: &dyn Source, text: &str, (from, to): (i64, i64), step: i64) {
    let limits = Limits::default();
    let took = mean(|| {
        let answer = query_range(source, text, from, to, step, &limits);
        std::hint::black_box(answer.expect("the query is supported").to_json());
    });
    println!("{what}: {took:.1?}\n    {text}");
}

#[expect(clippy::disallowed_methods, reason = "the rim of a program of its own")]
fn stored(folder: &Path) {
    let now = jiff::Timestamp::now().as_millisecond();
    let store = Store::open(folder, mana_watch::store::Limits::default(), now).expect("a store");
    let all = store.select(&[Matcher::equal("instance", "blue-1")], now - 90 * DAY_MS, now, DAY_MS, Keep::Last);
    let newest = all.expect("samples").iter().filter_map(|one| Some(one.samples.last()?.at)).max().expect("a sample");
    let end = newest / 60_000 * 60_000;
    let p95 = |matchers: &str, over: &str| {
        format!(
            "histogram_quantile(0.95, sum by (service, le) (rate(http_request_duration_seconds_bucket{matchers}[{over}])))"
        )
    };
    measure("24 h, 10 services, every 60 s", &store, &p95("", "5m"), (end - DAY_MS, end), 60_000);
    let one = p95("{service=\"service-0\"}", "4h");
    measure("90 d, 1 service, every 4 h", &store, &one, (end - 90 * DAY_MS, end), 4 * 3_600_000);
}

fn main() {
    if let Some(folder) = std::env::args().nth(1) {
        return stored(Path::new(&folder));
    }
    let day = histograms(10, 10_000, 8_640);
    let (hours, minute) = ((300_000, DAY_MS), 60_000);
    for text in [
        "histogram_quantile(0.95, sum by (service, le) (rate(x_bucket[5m])))",
        "sum by (service) (rate(x_bucket{le=\"+Inf\"}[5m]))",
        "sum by (service) (x_bucket)",
        "max_over_time(x_bucket[5m])",
        "avg_over_time(x_bucket[5m])",
    ] {
        measure("24 h, 10 services, every 60 s", &day, text, hours, minute);
    }
    let quarter = histograms(1, 3_600_000, 90 * 24);
    let hourly = "histogram_quantile(0.95, sum by (service, le) (rate(x_bucket[4h])))";
    measure("90 d by the hour, 1 service, every 4 h", &quarter, hourly, (300_000, 90 * DAY_MS), 4 * 3_600_000);
}
