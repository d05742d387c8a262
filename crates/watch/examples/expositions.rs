//! How fast expositions are read: `cargo run --release -p mana-watch --example expositions`.
//!
//! Reads each recorded exposition over and over, once with a target that remembers the last time and once with one that does not.

use std::hint::black_box;
use std::time::Duration;

use mana_watch::exposition::{Clash, Format, Lines, Target};

const EACH: Duration = Duration::from_millis(500);

fn main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expositions");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).expect("the folder").flatten().map(|entry| entry.path()).collect();
    names.sort();
    println!("{:<42} {:>8} {:>8} {:>10} {:>14}", "", "kB", "samples", "MB/s", "samples/s");
    for path in names {
        let body = std::fs::read(&path).expect("a file");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let format = if name.ends_with("openmetrics") { Format::OpenMetrics } else { Format::Text };
        let samples = read(&mut target(), &body, format, &mut Vec::new());

        let (mut known, mut points) = (target(), Vec::with_capacity(samples));
        report(&format!("{name}, again"), &body, samples, || {
            points.clear();
            read(&mut known, &body, format, &mut points);
        });
        report(&format!("{name}, new"), &body, samples, || {
            points.clear();
            read(&mut target(), &body, format, &mut points);
        });
        report(&format!("{name}, lines only"), &body, samples, || {
            black_box(Lines::new(&body, format).flatten().count());
        });
        println!("{:<42} {:>8} bytes of memory a series", "", known.bytes() / samples.max(1));
    }
}

fn target() -> Target<u64> {
    Target::new([("service", "shop"), ("instance", "shop-1")], Clash::Ours)
}

fn read(
    target: &mut Target<u64>,
    body: &[u8],
    format: Format,
    points: &mut Vec<mana_watch::exposition::Point<u64>>,
) -> usize {
    let mut next = 0;
    let read = target.read(body, format, 0, points, |first| {
        black_box(first.labels);
        next += 1;
        Some(next)
    });
    black_box(read.expect("an exposition").scraped)
}

fn report(name: &str, body: &[u8], samples: usize, mut round: impl FnMut()) {
    let begin = processor_time();
    let mut rounds = 0_u32;
    while processor_time().saturating_sub(begin) < EACH {
        round();
        rounds += 1;
    }
    let seconds = processor_time().saturating_sub(begin).as_secs_f64() / f64::from(rounds);
    #[expect(clippy::cast_precision_loss, reason = "sizes of small files")]
    let (bytes, samples) = (body.len() as f64, samples as f64);
    println!(
        "{name:<42} {:>8.1} {samples:>8} {:>10.0} {:>14.0}",
        bytes / 1e3,
        bytes / seconds / 1e6,
        samples / seconds
    );
}

/// What this thread took of a processor so far: others on the machine do not count.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a time since the begin")
}
