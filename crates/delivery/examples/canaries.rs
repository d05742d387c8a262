//! Prints how often a gate is wrong, by traffic, as Markdown: `cargo run -p mana-delivery --release --example canaries`.

use mana_delivery::gate::{Counts, Policy, Reading, Verdict, judge};

#[path = "../src/gate/simulation.rs"]
mod simulation;

use simulation::{Canary, Slot, simulate};

fn main() {
    let times: u32 = 2000;
    let kinds = [
        ("0.2/0.2", 0.002, 0.002, 0.005, true),
        ("0.5/0.5", 0.005, 0.005, 0.005, true),
        ("1/0.5", 0.01, 0.005, 0.005, false),
        ("2/0.2", 0.02, 0.002, 0.005, false),
        ("2/0.5", 0.02, 0.005, 0.005, false),
        ("5/0.5", 0.05, 0.005, 0.005, false),
    ];
    for (name, green, blue, slow, _good) in kinds {
        println!("## {name}");
        for rate in [2.0, 5.0, 10.0, 20.0, 25.0, 30.0, 50.0, 100.0, 200.0] {
            let canary = Canary { requests_per_second: rate, weight: 0.1, green: Slot { errors: green, slow }, blue: Slot { errors: blue, slow: 0.005 } };
            let o = simulate(&Policy::default(), &canary, times, 1);
            let pc = |n: u32| 100.0 * f64::from(n) / f64::from(times);
            println!("{rate:>5} pass {:6.2} stop {:6.2} held {:6.2}  {:6.0}s {:6.1} errors", pc(o.passed), pc(o.stopped), pc(o.held), o.seconds as f64 / f64::from(times), o.errors as f64 / f64::from(times));
        }
    }
}
