use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::gate::hits::Hits;
use crate::gate::{Counts, Policy, Reading, Verdict, judge};

/// Requests from none to billions, each magnitude as often as the next, and shares likewise: near the limits is where it matters.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "any counts will do"
)]
fn counts() -> impl Strategy<Value = Counts> {
    (0.0..10.0_f64, -4.0..0.1_f64, 0.0..1.2_f64, -4.0..0.1_f64).prop_map(|(size, errors, timed, slow)| {
        let part = |whole: u64, share: f64| (whole as f64 * share.min(1.0)) as u64;
        let requests = 10_f64.powf(size) as u64 - 1;
        let timed = part(requests, timed);
        Counts { requests, errors: part(requests, 10_f64.powf(errors)), timed, slow: part(timed, 10_f64.powf(slow)) }
    })
}

fn readings() -> impl Strategy<Value = Reading> {
    (0..2400_u64, counts(), proptest::option::of(counts()), proptest::bool::weighted(0.9)).prop_map(
        |(elapsed, green, blue, complete)| Reading {
            elapsed: Duration::from_secs(elapsed),
            window: Duration::from_mins(10),
            green,
            blue,
            complete,
        },
    )
}

fn policies() -> impl Strategy<Value = Policy> {
    (
        prop_oneof![Just(0.01), Just(0.0), Just(1.0), 0.0..1.0_f64],
        prop_oneof![Just(0.05), Just(0.0), Just(1.0), 0.0..1.0_f64],
        any::<bool>(),
    )
        .prop_map(|(error_share, slow_share, strict)| Policy {
            error_share,
            slow_share,
            strict,
            ..Policy::default()
        })
}

/// How good a verdict is for green.
fn rank(policy: &Policy, reading: &Reading) -> u8 {
    match judge(policy, reading).verdict {
        Verdict::Pass => 2,
        Verdict::NoData | Verdict::Inconclusive => 1,
        Verdict::Fail | Verdict::Environment => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn only_a_whole_window_of_enough_requests_without_a_gap_passes(policy in policies(), reading in readings()) {
        let judgement = judge(&policy, &reading);
        if judgement.verdict == Verdict::Pass {
            prop_assert!(reading.complete && reading.elapsed >= reading.window);
            prop_assert!(reading.green.requests >= policy.least_requests);
            prop_assert!(policy.slow_share >= 1.0 || reading.green.timed >= policy.least_requests);
            prop_assert!(judgement.findings.iter().all(|finding| finding.met), "{:#?}", judgement.findings);
            let share = Hits::errors(reading.green).share();
            prop_assert!(share < policy.error_share || reading.green.errors == 0 || policy.error_share >= 1.0);
        }
    }

    #[test]
    fn one_more_error_of_green_never_helps_it(policy in policies(), reading in readings()) {
        let green = Counts { errors: (reading.green.errors + 1).min(reading.green.requests), ..reading.green };
        let worse = rank(&policy, &Reading { green, ..reading });
        prop_assert!(worse <= rank(&policy, &reading));
    }

    #[test]
    fn one_more_slow_answer_of_green_never_helps_it(policy in policies(), reading in readings()) {
        let green = Counts { slow: (reading.green.slow + 1).min(reading.green.timed), ..reading.green };
        let worse = rank(&policy, &Reading { green, ..reading });
        prop_assert!(worse <= rank(&policy, &reading));
    }

    #[test]
    fn one_more_error_of_blue_never_harms_green(policy in policies(), reading in readings(), blue in counts()) {
        let more = Counts { errors: (blue.errors + 1).min(blue.requests), ..blue };
        let with = |blue| rank(&policy, &Reading { blue: Some(blue), ..reading });
        prop_assert!(with(more) >= with(blue));
    }

    #[test]
    fn strict_is_never_laxer(policy in policies(), reading in readings()) {
        let strict = rank(&Policy { strict: true, ..policy.clone() }, &reading);
        let lax = rank(&Policy { strict: false, ..policy }, &reading);
        prop_assert!(strict <= lax);
    }

    #[test]
    fn a_gap_never_passes(policy in policies(), reading in readings()) {
        let rank = rank(&policy, &Reading { complete: false, ..reading });
        prop_assert!(rank < 2);
    }

    #[test]
    fn a_judgement_survives_its_journal(policy in policies(), reading in readings()) {
        let judgement = judge(&policy, &reading);
        prop_assert!(judgement.findings.iter().all(|finding| finding.value.is_finite() && finding.limit.is_finite()));
        let read: serde_json::Value = serde_json::from_str(&serde_json::to_string(&judgement).unwrap()).unwrap();
        prop_assert_eq!(read["findings"].as_array().unwrap().len(), judgement.findings.len());
    }
}

#[test]
fn a_billion_requests_are_judged_as_fast_as_a_hundred() {
    let billion = 1_000_000_000;
    for share in [0, 1, 1000, 1_000_000, 9_999_999, 10_000_001, 500_000_000, billion] {
        for scale in [1, 18_000_000_000] {
            let of = |requests: u64| Counts { requests, errors: share * scale, timed: requests, slow: share * scale };
            let reading = Reading {
                elapsed: Duration::from_mins(10),
                window: Duration::from_mins(10),
                green: of(billion * scale),
                blue: Some(of(billion * scale)),
                complete: true,
            };
            let started = Instant::now();
            judge(&Policy { strict: true, ..Policy::default() }, &reading);
            // Some milliseconds; the bound leaves room for a machine that is busy with other things.
            assert!(started.elapsed() < Duration::from_millis(500), "{share} of a billion: {:?}", started.elapsed());
        }
    }
}
