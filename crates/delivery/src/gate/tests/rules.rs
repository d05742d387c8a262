use std::time::Duration;

use crate::gate::Verdict::{Environment, Fail, Inconclusive, NoData, Pass};
use crate::gate::{Counts, Policy, Reading, Verdict, judge};

const MINUTE: u64 = 60;
const END: u64 = 10 * MINUTE;
const LAST: u64 = 30 * MINUTE;

/// Errors of requests, all of them timed and none slow.
fn errors(errors: u64, requests: u64) -> Counts {
    Counts { requests, errors, timed: requests, slow: 0 }
}

fn slow(slow: u64, timed: u64) -> Counts {
    Counts { requests: timed, errors: 0, timed, slow }
}

fn at(seconds: u64, green: Counts, blue: impl Into<Option<Counts>>) -> Reading {
    Reading {
        elapsed: Duration::from_secs(seconds),
        window: Duration::from_secs(END),
        green,
        blue: blue.into(),
        complete: true,
    }
}

#[track_caller]
fn check_with(policy: &Policy, reading: Reading, expected: Verdict) {
    let judgement = judge(policy, &reading);
    assert_eq!(judgement.verdict, expected, "{reading:#?}\n{:#?}", judgement.findings);
    if expected != Pass && expected != Inconclusive {
        assert!(judgement.findings.iter().any(|finding| !finding.met), "{reading:?} {expected:?} without a reason");
    }
    if expected == Pass {
        assert!(judgement.findings.iter().all(|finding| finding.met), "{:#?}", judgement.findings);
    }
}

#[track_caller]
fn check(reading: Reading, expected: Verdict) {
    check_with(&Policy::default(), reading, expected);
}

#[test]
fn fails_at_once_where_even_the_lower_bound_is_over_the_limit() {
    for (least, requests) in [(4, 20), (5, 50), (6, 100), (11, 300)] {
        check(at(10, errors(least, requests), None), Fail);
        check(at(10, errors(least, requests), errors(0, 9 * requests)), Fail);
        let spared = judge(&Policy::default(), &at(10, errors(least - 1, requests), None)).verdict;
        assert_ne!(spared, Fail, "{least} of {requests}");
    }
    check(at(10, errors(1, 1), None), NoData);
    check(at(10, errors(2, 2), None), Fail);
}

#[test]
fn fails_at_the_end_with_three_errors_and_the_limit_reached() {
    check(at(END, errors(3, 300), None), Fail);
    check(at(END, errors(3, 300), errors(0, 2700)), Fail);
    check(at(END - 1, errors(3, 300), None), Inconclusive);
    check(at(END, errors(2, 200), None), Inconclusive);
    check(at(LAST, errors(2, 200), None), Inconclusive);
}

#[test]
fn what_may_be_blues_share_and_chance_gets_the_extension() {
    check(at(END, errors(3, 300), errors(13, 2700)), Inconclusive);
    check(at(LAST, errors(3, 300), errors(13, 2700)), Fail);
}

#[test]
fn clearly_worse_than_blue_fails_below_the_limit_and_before_the_end() {
    check(at(120, errors(9, 1000), errors(3, 9000)), Fail);
    check(at(120, errors(4, 1000), errors(0, 9000)), Fail);
    check(at(120, errors(2, 1000), errors(0, 9000)), Inconclusive);
    check(at(120, errors(9, 1000), errors(60, 9000)), Inconclusive);
    // A tenth more at a great many requests is told apart from blue, and is not what a gate is for.
    check(at(END, errors(2200, 1_000_000), errors(18_000, 9_000_000)), Pass);
    check(at(END, errors(4000, 1_000_000), errors(18_000, 9_000_000)), Fail);
}

#[test]
fn passes_after_the_whole_window_only() {
    check(at(END, errors(0, 300), errors(5, 2700)), Pass);
    check(at(END - 1, errors(0, 300), errors(5, 2700)), Inconclusive);
    check(at(END, errors(0, 300), None), Pass);
    check(at(END, errors(0, 100), None), Pass);
    check(at(LAST, errors(0, 100), None), Pass);
    check(at(END, errors(15, 3000), errors(135, 27_000)), Pass);
}

#[test]
fn with_traffic_enough_a_pass_has_to_be_shown() {
    // Below the limit and not clearly worse than blue, and still as likely to be bad.
    check(at(END, errors(24, 3000), errors(135, 27_000)), Inconclusive);
    // Near its limit, but just as blue.
    check(at(END, errors(27, 3000), errors(300, 27_000)), Pass);
    check(at(END, errors(27, 3000), None), Inconclusive);
    check(at(END, errors(12, 3000), None), Pass);
}

#[test]
fn silence_is_not_success() {
    check(at(END, Counts::default(), None), NoData);
    check(at(LAST, Counts::default(), errors(0, 2700)), NoData);
    check(at(END, errors(0, 99), errors(0, 900)), NoData);
    check(at(END, errors(3, 99), errors(0, 0)), NoData);
    check(Reading { complete: false, ..at(END, errors(0, 3000), errors(0, 27_000)) }, NoData);
    check(Reading { complete: false, ..at(END, errors(40, 3900), errors(0, 27_000)) }, NoData);
    // No answer was timed: nothing is known of their times.
    check(at(END, Counts { requests: 300, ..Counts::default() }, None), NoData);
    let none_needed = Policy { least_requests: 0, ..Policy::default() };
    check_with(&none_needed, at(END, Counts::default(), None), NoData);
}

#[test]
fn a_gap_does_not_protect_a_green_that_burns() {
    check(Reading { complete: false, ..at(30, errors(6, 100), errors(0, 900)) }, Fail);
}

#[test]
fn both_breaching_is_the_environment() {
    check(at(60, errors(6, 100), errors(45, 900)), Environment);
    check(at(END, errors(60, 3000), errors(540, 27_000)), Environment);
    // Blue breaches as well, but green is clearly worse.
    check(at(60, errors(6, 100), errors(9, 900)), Fail);
    check(at(60, errors(50, 100), errors(45, 900)), Fail);
    // Blue alone breaches: this green mends it.
    check(at(END, errors(1, 1000), errors(450, 9000)), Pass);
}

#[test]
fn strict_needs_the_upper_bound_below_the_limit() {
    let strict = Policy { strict: true, ..Policy::default() };
    for (count, least) in [(0, 299), (1, 473), (2, 628)] {
        check_with(&strict, at(END, errors(count, least), None), Pass);
        check_with(&strict, at(END, errors(count, least - 1), None), Inconclusive);
        check(at(END, errors(count, least - 1), None), Pass);
    }
}

#[test]
fn slow_answers_are_judged_with_the_same_care() {
    check(at(70, slow(9, 50), None), Fail);
    check(at(70, slow(6, 50), None), NoData);
    check(at(END, slow(15, 300), slow(0, 2700)), Fail);
    check(at(END, slow(1, 300), slow(10, 2700)), Pass);
    check(at(70, slow(20, 100), slow(180, 900)), Environment);
    // Below the limit, and far beyond twice blue's.
    check(at(END, slow(90, 3000), slow(135, 27_000)), Fail);
    // Twice blue's share is what a fresh process may have.
    check(at(END, slow(30, 3000), slow(135, 27_000)), Pass);
    // Ten times blue's share, of next to nothing.
    check(at(END, slow(15, 3000), slow(13, 27_000)), Pass);
}

#[test]
fn errors_of_the_first_minute_count_before_their_times_do() {
    let warming = Counts { requests: 300, errors: 11, timed: 0, slow: 0 };
    check(at(50, warming, None), Fail);
}

#[test]
fn a_limit_of_one_allows_everything_and_zero_nothing() {
    let any = Policy { error_share: 1.0, slow_share: 1.0, strict: true, ..Policy::default() };
    let untimed = Counts { requests: 300, errors: 300, timed: 0, slow: 0 };
    check_with(&any, at(END, untimed, None), Pass);
    check_with(&any, at(END, untimed, errors(0, 2700)), Fail);

    let none = Policy { error_share: 0.0, slow_share: 0.0, ..Policy::default() };
    check_with(&none, at(END, errors(0, 300), errors(0, 2700)), Pass);
    check_with(&none, at(10, errors(1, 300_000), None), Fail);
    check_with(&none, at(END, slow(1, 300_000), None), Fail);
    // No number of requests proves a share of 0.
    check_with(&Policy { strict: true, ..none }, at(LAST, errors(0, 1_000_000), None), Inconclusive);
}

#[test]
fn what_makes_no_sense_is_no_data() {
    check(at(END, errors(301, 300), None), NoData);
    check(at(END, errors(0, 300), errors(2701, 2700)), NoData);
    check(at(END, Counts { requests: 300, errors: 0, timed: 301, slow: 0 }, None), NoData);
    check(at(END, Counts { requests: 300, errors: 0, timed: 200, slow: 201 }, None), NoData);
    for limit in [-0.1, 5.0, f64::NAN, f64::INFINITY] {
        check_with(&Policy { error_share: limit, ..Policy::default() }, at(END, errors(0, 3000), None), NoData);
        check_with(&Policy { slow_share: limit, ..Policy::default() }, at(END, errors(0, 3000), None), NoData);
    }
}

#[test]
fn a_blue_with_hardly_any_traffic_proves_nothing() {
    check(at(END, errors(3, 1000), errors(0, 10)), Pass);
    check(at(END, errors(3, 1000), errors(0, 0)), Pass);
    check(at(END, errors(3, 1000), errors(10, 10)), Pass);
}

#[test]
fn a_window_longer_than_the_longest_ends_when_it_ends() {
    let policy = Policy { longest: Duration::from_mins(1), ..Policy::default() };
    check_with(&policy, at(END - 1, errors(3, 300), errors(13, 2700)), Inconclusive);
    check_with(&policy, at(END, errors(3, 300), errors(13, 2700)), Fail);
    check_with(&policy, at(END, errors(0, 300), errors(13, 2700)), Pass);
}

#[test]
fn the_figures_are_told_with_their_limits() {
    let judgement = judge(&Policy::default(), &at(60, errors(6, 100), errors(9, 900)));
    let told: Vec<_> = judgement
        .findings
        .iter()
        .map(|finding| {
            let met = if finding.met { "" } else { " !" };
            format!("{}: {:.4} / {:.4}{met}", finding.figure, finding.value, finding.limit)
        })
        .collect();
    assert_eq!(
        told,
        [
            "complete: 1.0000 / 1.0000",
            "requests: 100.0000 / 100.0000",
            "timed requests: 100.0000 / 100.0000",
            "errors: 0.0600 / 0.0100 !",
            "errors, at least: 0.0113 / 0.0100 !",
            "slow: 0.0000 / 0.0500",
            "slow, odds of worse than blue: 1.0000 / 200.0000",
        ]
    );
}
