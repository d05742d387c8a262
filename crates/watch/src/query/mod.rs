//! The query language: the part of PromQL that `docs/QUERY.md` lists, with Prometheus' results.
//!
//! Text becomes a plan (`parse`), and the plan is evaluated for all steps at once (`evaluate`): what a part gives is a column of values for each
//! series, so labels are matched, grouped and named once for a query instead of once for a step, and the samples in a span of time are a slice that
//! moves along the series.
//!
//! Invariants: what is not supported is an error that says so and never another number; no text and no data makes it panic; what a query may read,
//! hold and do is bounded by [`Limits`]; nothing here knows what time it is.

mod aggregate;
mod ahead;
mod answer;
mod binary;
mod column;
mod date;
mod error;
mod evaluate;
mod functions;
mod guard;
mod labels;
mod limits;
mod never;
mod params;
mod parse;
mod plan;
mod quantile;
mod read;
mod reads;
mod slices;
mod trend;
mod window;

pub use answer::{Answer, label_values_json, labels_json, series_json};
pub use error::QueryError;
pub use limits::{
    LOOKBACK_MS, Limits, MAX_CELLS, MAX_DEPTH, MAX_POINTS, MAX_SAMPLES, MAX_SERIES, MAX_WORK, SUBQUERY_STEP_MS,
};
pub use never::never_true;
pub use params::{duration, step, time};
pub use parse::matchers;
pub use reads::{Read, metrics_of, never_fires};

use crate::series::{Matcher, Sample, Series, Source};
use column::{Column, Grid, present};
use evaluate::Evaluation;
use limits::Account;
use plan::{Kind, Plan};

/// An expression that was read, for whoever asks it again and again: reading one costs more than most answers, above all its regular
/// expressions.
#[derive(Debug)]
pub struct Expression(Plan);

impl Expression {
    /// Reads it.
    ///
    /// # Errors
    /// The text is no expression that is supported.
    pub fn read(text: &str) -> Result<Self, QueryError> {
        parse::plan(text).map(Self)
    }

    /// Its answer at one time, as of [`query()`].
    ///
    /// # Errors
    /// The time makes no sense, the source fails, or a limit is reached.
    pub fn at(&self, source: &dyn Source, at_ms: i64, limits: &Limits<'_>) -> Result<Answer, QueryError> {
        let at = bounded("time", at_ms)?;
        let evaluation = Evaluation { source, account: Account::new(limits), bounds: (at, at) };
        let grid = Grid::new(at, at, 1);
        Ok(match (self.0.kind(), &self.0) {
            (_, Plan::Text(text)) => Answer::Text { at, text: text.clone() },
            (_, Plan::Range(window)) => {
                let mut series = evaluation.matrix(window, at)?;
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
                Answer::Matrix(series)
            }
            (Kind::Scalar, plan) => {
                let values = evaluation.scalar(plan, &grid)?;
                Answer::Scalar { at, value: values.first().copied().unwrap_or(f64::NAN) }
            }
            (_, plan) => {
                let columns = evaluation.vector(plan, &grid)?.into_iter();
                let elements = columns.filter_map(|column| Some((column.labels, *column.values.first()?)));
                Answer::Vector { at, elements: elements.filter(|(_, value)| present(*value)).collect() }
            }
        })
    }

    /// How far before the time of its answer it looks at samples, in milliseconds; 0 where only at the last ones.
    #[must_use]
    pub fn longest_range_ms(&self) -> i64 {
        reads::longest_range_ms(&self.0)
    }

    /// The selectors that fit no series, if it can have no result because of that, as of [`never_fires`].
    #[must_use]
    pub fn missing(&self, exists: impl Fn(&[Matcher]) -> bool) -> Vec<String> {
        reads::missing(&self.0, exists)
    }
}

/// The answer at one time, in milliseconds since 1970.
///
/// # Errors
/// The text is no expression that is supported, the source fails, or a limit is reached.
pub fn query(source: &dyn Source, text: &str, at_ms: i64, limits: &Limits<'_>) -> Result<Answer, QueryError> {
    bounded("time", at_ms)?;
    Expression::read(text)?.at(source, at_ms, limits)
}

/// The answer at each step from `from` to `to`, all in milliseconds; times since 1970.
///
/// # Errors
/// The text is no expression that is supported, the times make no sense, the source fails, or a limit is reached.
pub fn query_range(
    source: &dyn Source,
    text: &str,
    from: i64,
    to: i64,
    step: i64,
    limits: &Limits<'_>,
) -> Result<Answer, QueryError> {
    let (from, to) = (bounded("start", from)?, bounded("end", to)?);
    let refused = |parameter, why: &str| Err(QueryError::Parameter { parameter, why: why.to_owned() });
    if to < from {
        return refused("end", "end timestamp must not be before start time");
    }
    if step <= 0 {
        return refused("step", "a step has to be longer than zero");
    }
    let grid = Grid::new(from, to, step);
    // The first point is one more than there are steps between, as Prometheus counts.
    if grid.count > limits.points.saturating_add(1) {
        return Err(QueryError::TooManyPoints { limit: limits.points });
    }
    let plan = parse::plan(text)?;
    let evaluation = Evaluation { source, account: Account::new(limits), bounds: (from, to) };
    let mut columns = match plan.kind() {
        Kind::Scalar => {
            vec![Column { labels: crate::series::Labels::default(), values: evaluation.scalar(&plan, &grid)? }]
        }
        Kind::Vector => evaluation.vector(&plan, &grid)?,
        got @ (Kind::Matrix | Kind::Text) => {
            let place = "a query over a range of time".to_owned();
            return Err(QueryError::Type { place, wanted: "a scalar or an instant vector", got: got.name() });
        }
    };
    columns.sort_by(|a, b| a.labels.cmp(&b.labels));
    let series = columns.into_iter().map(|column| {
        let samples = column.values.iter().enumerate().filter(|(_, value)| present(**value));
        let samples = samples.map(|(step, value)| Sample { at: grid.at(step), value: *value }).collect();
        Series { labels: column.labels, samples }
    });
    Ok(Answer::Matrix(series.collect()))
}

fn bounded(parameter: &'static str, at: i64) -> Result<i64, QueryError> {
    if (-params::MAX_TIME_MS..=params::MAX_TIME_MS).contains(&at) {
        return Ok(at);
    }
    Err(QueryError::Parameter { parameter, why: "the time is beyond the year 9999".to_owned() })
}
