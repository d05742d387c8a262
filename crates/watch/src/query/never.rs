//! Whether an expression can give anything at all, as far as the values say that its parts can have: `up > 1` never does.

use super::error::QueryError;
use super::parse;
use super::plan::{Aggregation, Binary, Function, Kind, Operator, Plan, Selector, Window};
use super::window::RangeFunction;
use crate::series::{NAME, Test};
use crate::store::is_counter_name;

/// Metrics that are 0 or 1.
const YES_OR_NO: [&str; 9] = [
    "up",
    "probe_success",
    "pg_up",
    "redis_up",
    "mana_dependency_up",
    "mana_channel_up",
    "mana_rollout_failed",
    "mana_sqlite_whole",
    "redis_rdb_last_bgsave_status",
];

/// From the least to the greatest value that something can have, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span(f64, f64);

const ANY: Span = Span(f64::NEG_INFINITY, f64::INFINITY);
const NOT_NEGATIVE: Span = Span(0.0, f64::INFINITY);
const ONE: Span = Span(1.0, 1.0);

/// Why nothing can ever come of an expression, whatever is measured: its comparison that can never be true. Nothing where something can.
///
/// # Errors
/// The text is no expression that is supported.
pub fn never_true(text: &str) -> Result<Option<String>, QueryError> {
    let mut why = None;
    Ok(if span(&parse::plan(text)?, &mut why).is_none() { why } else { None })
}

/// What values it can have; nothing where it can have none, and then why.
fn span(plan: &Plan, why: &mut Option<String>) -> Option<Span> {
    Some(match plan {
        Plan::Number(number) => Span(*number, *number),
        Plan::Text(_) | Plan::Pattern(_) => ANY,
        Plan::Select(selector) => of_series(selector),
        Plan::Range(window) => of_window(window, why)?,
        Plan::Negate(of) => {
            let Span(least, most) = span(of, why)?;
            Span(-most, -least)
        }
        Plan::Binary(binary) => of_binary(binary, why)?,
        Plan::Aggregate(of) => {
            let inner = span(&of.of, why)?;
            match of.operator {
                Aggregation::Sum => summed(inner),
                Aggregation::Count => Span(1.0, f64::INFINITY),
                Aggregation::Group => ONE,
                Aggregation::Stddev | Aggregation::Stdvar => NOT_NEGATIVE,
                Aggregation::Avg | Aggregation::Min | Aggregation::Max | Aggregation::Topk | Aggregation::Bottomk => {
                    inner
                }
                Aggregation::Quantile => ANY,
            }
        }
        Plan::Call(function, arguments) => match function {
            Function::Absent => ONE,
            Function::Time => NOT_NEGATIVE,
            // What is not there is no number, which compares with nothing.
            Function::Scalar => arguments.first().and_then(|of| span(of, &mut None)).unwrap_or(ANY),
            Function::Vector
            | Function::Sort
            | Function::SortDescending
            | Function::LabelReplace
            | Function::LabelJoin => span(arguments.first()?, why)?,
            _ => match arguments.first() {
                Some(of) => span(of, why).map(|_| ANY)?,
                None => ANY,
            },
        },
        Plan::OverTime(of) => {
            if of.function == RangeFunction::Absent {
                return Some(ONE);
            }
            let inner = of_window(&of.window, why)?;
            match of.function {
                RangeFunction::Avg | RangeFunction::Min | RangeFunction::Max | RangeFunction::Last => inner,
                RangeFunction::Sum => summed(inner),
                RangeFunction::Rate
                | RangeFunction::Increase
                | RangeFunction::Irate
                | RangeFunction::Changes
                | RangeFunction::Resets
                | RangeFunction::Count
                | RangeFunction::Stddev
                | RangeFunction::Stdvar => NOT_NEGATIVE,
                RangeFunction::Present => ONE,
                _ => ANY,
            }
        }
    })
}

fn of_window(window: &Window, why: &mut Option<String>) -> Option<Span> {
    match window {
        Window::Stored { selector, .. } => Some(of_series(selector)),
        Window::Subquery { of, .. } => span(of, why),
    }
}

fn of_series(selector: &Selector) -> Span {
    let name = selector.matchers.iter().find_map(|matcher| match &matcher.test {
        Test::Equal(name) if matcher.label == NAME => Some(name.as_str()),
        _ => None,
    });
    match name {
        Some(name) if YES_OR_NO.contains(&name) => Span(0.0, 1.0),
        Some(name) if is_counter_name(name) || name.ends_with("_bytes") => NOT_NEGATIVE,
        _ => ANY,
    }
}

/// Of one or more.
fn summed(Span(least, most): Span) -> Span {
    Span(if least >= 0.0 { least } else { f64::NEG_INFINITY }, if most <= 0.0 { most } else { f64::INFINITY })
}

fn of_binary(binary: &Binary, why: &mut Option<String>) -> Option<Span> {
    let operator = binary.operator;
    if operator.is_set() {
        let left = span(&binary.left, why);
        return match operator {
            Operator::Unless => left,
            Operator::And => span(&binary.right, why).and(left),
            _ => match (left, span(&binary.right, why)) {
                (Some(Span(least, most)), Some(Span(other, greatest))) => {
                    Some(Span(least.min(other), most.max(greatest)))
                }
                (one, other) => one.or(other),
            },
        };
    }
    let (left, right) = (span(&binary.left, why)?, span(&binary.right, why)?);
    if operator.compares() {
        let scalars = binary.left.kind() == Kind::Scalar && binary.right.kind() == Kind::Scalar;
        if binary.gives_bool || scalars {
            return Some(Span(0.0, 1.0));
        }
        if !holds(operator, left, right) {
            let sign = sign(operator);
            *why = Some(format!("{} {sign} {} can never be true", shown(left), shown(right)));
            return None;
        }
        return Some(if binary.left.kind() == Kind::Scalar { right } else { left });
    }
    let not_negative = left.0 >= 0.0 && right.0 >= 0.0;
    Some(match operator {
        Operator::Add => Span(left.0 + right.0, left.1 + right.1),
        Operator::Sub => Span(left.0 - right.1, left.1 - right.0),
        Operator::Mul if not_negative && left.1.is_finite() && right.1.is_finite() => {
            Span(left.0 * right.0, left.1 * right.1)
        }
        Operator::Mul | Operator::Div if not_negative => NOT_NEGATIVE,
        _ => ANY,
    })
}

/// Whether it can.
#[expect(clippy::float_cmp, reason = "the language compares exactly")]
fn holds(operator: Operator, left: Span, right: Span) -> bool {
    match operator {
        Operator::Equal => left.0 <= right.1 && right.0 <= left.1,
        Operator::NotEqual => !(left.0 == left.1 && right.0 == right.1 && left.0 == right.0),
        Operator::Greater => left.1 > right.0,
        Operator::GreaterEqual => left.1 >= right.0,
        Operator::Less => left.0 < right.1,
        Operator::LessEqual => left.0 <= right.1,
        _ => true,
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal => "==",
        Operator::NotEqual => "!=",
        Operator::Greater => ">",
        Operator::GreaterEqual => ">=",
        Operator::Less => "<",
        _ => "<=",
    }
}

#[expect(clippy::float_cmp, reason = "of one number both are the same")]
fn shown(Span(least, most): Span) -> String {
    match (least.is_finite(), most.is_finite()) {
        _ if least == most => least.to_string(),
        (true, true) => format!("(a value from {least} to {most})"),
        (true, false) => format!("(a value of at least {least})"),
        (false, true) => format!("(a value of at most {most})"),
        (false, false) => "(a value)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::builtin;

    #[test]
    fn a_comparison_that_can_never_be_true_is_told_from_one_that_can() {
        for (text, why) in [
            ("up > 1", Some("(a value from 0 to 1) > 1")),
            ("max by (service) (up) == 2", Some("(a value from 0 to 1) == 2")),
            ("rate(http_requests_total[5m]) < 0", Some("(a value of at least 0) < 0")),
            ("sum(increase(a_total[5m])) / sum(increase(b_total[5m])) < 0", Some("(a value of at least 0) < 0")),
            ("count(jobs) < 1", Some("(a value of at least 1) < 1")),
            ("absent(jobs) > 1", Some("1 > 1")),
            ("vector(1) > 2", Some("1 > 2")),
            ("1 - up > 1", Some("(a value from 0 to 1) > 1")),
            ("jobs > 5 and up > 1", Some("(a value from 0 to 1) > 1")),
            ("avg_over_time(up[1h]) > 99", Some("(a value from 0 to 1) > 99")),
            ("up > 1 or up < 0", Some("(a value from 0 to 1) < 0")),
            ("up > 1 or jobs > 5", None),
            ("jobs > 5 unless up > 1", None),
            ("up == 0", None),
            ("up > bool 1", None),
            ("jobs < 0", None),
            ("delta(jobs[5m]) < 0", None),
            ("time() - a_timestamp_seconds > 60", None),
            ("vector(1)", None),
            ("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.1", None),
        ] {
            let found = never_true(text).expect("an expression");
            assert_eq!(found, why.map(|why| format!("{why} can never be true")), "{text}");
        }
    }

    #[test]
    fn every_built_in_rule_can_fire() {
        for rule in builtin::rules() {
            assert_eq!(never_true(&rule.expression).expect("an expression"), None, "{}", rule.name);
        }
    }
}
