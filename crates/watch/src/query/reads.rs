//! What an expression reads, so that a rule which can never fire is named when it is loaded.

use super::error::QueryError;
use super::parse;
use super::plan::{Function, Operator, Plan, Selector, Window};
use super::window::RangeFunction;
use crate::series::Matcher;

/// A selector of an expression.
#[derive(Debug, Clone)]
pub struct Read {
    /// What the series have to be like.
    pub matchers: Vec<Matcher>,
    /// As it was written.
    pub text: String,
    /// How far before the time of the answer its samples are looked at, in milliseconds; 0 where only the last one is.
    pub range_ms: i64,
    /// Something comes of it where there is no series as well (`absent(…)`, the second part of `unless`).
    pub may_be_missing: bool,
}

/// All selectors of an expression, in the order in which they are written.
///
/// # Errors
/// The text is no expression that is supported.
pub fn metrics_of(text: &str) -> Result<Vec<Read>, QueryError> {
    let mut reads = Vec::new();
    collect(&parse::plan(text)?, 0, false, &mut reads);
    Ok(reads)
}

/// The selectors that fit no series, if the expression can have no result because of that; empty if it can have one.
///
/// # Errors
/// The text is no expression that is supported.
pub fn never_fires(text: &str, exists: impl Fn(&[Matcher]) -> bool) -> Result<Vec<String>, QueryError> {
    Ok(missing(&parse::plan(text)?, exists))
}

/// As [`never_fires`].
pub(super) fn missing(plan: &Plan, exists: impl Fn(&[Matcher]) -> bool) -> Vec<String> {
    if possible(plan, &exists) {
        return Vec::new();
    }
    let mut reads = Vec::new();
    collect(plan, 0, false, &mut reads);
    reads.into_iter().filter(|read| !exists(&read.matchers)).map(|read| read.text).collect()
}

/// How far an expression looks back at most, as of [`Read::range_ms`].
pub(super) fn longest_range_ms(plan: &Plan) -> i64 {
    let mut reads = Vec::new();
    collect(plan, 0, false, &mut reads);
    reads.iter().map(|read| read.range_ms).max().unwrap_or_default()
}

fn collect(plan: &Plan, range: i64, may_be_missing: bool, reads: &mut Vec<Read>) {
    let push = |selector: &Selector, range_ms, may_be_missing, reads: &mut Vec<Read>| {
        let (matchers, text) = (selector.matchers.clone(), selector.shown.clone());
        reads.push(Read { matchers, text, range_ms, may_be_missing });
    };
    let window = |window: &Window, may_be_missing, reads: &mut Vec<Read>| match window {
        Window::Stored { selector, range: own } => push(selector, range.saturating_add(*own), may_be_missing, reads),
        Window::Subquery { of, range: own, .. } => collect(of, range.saturating_add(*own), may_be_missing, reads),
    };
    match plan {
        Plan::Number(_) | Plan::Text(_) | Plan::Pattern(_) => {}
        Plan::Select(selector) => push(selector, range, may_be_missing, reads),
        Plan::Range(of) => window(of, may_be_missing, reads),
        Plan::Negate(of) => collect(of, range, may_be_missing, reads),
        Plan::Binary(of) => {
            collect(&of.left, range, may_be_missing, reads);
            collect(&of.right, range, may_be_missing || of.operator == Operator::Unless, reads);
        }
        Plan::Aggregate(of) => {
            if let Some(parameter) = &of.parameter {
                collect(parameter, range, may_be_missing, reads);
            }
            collect(&of.of, range, may_be_missing, reads);
        }
        Plan::Call(function, arguments) => {
            let missing = may_be_missing || matches!(function, Function::Absent | Function::Scalar);
            for argument in arguments {
                collect(argument, range, missing, reads);
            }
        }
        Plan::OverTime(of) => {
            if let Some(parameter) = &of.parameter {
                collect(parameter, range, may_be_missing, reads);
            }
            window(&of.window, may_be_missing || of.function == RangeFunction::Absent, reads);
        }
    }
}

/// Whether something can come of it, as far as the existence of series says.
fn possible(plan: &Plan, exists: &impl Fn(&[Matcher]) -> bool) -> bool {
    match plan {
        Plan::Number(_) | Plan::Text(_) | Plan::Pattern(_) => true,
        Plan::Select(selector) | Plan::Range(Window::Stored { selector, .. }) => exists(&selector.matchers),
        Plan::Range(Window::Subquery { of, .. }) | Plan::Negate(of) => possible(of, exists),
        Plan::Binary(of) => match of.operator {
            Operator::Or => possible(&of.left, exists) || possible(&of.right, exists),
            Operator::Unless => possible(&of.left, exists),
            _ => possible(&of.left, exists) && possible(&of.right, exists),
        },
        Plan::Aggregate(of) => possible(&of.of, exists),
        Plan::Call(function, arguments) => match function {
            Function::Absent | Function::Scalar => true,
            Function::HistogramQuantile => arguments.iter().all(|argument| possible(argument, exists)),
            _ => arguments.first().is_none_or(|argument| possible(argument, exists)),
        },
        Plan::OverTime(of) => {
            of.function == RangeFunction::Absent
                || match &of.window {
                    Window::Stored { selector, .. } => exists(&selector.matchers),
                    Window::Subquery { of, .. } => possible(of, exists),
                }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, NAME};

    #[test]
    fn selectors_are_told_in_order_with_those_that_may_be_missing() {
        let reads = metrics_of("rate(a{b=\"c\"}[5m]) > 1 unless absent(d) or max_over_time(sum(e)[1h:]) ").unwrap();
        let told: Vec<(&str, bool)> = reads.iter().map(|read| (read.text.as_str(), read.may_be_missing)).collect();
        assert_eq!(told, [("a{b=\"c\"}", false), ("d", true), ("e", false)]);
        assert_eq!(reads.iter().map(|read| read.range_ms).collect::<Vec<_>>(), [300_000, 0, 3_600_000]);
        assert!(reads[0].matchers.iter().all(|matcher| matcher.fits(&Labels::new([(NAME, "a"), ("b", "c")]))));
    }

    #[test]
    fn a_rule_that_can_never_fire_says_which_series_it_misses() {
        let exists = |matchers: &[Matcher]| matchers.iter().all(|matcher| matcher.fits(&Labels::new([(NAME, "up")])));
        for (text, missing) in [
            ("up == 0", vec![]),
            ("nope == 0", vec!["nope"]),
            ("up / nope > 1", vec!["nope"]),
            ("up or nope", vec![]),
            ("up unless nope", vec![]),
            ("nope unless up", vec!["nope"]),
            ("absent(nope)", vec![]),
            ("absent_over_time(nope[5m])", vec![]),
            ("sum(rate(nope[5m])) > 0", vec!["nope"]),
            ("histogram_quantile(0.9, nope)", vec!["nope"]),
            ("up > scalar(nope)", vec![]),
            ("vector(1)", vec![]),
        ] {
            assert_eq!(never_fires(text, exists).unwrap(), missing, "{text}");
        }
    }
}
