//! Evaluates a plan: each part once, for all steps.

use super::aggregate::{Grouping, aggregate};
use super::column::{ABSENT, Column, Grid, distinct, merge, present, without_name};
use super::error::QueryError;
use super::limits::Account;
use super::plan::{At, Binary, Function, Kind, OverTime, Plan, Selector, When, Window};
use super::window::{RangeFunction, Spans, over_time};
use super::{binary, functions, labels};
use crate::series::{Keep, Labels, Sample, Series, Source};

/// Samples that a span of time should hold at least, where only coarser ones than the measured are left.
const SAMPLES_PER_SPAN: i64 = 4;

/// What all parts of one query share.
pub(super) struct Evaluation<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) account: Account<'a>,
    /// First and last step of the query, which `start()` and `end()` mean.
    pub(super) bounds: (i64, i64),
}

impl Evaluation<'_> {
    /// The values of a part that is a scalar; each step has one.
    pub(super) fn scalar(&self, plan: &Plan, grid: &Grid) -> Result<Vec<f64>, QueryError> {
        self.account.hold(1, grid.count)?;
        Ok(match plan {
            Plan::Number(number) => vec![*number; grid.count],
            Plan::Negate(of) => self.scalar(of, grid)?.into_iter().map(|value| -value).collect(),
            Plan::Binary(binary) => {
                binary::scalars(binary.operator, &self.scalar(&binary.left, grid)?, &self.scalar(&binary.right, grid)?)
            }
            Plan::Call(Function::Time, _) => grid.times().map(seconds).collect(),
            Plan::Call(Function::Scalar, arguments) => {
                functions::scalar(&self.argument(arguments, 0, grid)?, grid.count)
            }
            _ => return Err(misplaced(Kind::Scalar, plan)),
        })
    }

    /// The series of a part that is an instant vector.
    pub(super) fn vector(&self, plan: &Plan, grid: &Grid) -> Result<Vec<Column>, QueryError> {
        match plan {
            Plan::Select(selector) => self.select(selector, grid, |sample| sample.value),
            Plan::Negate(of) => {
                let mut columns = self.vector(of, grid)?;
                for column in &mut columns {
                    column.labels = without_name(&column.labels);
                    for value in column.values.iter_mut().filter(|value| present(**value)) {
                        *value = -*value;
                    }
                }
                distinct(&columns).map(|()| columns)
            }
            Plan::Binary(binary) => self.binary(binary, grid),
            Plan::Aggregate(of) => {
                let parameter = match &of.parameter {
                    Some(parameter) => self.scalar(parameter, grid)?,
                    None => Vec::new(),
                };
                let columns = self.vector(&of.of, grid)?;
                let grouping = Grouping { without: of.without, labels: &of.labels };
                aggregate(of.operator, grouping, &parameter, columns, grid.count, &self.account)
            }
            Plan::Call(function, arguments) => self.call(*function, arguments, grid),
            Plan::OverTime(of) => self.over_time(of, grid),
            Plan::Number(_) | Plan::Text(_) | Plan::Range(_) => Err(misplaced(Kind::Vector, plan)),
        }
    }

    /// The samples of a part that is a range vector, at one time.
    pub(super) fn matrix(&self, window: &Window, at: i64) -> Result<Vec<Series>, QueryError> {
        let grid = Grid::new(at, at, 1);
        let (mut series, spans) = self.read(window, &grid, Keep::Last)?;
        let (end, start) = (spans.end(0), spans.end(0).saturating_sub(spans.range));
        for one in &mut series {
            one.samples.retain(|sample| (start..=end).contains(&sample.at));
        }
        series.retain(|one| !one.samples.is_empty());
        Ok(series)
    }

    fn argument(&self, arguments: &[Plan], at: usize, grid: &Grid) -> Result<Vec<Column>, QueryError> {
        match arguments.get(at) {
            Some(plan) => self.vector(plan, grid),
            None => Ok(Vec::new()),
        }
    }

    fn number(&self, arguments: &[Plan], at: usize, grid: &Grid) -> Result<Vec<f64>, QueryError> {
        match arguments.get(at) {
            Some(plan) => self.scalar(plan, grid),
            None => Ok(vec![1.0; grid.count]),
        }
    }

    fn binary(&self, of: &Binary, grid: &Grid) -> Result<Vec<Column>, QueryError> {
        let (operator, gives_bool) = (of.operator, of.gives_bool);
        match (of.left.kind(), of.right.kind()) {
            (Kind::Scalar, _) => {
                let scalar = self.scalar(&of.left, grid)?;
                binary::with_scalar(operator, gives_bool, self.vector(&of.right, grid)?, &scalar, true)
            }
            (_, Kind::Scalar) => {
                let columns = self.vector(&of.left, grid)?;
                binary::with_scalar(operator, gives_bool, columns, &self.scalar(&of.right, grid)?, false)
            }
            _ => {
                let (left, right) = (self.vector(&of.left, grid)?, self.vector(&of.right, grid)?);
                if operator.is_set() {
                    return binary::sets(operator, &of.matching, left, right, grid.count, &self.account);
                }
                binary::vectors(operator, gives_bool, &of.matching, &left, &right, grid.count, &self.account)
            }
        }
    }

    fn call(&self, function: Function, arguments: &[Plan], grid: &Grid) -> Result<Vec<Column>, QueryError> {
        let vector = |at| self.argument(arguments, at, grid);
        let number = |at| self.number(arguments, at, grid);
        let count = grid.count;
        match function {
            Function::Math(of) => functions::map(vector(0)?, count, |_, value| Some(of(value))),
            Function::Date(part) if arguments.is_empty() => {
                #[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 seconds")]
                let values = grid.times().map(|at| super::date::part(part, (at / 1000) as f64)).collect();
                Ok(vec![Column { labels: Labels::default(), values }])
            }
            Function::Date(part) => functions::dates(vector(0)?, part, count),
            Function::Clamp => {
                let (low, high) = (number(1)?, number(2)?);
                functions::map(vector(0)?, count, |step, value| {
                    let (low, high) = (low[step], high[step]);
                    let within = functions::larger(low, functions::smaller(high, value));
                    if high < low { None } else { Some(within) }
                })
            }
            Function::ClampMin => {
                let low = number(1)?;
                functions::map(vector(0)?, count, |step, value| Some(functions::larger(low[step], value)))
            }
            Function::ClampMax => {
                let high = number(1)?;
                functions::map(vector(0)?, count, |step, value| Some(functions::smaller(high[step], value)))
            }
            Function::Round => {
                let to = number(1)?;
                functions::map(vector(0)?, count, |step, value| Some(functions::round(value, to[step])))
            }
            Function::Sort => Ok(functions::sort(vector(0)?, count, false)),
            Function::SortDescending => Ok(functions::sort(vector(0)?, count, true)),
            Function::Absent => {
                let labels = match arguments {
                    [Plan::Select(selector)] => functions::labels_of_absent(selector),
                    _ => Labels::default(),
                };
                Ok(functions::absent(&vector(0)?, labels, count))
            }
            Function::Vector => Ok(vec![Column { labels: Labels::default(), values: number(0)? }]),
            Function::Timestamp => match arguments {
                [Plan::Select(selector)] => {
                    let mut columns = self.select(selector, grid, |sample| seconds(sample.at))?;
                    for column in &mut columns {
                        column.labels = without_name(&column.labels);
                    }
                    merge(columns, count)
                }
                _ => functions::map(vector(0)?, count, |step, _| Some(seconds(grid.at(step)))),
            },
            Function::LabelReplace | Function::LabelJoin => labels::relabel(function, vector(0)?, arguments, count),
            Function::HistogramQuantile => {
                let columns = vector(1)?;
                self.account.hold(columns.len(), count)?;
                functions::histogram_quantile(&number(0)?, &columns, grid)
            }
            Function::Scalar | Function::Time => Err(QueryError::Unsupported("a scalar in this place".to_owned())),
        }
    }

    fn fixed(&self, when: &When) -> Option<i64> {
        when.at.map(|at| match at {
            At::Time(at) => at,
            At::Start => self.bounds.0,
            At::End => self.bounds.1,
        })
    }

    /// The newest sample of each series at each step, unless it is too old or says that the series ended.
    fn select(&self, selector: &Selector, grid: &Grid, of: impl Fn(Sample) -> f64) -> Result<Vec<Column>, QueryError> {
        let lookback = self.account.limits.lookback_ms;
        let spans =
            Spans { grid: *grid, offset: selector.when.offset, fixed: self.fixed(&selector.when), range: lookback };
        let step = if grid.count > 1 { grid.step.min(lookback) } else { lookback };
        let series = self.fetch(selector, &spans, step, Keep::Last)?;
        self.account.hold(series.len(), grid.count)?;
        let columns = series.into_iter().map(|one| {
            let mut next = 0;
            let values = (0..grid.count).map(|step| {
                let end = spans.end(step);
                next += one.samples[next..].iter().take_while(|sample| sample.at <= end).count();
                match next.checked_sub(1).map(|newest| one.samples[newest]) {
                    Some(sample) if sample.at >= end.saturating_sub(lookback) && !sample.is_stale() => of(sample),
                    _ => ABSENT,
                }
            });
            Column { values: values.collect(), labels: one.labels }
        });
        Ok(columns.filter(|column| !column.is_empty()).collect())
    }

    fn fetch(&self, selector: &Selector, spans: &Spans, step: i64, keep: Keep) -> Result<Vec<Series>, QueryError> {
        if spans.grid.count == 0 {
            return Ok(Vec::new());
        }
        let from = spans.end(0).saturating_sub(spans.range);
        let to = spans.end(spans.grid.count - 1);
        let mut series = self.source.select(&selector.matchers, from, to, step.max(1), keep)?;
        self.account.read(series.len(), series.iter().map(|one| one.samples.len()).sum())?;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    /// The samples that the spans lie over, without stale markers.
    fn read(&self, window: &Window, grid: &Grid, keep: Keep) -> Result<(Vec<Series>, Spans), QueryError> {
        match window {
            Window::Stored { selector, range } => {
                let when = &selector.when;
                let spans = Spans { grid: *grid, offset: when.offset, fixed: self.fixed(when), range: *range };
                let step =
                    if grid.count > 1 { grid.step.min(range / SAMPLES_PER_SPAN) } else { range / SAMPLES_PER_SPAN };
                let mut series = self.fetch(selector, &spans, step, keep)?;
                for one in &mut series {
                    if one.samples.iter().any(|sample| sample.is_stale()) {
                        one.samples.retain(|sample| !sample.is_stale());
                    }
                }
                Ok((series, spans))
            }
            Window::Subquery { of, when, range, step } => {
                let spans = Spans { grid: *grid, offset: when.offset, fixed: self.fixed(when), range: *range };
                let step = step.unwrap_or(self.account.limits.subquery_step_ms).max(1);
                // The steps are multiples of the step, whatever time the query asks about.
                let earliest = spans.end(0).saturating_sub(*range);
                let mut start = step.saturating_mul(earliest / step);
                if start < earliest {
                    start = start.saturating_add(step);
                }
                let inner = Grid::new(start, spans.end(grid.count.saturating_sub(1)), step);
                self.account.hold(1, inner.count)?;
                let columns = self.vector(of, &inner)?;
                let series = columns.into_iter().map(|column| {
                    let samples = column.values.iter().enumerate().filter(|(_, value)| present(**value));
                    let samples = samples.map(|(step, value)| Sample { at: inner.at(step), value: *value }).collect();
                    Series { labels: column.labels, samples }
                });
                Ok((series.collect(), spans))
            }
        }
    }

    fn over_time(&self, of: &OverTime, grid: &Grid) -> Result<Vec<Column>, QueryError> {
        let parameter = match &of.parameter {
            Some(parameter) => self.scalar(parameter, grid)?,
            None => Vec::new(),
        };
        let keep = match of.function {
            RangeFunction::Min => Keep::Min,
            RangeFunction::Max => Keep::Max,
            _ => Keep::Last,
        };
        let (series, spans) = self.read(&of.window, grid, keep)?;
        self.account.hold(series.len(), grid.count)?;
        let mut columns = Vec::with_capacity(series.len());
        for one in series {
            let values = over_time(of.function, &one.samples, &spans, &parameter, &self.account)?;
            let labels = if of.function == RangeFunction::Last { one.labels } else { without_name(&one.labels) };
            columns.push(Column { labels, values });
        }
        columns.retain(|column| !column.is_empty());
        if of.function == RangeFunction::Absent {
            let labels = match &of.window {
                Window::Stored { selector, .. } => functions::labels_of_absent(selector),
                Window::Subquery { .. } => Labels::default(),
            };
            return Ok(functions::absent(&columns, labels, grid.count));
        }
        distinct(&columns).map(|()| columns)
    }
}

#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 milliseconds")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn misplaced(wanted: Kind, plan: &Plan) -> QueryError {
    QueryError::Type { place: "the evaluation".to_owned(), wanted: wanted.name(), got: plan.kind().name() }
}
