//! From text to plan: parsed by `promql-parser`, then resolved and checked here, since what is evaluated is less than what is parsed.
//!
//! To add a function: name it in [`function`] or [`over_time`], say what its arguments are, compute it, and give it a line in `docs/QUERY.md`.

use std::time::{Duration, UNIX_EPOCH};

use promql_parser::label::{MatchOp, Matchers};
use promql_parser::parser::{self, AtModifier, Expr, LabelModifier, Offset, VectorMatchCardinality, token};

use super::date::Part;
use super::error::QueryError;
use super::guard;
use super::limits::MAX_DEPTH;
use super::plan::{
    Aggregate, Aggregation, At, Binary, Function, Group, Kind, Matching, Operator, OverTime, Plan, Selector, When,
    Window,
};
use super::window::RangeFunction;
use crate::series::{Matcher, NAME, Test};

/// What the text asks for.
pub(super) fn plan(text: &str) -> Result<Plan, QueryError> {
    guard::check(text)?;
    let parsed = parser::parse(text).map_err(QueryError::Syntax)?;
    lower(&parsed, 0)
}

/// The matchers of `name{label="value"}`, as the API's `match[]` gives them.
///
/// # Errors
/// It is something else.
pub fn matchers(text: &str) -> Result<Vec<Matcher>, QueryError> {
    match plan(text)? {
        Plan::Select(Selector { matchers, when: When { offset: 0, at: None }, .. }) => Ok(matchers),
        _ => Err(QueryError::Syntax("a selector is wanted, such as name{label=\"value\"}".to_owned())),
    }
}

fn lower(expression: &Expr, depth: usize) -> Result<Plan, QueryError> {
    if depth >= MAX_DEPTH {
        return Err(QueryError::TooLong { what: "levels", limit: MAX_DEPTH });
    }
    let depth = depth + 1;
    Ok(match expression {
        Expr::Paren(paren) => lower(&paren.expr, depth)?,
        Expr::NumberLiteral(number) => Plan::Number(number.val),
        Expr::StringLiteral(text) => Plan::Text(text.val.clone()),
        Expr::VectorSelector(vector) => Plan::Select(selector(vector)?),
        Expr::MatrixSelector(matrix) => {
            Plan::Range(Window::Stored { selector: selector(&matrix.vs)?, range: milliseconds(matrix.range)? })
        }
        Expr::Subquery(subquery) => Plan::Range(Window::Subquery {
            of: Box::new(wanted(Kind::Vector, "a subquery", lower(&subquery.expr, depth)?)?),
            when: when(subquery.offset.as_ref(), subquery.at.as_ref())?,
            range: milliseconds(subquery.range)?,
            step: subquery.step.map(milliseconds).transpose()?,
        }),
        Expr::Unary(unary) => Plan::Negate(Box::new(scalar_or_vector("a sign", lower(&unary.expr, depth)?)?)),
        Expr::Binary(binary) => lower_binary(binary, depth)?,
        Expr::Aggregate(aggregate) => lower_aggregate(aggregate, depth)?,
        Expr::Call(call) => lower_call(call, depth)?,
        Expr::Extension(_) => return Err(QueryError::Unsupported("an extension".to_owned())),
    })
}

fn milliseconds(duration: Duration) -> Result<i64, QueryError> {
    i64::try_from(duration.as_millis())
        .ok()
        .filter(|milliseconds| (1..=guard::MAX_DURATION_MS).contains(milliseconds))
        .ok_or_else(|| QueryError::Syntax("a duration is from a millisecond to a hundred years".to_owned()))
}

fn when(offset: Option<&Offset>, at: Option<&AtModifier>) -> Result<When, QueryError> {
    let offset = match offset {
        None => 0,
        Some(Offset::Pos(duration)) => milliseconds(*duration)?,
        Some(Offset::Neg(duration)) => -milliseconds(*duration)?,
    };
    let at = match at {
        None => None,
        Some(AtModifier::Start) => Some(At::Start),
        Some(AtModifier::End) => Some(At::End),
        Some(AtModifier::At(time)) => {
            let (after, sign) = match time.duration_since(UNIX_EPOCH) {
                Ok(after) => (after, 1),
                Err(before) => (before.duration(), -1),
            };
            let milliseconds = i64::try_from(after.as_millis()).ok().filter(|ms| *ms <= super::params::MAX_TIME_MS);
            Some(At::Time(sign * milliseconds.ok_or_else(|| QueryError::Syntax("the time after @ is too far".into()))?))
        }
    };
    Ok(When { offset, at })
}

fn selector(vector: &parser::VectorSelector) -> Result<Selector, QueryError> {
    let Matchers { matchers, or_matchers } = &vector.matchers;
    if !or_matchers.is_empty() {
        return Err(QueryError::Unsupported("`or` between matchers".to_owned()));
    }
    let named = vector.name.iter().map(|name| Ok(Matcher::equal(NAME, name)));
    let others = matchers.iter().map(|matcher| {
        let like = || {
            Matcher::like(&matcher.value)
                .map_err(|error| QueryError::Syntax(format!("{:?} is no regular expression: {error}", matcher.value)))
        };
        let test = match matcher.op {
            MatchOp::Equal => Test::Equal(matcher.value.clone()),
            MatchOp::NotEqual => Test::NotEqual(matcher.value.clone()),
            MatchOp::Re(_) => Test::Like(like()?),
            MatchOp::NotRe(_) => Test::Unlike(like()?),
        };
        Ok(Matcher { label: matcher.name.clone(), test })
    });
    Ok(Selector {
        matchers: named.chain(others).collect::<Result<_, QueryError>>()?,
        when: when(vector.offset.as_ref(), vector.at.as_ref())?,
        shown: vector.to_string(),
    })
}

fn lower_binary(binary: &parser::BinaryExpr, depth: usize) -> Result<Plan, QueryError> {
    let operator = match binary.op.id() {
        token::T_ADD => Operator::Add,
        token::T_SUB => Operator::Sub,
        token::T_MUL => Operator::Mul,
        token::T_DIV => Operator::Div,
        token::T_MOD => Operator::Mod,
        token::T_POW => Operator::Pow,
        token::T_ATAN2 => Operator::Atan2,
        token::T_EQLC => Operator::Equal,
        token::T_NEQ => Operator::NotEqual,
        token::T_GTR => Operator::Greater,
        token::T_LSS => Operator::Less,
        token::T_GTE => Operator::GreaterEqual,
        token::T_LTE => Operator::LessEqual,
        token::T_LAND => Operator::And,
        token::T_LOR => Operator::Or,
        token::T_LUNLESS => Operator::Unless,
        _ => return Err(QueryError::Unsupported(format!("the operator `{}`", binary.op))),
    };
    let place = format!("the operator `{}`", binary.op);
    let left = scalar_or_vector(&place, lower(&binary.lhs, depth)?)?;
    let right = scalar_or_vector(&place, lower(&binary.rhs, depth)?)?;
    let (mut matching, mut gives_bool) = (Matching::default(), false);
    if let Some(modifier) = &binary.modifier {
        if modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some() {
            return Err(QueryError::Unsupported("`fill`".to_owned()));
        }
        gives_bool = modifier.return_bool;
        match &modifier.matching {
            Some(LabelModifier::Include(labels)) => {
                matching = Matching { on: true, labels: labels.labels.clone(), ..matching }
            }
            Some(LabelModifier::Exclude(labels)) => matching.labels.clone_from(&labels.labels),
            None => {}
        }
        matching.group = match &modifier.card {
            VectorMatchCardinality::ManyToOne(labels) => Group::Left(labels.labels.clone()),
            VectorMatchCardinality::OneToMany(labels) => Group::Right(labels.labels.clone()),
            VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => Group::None,
        };
    }
    let scalar = [&left, &right].into_iter().any(|side| side.kind() == Kind::Scalar);
    if operator.is_set() && (scalar || !matches!(matching.group, Group::None)) {
        return Err(QueryError::Syntax(format!("{place} is for two vectors, without group_left or group_right")));
    }
    if gives_bool && !operator.compares() {
        return Err(QueryError::Syntax(format!("{place} is no comparison and takes no `bool`")));
    }
    if operator.compares() && !gives_bool && left.kind() == Kind::Scalar && right.kind() == Kind::Scalar {
        return Err(QueryError::Syntax("a comparison of two scalars needs `bool`".to_owned()));
    }
    if scalar && (matching.on || !matching.labels.is_empty() || !matches!(matching.group, Group::None)) {
        return Err(QueryError::Syntax(format!("{place} matches labels between two vectors only")));
    }
    Ok(Plan::Binary(Box::new(Binary { operator, left, right, matching, gives_bool })))
}

fn lower_aggregate(aggregate: &parser::AggregateExpr, depth: usize) -> Result<Plan, QueryError> {
    let operator = match aggregate.op.id() {
        token::T_SUM => Aggregation::Sum,
        token::T_AVG => Aggregation::Avg,
        token::T_MIN => Aggregation::Min,
        token::T_MAX => Aggregation::Max,
        token::T_COUNT => Aggregation::Count,
        token::T_GROUP => Aggregation::Group,
        token::T_STDDEV => Aggregation::Stddev,
        token::T_STDVAR => Aggregation::Stdvar,
        token::T_TOPK => Aggregation::Topk,
        token::T_BOTTOMK => Aggregation::Bottomk,
        token::T_QUANTILE => Aggregation::Quantile,
        _ => return Err(QueryError::Unsupported(format!("the aggregation `{}`", aggregate.op))),
    };
    let place = format!("`{}`", aggregate.op);
    let parameter = match &aggregate.param {
        Some(parameter) => Some(wanted(Kind::Scalar, &place, lower(parameter, depth)?)?),
        None => None,
    };
    let takes = matches!(operator, Aggregation::Topk | Aggregation::Bottomk | Aggregation::Quantile);
    if takes != parameter.is_some() {
        return Err(QueryError::Syntax(format!("{place} has the wrong number of arguments")));
    }
    let (without, labels) = match &aggregate.modifier {
        Some(LabelModifier::Include(labels)) => (false, labels.labels.clone()),
        Some(LabelModifier::Exclude(labels)) => (true, labels.labels.clone()),
        None => (false, Vec::new()),
    };
    let of = wanted(Kind::Vector, &place, lower(&aggregate.expr, depth)?)?;
    Ok(Plan::Aggregate(Box::new(Aggregate { operator, without, labels, parameter, of })))
}

fn lower_call(call: &parser::Call, depth: usize) -> Result<Plan, QueryError> {
    let name = call.func.name;
    let place = format!("the function `{name}`");
    let arguments = call.args.args.iter().map(|argument| lower(argument, depth)).collect::<Result<Vec<_>, _>>()?;
    if let Some((function, scalar_at)) = over_time(name) {
        let (mut window, mut parameter) = (None, None);
        let count = arguments.len();
        for (at, argument) in arguments.into_iter().enumerate() {
            if scalar_at == Some(at) {
                parameter = Some(wanted(Kind::Scalar, &place, argument)?);
            } else if let Plan::Range(range) = argument {
                window = Some(range);
            } else {
                return Err(wrong(Kind::Matrix, &place, &argument));
            }
        }
        return match window {
            Some(window) if parameter.is_some() == scalar_at.is_some() && count <= 2 => {
                Ok(Plan::OverTime(Box::new(OverTime { function, window, parameter })))
            }
            _ => Err(QueryError::Syntax(format!("{place} has the wrong number of arguments"))),
        };
    }
    let Some((function, kinds, least)) = function(name) else {
        return Err(QueryError::Unsupported(place));
    };
    // The last kind stands for all further ones of a function that takes any number.
    let most = if matches!(function, Function::LabelJoin) { usize::MAX } else { kinds.len() };
    if !(least..=most).contains(&arguments.len()) {
        return Err(QueryError::Syntax(format!("{place} has the wrong number of arguments")));
    }
    let kinds = kinds.iter().chain(std::iter::repeat(&Kind::Text));
    let arguments = arguments
        .into_iter()
        .zip(kinds)
        .map(|(argument, kind)| wanted(*kind, &place, argument))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Plan::Call(function, super::labels::checked(function, arguments)?))
}

/// A function over a span of time, and which of its arguments is a scalar.
fn over_time(name: &str) -> Option<(RangeFunction, Option<usize>)> {
    Some(match name {
        "rate" => (RangeFunction::Rate, None),
        "increase" => (RangeFunction::Increase, None),
        "delta" => (RangeFunction::Delta, None),
        "irate" => (RangeFunction::Irate, None),
        "idelta" => (RangeFunction::Idelta, None),
        "deriv" => (RangeFunction::Deriv, None),
        "predict_linear" => (RangeFunction::PredictLinear, Some(1)),
        "changes" => (RangeFunction::Changes, None),
        "resets" => (RangeFunction::Resets, None),
        "avg_over_time" => (RangeFunction::Avg, None),
        "min_over_time" => (RangeFunction::Min, None),
        "max_over_time" => (RangeFunction::Max, None),
        "sum_over_time" => (RangeFunction::Sum, None),
        "count_over_time" => (RangeFunction::Count, None),
        "last_over_time" => (RangeFunction::Last, None),
        "quantile_over_time" => (RangeFunction::Quantile, Some(0)),
        "stddev_over_time" => (RangeFunction::Stddev, None),
        "stdvar_over_time" => (RangeFunction::Stdvar, None),
        "present_over_time" => (RangeFunction::Present, None),
        "absent_over_time" => (RangeFunction::Absent, None),
        _ => return None,
    })
}

/// A function over what is there at one time, the kinds of its arguments, and how many it needs at least.
fn function(name: &str) -> Option<(Function, &'static [Kind], usize)> {
    use Kind::{Scalar, Text, Vector};
    let math = |of: fn(f64) -> f64| (Function::Math(of), [Vector].as_slice(), 1);
    let date = |part: Part| (Function::Date(part), [Vector].as_slice(), 0);
    Some(match name {
        "abs" => math(f64::abs),
        "ceil" => math(f64::ceil),
        "floor" => math(f64::floor),
        "exp" => math(f64::exp),
        "sqrt" => math(f64::sqrt),
        "ln" => math(f64::ln),
        "log2" => math(f64::log2),
        "log10" => math(f64::log10),
        "sgn" => math(super::functions::sign),
        "minute" => date(Part::Minute),
        "hour" => date(Part::Hour),
        "day_of_week" => date(Part::DayOfWeek),
        "day_of_month" => date(Part::DayOfMonth),
        "day_of_year" => date(Part::DayOfYear),
        "days_in_month" => date(Part::DaysInMonth),
        "month" => date(Part::Month),
        "year" => date(Part::Year),
        "clamp" => (Function::Clamp, &[Vector, Scalar, Scalar], 3),
        "clamp_min" => (Function::ClampMin, &[Vector, Scalar], 2),
        "clamp_max" => (Function::ClampMax, &[Vector, Scalar], 2),
        "round" => (Function::Round, &[Vector, Scalar], 1),
        "sort" => (Function::Sort, &[Vector], 1),
        "sort_desc" => (Function::SortDescending, &[Vector], 1),
        "absent" => (Function::Absent, &[Vector], 1),
        "scalar" => (Function::Scalar, &[Vector], 1),
        "vector" => (Function::Vector, &[Scalar], 1),
        "time" => (Function::Time, &[], 0),
        "timestamp" => (Function::Timestamp, &[Vector], 1),
        "label_replace" => (Function::LabelReplace, &[Vector, Text, Text, Text, Text], 5),
        "label_join" => (Function::LabelJoin, &[Vector, Text, Text], 3),
        "histogram_quantile" => (Function::HistogramQuantile, &[Scalar, Vector], 2),
        _ => return None,
    })
}

fn wanted(kind: Kind, place: &str, plan: Plan) -> Result<Plan, QueryError> {
    if plan.kind() == kind { Ok(plan) } else { Err(wrong(kind, place, &plan)) }
}

fn scalar_or_vector(place: &str, plan: Plan) -> Result<Plan, QueryError> {
    match plan.kind() {
        Kind::Scalar | Kind::Vector => Ok(plan),
        Kind::Matrix | Kind::Text => Err(wrong(Kind::Vector, place, &plan)),
    }
}

fn wrong(kind: Kind, place: &str, plan: &Plan) -> QueryError {
    QueryError::Type { place: place.to_owned(), wanted: kind.name(), got: plan.kind().name() }
}
