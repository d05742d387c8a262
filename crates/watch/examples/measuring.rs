//! What a round of measuring this machine costs: `cargo run --release -p mana-watch --example measuring`.

use std::hint::black_box;
use std::time::Duration;

use mana_watch::Labels;
use mana_watch::gather::{Gathering, Sink};
use mana_watch::host::Host;
use mana_watch::process::{Depth, Machine, Process};

const EACH: Duration = Duration::from_millis(500);

fn main() {
    let mut host = Host::here();
    report("host", |sink| host.measure(sink));
    report("disk space", |sink| host.space(sink));
    let pid = std::process::id();
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a stat");
    let start_ticks = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    let machine = Machine::here().expect("the machine");
    let mut process = Process::find(pid, start_ticks.expect("a start"), machine).expect("this process");
    report("process", |sink| {
        process.measure(Depth::Plain, sink);
    });
    report("process, its pages too", |sink| {
        process.measure(Depth::Pages, sink);
    });
}

/// Rounds as they are in service: with a memory of which series there are.
fn report(name: &str, mut measure: impl FnMut(&mut dyn Sink)) {
    let mut gathering = Gathering::new([("host", "here")]);
    let mut points = Vec::new();
    let id_of = |labels: Labels| Some(black_box(labels).iter().count());
    let (begin, mut rounds, mut samples) = (processor_time(), 0_u32, 0);
    while processor_time().saturating_sub(begin) < EACH {
        points.clear();
        samples = gathering.gather(0, &mut points, id_of, &mut measure).taken;
        rounds += 1;
    }
    let microseconds = processor_time().saturating_sub(begin).as_secs_f64() / f64::from(rounds) * 1e6;
    println!("{name:<24} {samples:>5} samples {microseconds:>8.0} µs a round");
}

/// What this thread took of a processor so far: others on the machine do not count.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a time since the begin")
}
