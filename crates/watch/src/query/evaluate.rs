//! Evaluates a plan: each part once, for all steps.

use super::aggregate::{Grouping, aggregate};
use super::column::{Column, Grid, distinct, merge, present, without_name};
use super::error::QueryError;
use super::limits::Account;
use super::plan::{Binary, Function, Kind, Plan};
use super::{binary, functions, labels};
use crate::series::{Labels, Source};

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
            Plan::Number(_) | Plan::Text(_) | Plan::Pattern(_) | Plan::Range(_) => Err(misplaced(Kind::Vector, plan)),
        }
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
}

#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 milliseconds")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn misplaced(wanted: Kind, plan: &Plan) -> QueryError {
    QueryError::Type { place: "the evaluation".to_owned(), wanted: wanted.name(), got: plan.kind().name() }
}
