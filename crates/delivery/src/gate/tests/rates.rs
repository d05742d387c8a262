//! The goals, as simulated: of 1,000 canaries of a good green under 1 % stopped, of a bad one under 5 % passed.

use crate::gate::Policy;
use crate::gate::simulation::{Canary, LIKE_BLUE, Outcomes, SAMPLE, Slot, simulate};

const TIMES: u32 = 1000;

fn canaries(requests_per_second: f64, green: Slot, blue: Slot) -> Outcomes {
    let canary = Canary { requests_per_second, weight: 0.1, green, blue: Some(blue) };
    simulate(&Policy::default(), &canary, TIMES, 7)
}

fn errors(errors: f64) -> Slot {
    Slot { errors, ..LIKE_BLUE }
}

#[track_caller]
fn good(requests_per_second: f64, both: f64) {
    let outcomes = canaries(requests_per_second, errors(both), errors(both));
    assert!(outcomes.stopped < TIMES / 100 && outcomes.held < TIMES / 100, "{outcomes:?}");
}

#[track_caller]
fn bad(requests_per_second: f64, green: Slot, blue: Slot) {
    let outcomes = canaries(requests_per_second, green, blue);
    assert!(outcomes.passed < TIMES / 20, "{outcomes:?}");
}

#[test]
fn a_good_green_is_not_stopped() {
    good(SAMPLE, 0.002);
    good(SAMPLE, 0.005);
    good(10.0, 0.002);
}

#[test]
fn a_green_with_twice_the_errors_of_blue_does_not_pass() {
    bad(SAMPLE, errors(0.01), errors(0.005));
}

#[test]
fn a_worse_one_does_not_pass_with_less_traffic_either() {
    bad(SAMPLE, errors(0.02), errors(0.005));
    bad(5.0, errors(0.02), errors(0.002));
    bad(2.0, errors(0.05), errors(0.005));
}

#[test]
fn a_green_that_is_a_second_slower_does_not_pass() {
    bad(2.0, Slot { slow: 1.0, ..LIKE_BLUE }, LIKE_BLUE);
    bad(SAMPLE, Slot { slow: 0.05, ..LIKE_BLUE }, LIKE_BLUE);
}
