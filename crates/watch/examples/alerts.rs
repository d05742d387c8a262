//! What alerts cost: an hour of fifty services, with the rules that everybody has and objectives for each, when all is well and when
//! everything burns. `cargo run --release -p mana-watch --example alerts`

use std::time::Instant;

use mana_watch::Labels;
use mana_watch::alert::slo::{Good, Slo};
use mana_watch::alert::{Book, Comparison, Condition, Event, Outcome, Selector, Span, State, What, builtin};

const SERVICES: usize = 50;
const HOUR: i64 = 3_600_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rules = builtin::rules().to_vec();
    for number in 0..SERVICES {
        let slo =
            Slo { service: format!("s{number}"), good: Good::Answered, objective: 0.999, window: Span::from_days(30) };
        rules.extend(slo.rules()?);
    }
    let names: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    let burning: Vec<(Labels, f64)> =
        (0..200).map(|number| (Labels::new([("service", format!("s{number}"))]), 1.0)).collect();
    for (what, rows, silences) in
        [("all is well", Vec::new(), 0), ("200 alerts of each of 5 rules, 50 silences", burning, 50)]
    {
        let mut state = State::default();
        let book = Book { rules: rules.clone(), ..Book::default() };
        state.step(&Event { at: 0, what: What::RulesChanged(Box::new(book)) });
        for number in 0..silences {
            let condition =
                Condition { label: "service".into(), is: Comparison::Like, value: format!("none-{number}.*") };
            let alerts = Selector::new(vec![condition])?;
            state.step(&Event {
                at: 0,
                what: What::Silence { alerts, until: 2 * HOUR, by: "me".into(), reason: "bench".into() },
            });
        }
        let (started, mut steps, mut effects) = (Instant::now(), 0_u32, 0);
        for second in 0..3_600 {
            let at = second * 1_000;
            if second % 10 == 0 {
                for (number, rule) in names.iter().enumerate() {
                    let rows = if number < 5 { rows.clone() } else { Vec::new() };
                    let event =
                        Event { at, what: What::Evaluated { rule: rule.clone(), outcome: Outcome::Values(rows) } };
                    effects += state.step(&event).effects.len();
                    steps += 1;
                }
            }
            effects += state.step(&Event { at, what: What::Tick }).effects.len();
            steps += 1;
        }
        let took = started.elapsed();
        println!(
            "{what}: an hour of {} rules in {took:.2?}, {:.1?} a step, {:.3} % of a core, {effects} effects",
            names.len(),
            took / steps,
            took.as_secs_f64() / 36.0,
        );
    }
    Ok(())
}
