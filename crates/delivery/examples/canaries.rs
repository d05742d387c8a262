//! Prints how often a gate is wrong, by traffic, as Markdown: `cargo run -p mana-delivery --release --example canaries`.

use mana_delivery::gate::{Counts, Policy, Reading, Verdict, judge};

#[path = "../src/gate/simulation.rs"]
mod simulation;

use simulation::{Canary, LIKE_BLUE, SAMPLE, Slot, simulate};

/// Of every kind and traffic; a share is good to about 0.3 points.
const TIMES: u32 = 2000;
const SEED: u64 = 1;
const REQUESTS_PER_SECOND: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, SAMPLE, 100.0];

fn main() {
    println!(
        "{TIMES} canaries each, 10 % for 10 min, extended to 30 min, looked at every 10 s. `held`: neither passed nor"
    );
    println!(
        "stopped, green goes back to 0 % and a person decides. `errors`: failed requests of green's users per canary."
    );
    let errors = |errors| Slot { errors, ..LIKE_BLUE };
    let slow = |slow| Slot { slow, ..LIKE_BLUE };
    let default = Policy::default();
    let strict = Policy { strict: true, ..Policy::default() };
    table("good: 0.2 % errors, blue as well", &default, errors(0.002), Some(errors(0.002)));
    table("good: 0.5 % errors, blue as well", &default, errors(0.005), Some(errors(0.005)));
    table("good: 0.2 % errors, no blue", &default, errors(0.002), None);
    table("good, `strict`: 0.2 % errors, blue as well", &strict, errors(0.002), Some(errors(0.002)));
    table("good: 3 % slow, blue as well", &default, slow(0.03), Some(slow(0.03)));
    table("bad: 1 % errors, blue 0.5 %", &default, errors(0.01), Some(errors(0.005)));
    table("bad, `strict`: 1 % errors, blue 0.5 %", &strict, errors(0.01), Some(errors(0.005)));
    table("bad: 1 % errors, no blue", &default, errors(0.01), None);
    table("bad: 2 % errors, blue 0.5 %", &default, errors(0.02), Some(errors(0.005)));
    table("bad: 2 % errors, blue 0.2 %", &default, errors(0.02), Some(errors(0.002)));
    table("bad: 5 % errors, blue 0.5 %", &default, errors(0.05), Some(errors(0.005)));
    table("bad: 5 % slow, blue 0.5 %", &default, slow(0.05), Some(slow(0.005)));
    table("bad: every answer a second later", &default, slow(1.0), Some(slow(0.005)));
    table("both at 5 % errors (stopped as `environment`)", &default, errors(0.05), Some(errors(0.05)));
}

fn table(title: &str, policy: &Policy, green: Slot, blue: Option<Slot>) {
    println!("\n### {title}\n");
    println!("| requests/s | of green in 10 min | passed | stopped | held | until the verdict | errors |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for requests_per_second in REQUESTS_PER_SECOND {
        let canary = Canary { requests_per_second, weight: 0.1, green, blue };
        let outcomes = simulate(policy, &canary, TIMES, SEED);
        let share = |count: u32| 100.0 * f64::from(count) / f64::from(TIMES);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let mean = |sum: u64| sum as f64 / f64::from(TIMES);
        println!(
            "| {requests_per_second} | {} | {:.1} % | {:.1} % | {:.1} % | {:.0} s | {:.1} |",
            requests_per_second * 60.0,
            share(outcomes.passed),
            share(outcomes.stopped),
            share(outcomes.held),
            mean(outcomes.seconds),
            mean(outcomes.errors),
        );
    }
}
