//! Limits of one's own.

use std::time::Duration;

use super::super::{Counts, Judgement, Policy, Reading, Series, SeriesLimit, Verdict, judge, judge_all};

const WINDOW: Duration = Duration::from_mins(10);

fn reading(errors: u64) -> Reading {
    let counts = |errors| Counts { requests: 5_000, errors, timed: 5_000, slow: 0 };
    Reading { elapsed: WINDOW, window: WINDOW, green: counts(errors), blue: Some(counts(0)), complete: true }
}

fn policy(max: Option<f64>, min: Option<f64>) -> Policy {
    let limit = SeriesLimit { name: "queue".into(), query: "max(jobs_waiting)".into(), max, min };
    Policy { series: vec![limit], ..Policy::default() }
}

fn given(value: Option<f64>) -> Vec<Series> {
    vec![Series { name: "queue".into(), value, why: value.is_none().then(|| "nobody measures it".into()) }]
}

fn judged(max: Option<f64>, min: Option<f64>, value: Option<f64>) -> Judgement {
    judge_all(&policy(max, min), &reading(0), &given(value))
}

#[test]
fn a_value_keeps_its_limits_or_fails_and_the_figure_stands_beside_its_limit() {
    for (max, min, value, verdict) in [
        (Some(5.0), None, 5.0, Verdict::Pass),
        (Some(5.0), None, 5.1, Verdict::Fail),
        (None, Some(2.0), 2.0, Verdict::Pass),
        (None, Some(2.0), 1.9, Verdict::Fail),
        (Some(5.0), Some(2.0), 3.0, Verdict::Pass),
        (Some(5.0), Some(2.0), -3.0, Verdict::Fail),
    ] {
        let judgement = judged(max, min, Some(value));
        assert_eq!(judgement.verdict, verdict, "{value} against {max:?}, {min:?}");
        let own: Vec<_> =
            judgement.findings.iter().filter(|finding| finding.figure.starts_with("gate queue")).collect();
        assert_eq!(own.len(), usize::from(max.is_some()) + usize::from(min.is_some()));
        assert!(own.iter().all(|finding| (finding.value - value).abs() < f64::EPSILON));
        assert_eq!(own.iter().all(|finding| finding.met), verdict == Verdict::Pass);
    }
}

#[test]
fn what_is_not_known_never_passes() {
    let unknown =
        [judged(Some(5.0), None, None), judged(Some(5.0), None, Some(f64::NAN)), judged(None, None, Some(1.0))];
    let unasked = judge_all(&policy(Some(5.0), None), &reading(0), &[]);
    for judgement in unknown.into_iter().chain([unasked, judged(Some(f64::INFINITY), None, Some(1.0))]) {
        assert_eq!(judgement.verdict, Verdict::NoData);
        let last = judgement.findings.last().unwrap();
        assert_eq!((last.figure.as_str(), last.met), ("gate queue, measured", false));
    }
}

#[test]
fn what_the_requests_say_is_not_made_better_by_it() {
    for value in [Some(1.0), Some(9.0), None] {
        assert_eq!(judge_all(&policy(Some(5.0), None), &reading(2_500), &given(value)).verdict, Verdict::Fail);
    }
    let early = Reading { elapsed: Duration::from_secs(30), ..reading(0) };
    let verdict = |value| judge_all(&policy(Some(5.0), None), &early, &given(value)).verdict;
    assert_eq!(verdict(Some(1.0)), judge(&Policy::default(), &early).verdict, "the window is not over");
    assert_eq!(verdict(Some(9.0)), Verdict::Fail, "at once");
}
