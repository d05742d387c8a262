//! Aggregations: the series of a group become one, or the best of them are chosen.

use std::collections::HashMap;

use super::column::{ABSENT, Column, present};
use super::error::QueryError;
use super::limits::Account;
use super::plan::Aggregation;
use super::quantile::{ascending, quantile};
use super::trend::keeps_infinity;
use crate::series::{Labels, NAME};

/// How series are put into groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grouping<'a> {
    /// The labels are those that do not count.
    pub(super) without: bool,
    pub(super) labels: &'a [String],
}

impl Grouping<'_> {
    fn of(&self, labels: &Labels) -> Labels {
        if self.without {
            labels.only(|label| label != NAME && !self.labels.iter().any(|other| other == label))
        } else {
            labels.only(|label| self.labels.iter().any(|other| other == label))
        }
    }
}

/// `parameter` has a value for each step if the aggregation takes one.
pub(super) fn aggregate(
    operator: Aggregation,
    grouping: Grouping<'_>,
    parameter: &[f64],
    columns: Vec<Column>,
    count: usize,
    account: &Account<'_>,
) -> Result<Vec<Column>, QueryError> {
    let mut numbers: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<(Labels, Vec<usize>)> = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let labels = grouping.of(&column.labels);
        let number = *numbers.entry(labels).or_insert_with_key(|labels| {
            groups.push((labels.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[number].1.push(at);
    }
    account.work(columns.len().saturating_mul(count))?;
    if matches!(operator, Aggregation::Topk | Aggregation::Bottomk) {
        let wanted = parameter.iter().map(|k| how_many(operator, *k)).collect::<Result<Vec<_>, _>>()?;
        return Ok(best(operator, &wanted, columns, &groups, count));
    }
    account.hold(groups.len(), count)?;
    let groups = groups.into_iter().map(|(labels, members)| {
        let members: Vec<&[f64]> = members.iter().map(|at| columns[*at].values.as_slice()).collect();
        let values = match operator {
            Aggregation::Quantile => quantiles(parameter, &members, count),
            Aggregation::Avg => averages(&members, count),
            Aggregation::Stddev | Aggregation::Stdvar => spreads(operator, &members, count),
            Aggregation::Sum => fold(&members, count, |value| value, |known, value| known + value),
            Aggregation::Count => fold(&members, count, |_| 1.0, |known, _| known + 1.0),
            Aggregation::Min => fold(
                &members,
                count,
                |value| value,
                |known, value| if known > value || known.is_nan() { value } else { known },
            ),
            Aggregation::Max => fold(
                &members,
                count,
                |value| value,
                |known, value| if known < value || known.is_nan() { value } else { known },
            ),
            Aggregation::Group | Aggregation::Topk | Aggregation::Bottomk => {
                fold(&members, count, |_| 1.0, |known, _| known)
            }
        };
        Column { labels, values }
    });
    Ok(groups.filter(|column| !column.is_empty()).collect())
}

fn fold(members: &[&[f64]], count: usize, first: impl Fn(f64) -> f64, next: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let mut values = vec![ABSENT; count];
    for member in members {
        for (known, value) in values.iter_mut().zip(*member) {
            if present(*value) {
                *known = if present(*known) { next(*known, *value) } else { first(*value) };
            }
        }
    }
    values
}

fn averages(members: &[&[f64]], count: usize) -> Vec<f64> {
    let (mut means, mut numbers) = (vec![ABSENT; count], vec![0.0; count]);
    for member in members {
        for ((mean, number), value) in means.iter_mut().zip(&mut numbers).zip(*member) {
            if !present(*value) {
                continue;
            }
            *number += 1.0;
            if !present(*mean) {
                *mean = *value;
            } else if !keeps_infinity(*mean, *value) {
                *mean += value / *number - *mean / *number;
            }
        }
    }
    means
}

fn spreads(operator: Aggregation, members: &[&[f64]], count: usize) -> Vec<f64> {
    let (mut squares, mut means, mut numbers) = (vec![ABSENT; count], vec![0.0; count], vec![0.0; count]);
    for member in members {
        for (step, value) in member.iter().enumerate().filter(|(_, value)| present(**value)) {
            numbers[step] += 1.0;
            if !present(squares[step]) {
                (squares[step], means[step]) = (0.0, *value);
                continue;
            }
            let delta = value - means[step];
            means[step] += delta / numbers[step];
            squares[step] += delta * (value - means[step]);
        }
    }
    for (square, number) in squares.iter_mut().zip(numbers).filter(|(square, _)| present(**square)) {
        *square /= number;
        if operator == Aggregation::Stddev {
            *square = square.sqrt();
        }
    }
    squares
}

fn quantiles(parameter: &[f64], members: &[&[f64]], count: usize) -> Vec<f64> {
    let mut here = Vec::with_capacity(members.len());
    (0..count)
        .map(|step| {
            here.clear();
            here.extend(members.iter().map(|member| member[step]).filter(|value| present(*value)));
            if here.is_empty() { ABSENT } else { quantile(parameter[step], &mut here) }
        })
        .collect()
}

fn how_many(operator: Aggregation, k: f64) -> Result<usize, QueryError> {
    let what = if operator == Aggregation::Topk { "topk" } else { "bottomk" };
    #[expect(clippy::cast_precision_loss, reason = "the bound is a power of two")]
    let limit = i64::MAX as f64;
    if !(-limit..=limit).contains(&k) {
        return Err(QueryError::Value { what, value: k });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above, and none below zero")]
    Ok(k.max(0.0) as usize)
}

/// The series that are among the best of their group, at the steps where they are.
fn best(
    operator: Aggregation,
    wanted: &[usize],
    columns: Vec<Column>,
    groups: &[(Labels, Vec<usize>)],
    count: usize,
) -> Vec<Column> {
    let bottom = operator == Aggregation::Bottomk;
    let mut chosen: Vec<Vec<f64>> = columns.iter().map(|_| vec![ABSENT; count]).collect();
    let mut order: Vec<usize> = (0..columns.len()).collect();
    if count == 1 {
        order.clear();
    }
    for (_, members) in groups {
        for (step, k) in wanted.iter().enumerate() {
            let mut heap = Heap { bottom, items: Vec::new() };
            for at in members {
                let value = columns[*at].values[step];
                if present(value) {
                    heap.offer(*k, value, *at);
                }
            }
            if count == 1 {
                heap.items.sort_by(|(a, _), (b, _)| {
                    a.is_nan().cmp(&b.is_nan()).then_with(|| if bottom { ascending(*a, *b) } else { ascending(*b, *a) })
                });
                order.extend(heap.items.iter().map(|(_, at)| *at));
            }
            for (value, at) in heap.items {
                chosen[at][step] = value;
            }
        }
    }
    let mut columns: Vec<Option<Column>> = columns.into_iter().map(Some).collect();
    let picked = order.into_iter().filter_map(|at| {
        let column = columns[at].take()?;
        Some(Column { labels: column.labels, values: std::mem::take(&mut chosen[at]) })
    });
    picked.filter(|column| !column.is_empty()).collect()
}

/// Go's `container/heap`, move by move, so that of equal values the same ones are chosen.
struct Heap {
    bottom: bool,
    items: Vec<(f64, usize)>,
}

impl Heap {
    fn offer(&mut self, k: usize, value: f64, at: usize) {
        if k == 0 {
            return;
        }
        if self.items.len() == k {
            let worst = self.items[0].0;
            let better = if self.bottom { worst > value } else { worst < value };
            if !better && !worst.is_nan() {
                return;
            }
            if k == 1 {
                self.items[0] = (value, at);
                return;
            }
            self.pop();
        }
        self.items.push((value, at));
        self.up();
    }

    fn less(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.items[a].0, self.items[b].0);
        a.is_nan() || if self.bottom { a > b } else { a < b }
    }

    fn up(&mut self) {
        let mut at = self.items.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(at, parent) {
                break;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    fn pop(&mut self) {
        self.items.swap_remove(0);
        let (mut at, length) = (0, self.items.len());
        loop {
            let left = 2 * at + 1;
            if left >= length {
                return;
            }
            let child = if left + 1 < length && self.less(left + 1, left) { left + 1 } else { left };
            if !self.less(child, at) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }
}
