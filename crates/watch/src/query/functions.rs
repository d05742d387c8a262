//! Functions over what is there at one time.

use std::collections::HashMap;

use super::column::{ABSENT, Column, Grid, merge, present, without_name};
use super::date;
use super::error::QueryError;
use super::plan::Selector;
use super::quantile::{Bucket, ascending, of_buckets};
use crate::series::{Labels, NAME, Test};

/// Label of a bucket's upper bound.
const BOUND: &str = "le";

pub(super) fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// Something of each value, for each step; `None` where nothing comes of it.
pub(super) fn map(
    mut columns: Vec<Column>,
    count: usize,
    of: impl Fn(usize, f64) -> Option<f64>,
) -> Result<Vec<Column>, QueryError> {
    for column in &mut columns {
        column.labels = without_name(&column.labels);
        for (step, value) in column.values.iter_mut().enumerate() {
            if present(*value) {
                *value = of(step, *value).unwrap_or(ABSENT);
            }
        }
    }
    merge(columns, count)
}

/// As in Go, where an infinity is more than what is no number.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Likewise.
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

pub(super) fn round(value: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (value * inverse + 0.5).floor() / inverse
}

/// The value of the only element of each step.
pub(super) fn scalar(columns: &[Column], count: usize) -> Vec<f64> {
    let mut values = vec![ABSENT; count];
    for column in columns {
        for (known, value) in values.iter_mut().zip(&column.values).filter(|(_, value)| present(**value)) {
            *known = if present(*known) { f64::NAN } else { *value };
        }
    }
    // Three make none again; what is no number stays so, since it is there.
    values.into_iter().map(|value| if present(value) { value } else { f64::NAN }).collect()
}

/// Sorted by the values of the one step there is; with several steps each series has its own order, and it stays.
pub(super) fn sort(mut columns: Vec<Column>, count: usize, descending: bool) -> Vec<Column> {
    if count == 1 {
        columns.sort_by(|a, b| {
            let (a, b) = (a.values[0], b.values[0]);
            // What is no number comes last both ways.
            a.is_nan().cmp(&b.is_nan()).then_with(|| if descending { ascending(b, a) } else { ascending(a, b) })
        });
    }
    columns
}

/// One at each step that nothing has a value at.
pub(super) fn absent(columns: &[Column], labels: Labels, count: usize) -> Vec<Column> {
    let mut values = vec![1.0; count];
    for column in columns {
        for (value, _) in values.iter_mut().zip(&column.values).filter(|(_, there)| present(**there)) {
            *value = ABSENT;
        }
    }
    let column = Column { labels, values };
    if column.is_empty() { Vec::new() } else { vec![column] }
}

/// What is known of the labels of a series that is not there: those that have to be one value. A label that is named twice is left out.
pub(super) fn labels_of_absent(selector: &Selector) -> Labels {
    let mut known: HashMap<&str, Option<&str>> = HashMap::new();
    for matcher in selector.matchers.iter().filter(|matcher| matcher.label != NAME) {
        let value = match &matcher.test {
            Test::Equal(value) if !known.contains_key(matcher.label.as_str()) => Some(value.as_str()),
            // One that was only excluded so far may still become known.
            Test::Equal(_) => None,
            _ if known.contains_key(matcher.label.as_str()) => None,
            _ => continue,
        };
        known.insert(&matcher.label, value);
    }
    Labels::new(known.into_iter().filter_map(|(label, value)| Some((label, value?))))
}

/// A date's part of each value.
pub(super) fn dates(columns: Vec<Column>, part: date::Part, count: usize) -> Result<Vec<Column>, QueryError> {
    map(columns, count, |_, value| Some(date::part(part, value)))
}

/// The quantile of each histogram at each step.
pub(super) fn histogram_quantile(quantile: &[f64], columns: &[Column], grid: &Grid) -> Result<Vec<Column>, QueryError> {
    let mut order: Vec<Labels> = Vec::new();
    let mut histograms: HashMap<Labels, Vec<(f64, &Column)>> = HashMap::new();
    for column in columns {
        let Ok(bound) = column.labels.get(BOUND).parse::<f64>() else { continue };
        let labels = column.labels.only(|label| label != BOUND);
        histograms
            .entry(labels)
            .or_insert_with_key(|labels| {
                order.push(labels.clone());
                Vec::new()
            })
            .push((bound, column));
    }
    let mut found = Vec::with_capacity(order.len());
    let mut here = Vec::new();
    for labels in order {
        let Some(mut buckets) = histograms.remove(&labels) else { continue };
        buckets.sort_by(|(a, _), (b, _)| ascending(*a, *b));
        let mut values = vec![ABSENT; grid.count];
        for (step, value) in values.iter_mut().enumerate() {
            here.clear();
            let counts = buckets.iter().map(|(bound, column)| Bucket { bound: *bound, count: column.values[step] });
            here.extend(counts.filter(|bucket| present(bucket.count)));
            if !here.is_empty() {
                *value = of_buckets(quantile[step], &mut here);
            }
        }
        found.push(Column { labels: without_name(&labels), values });
    }
    merge(found, grid.count)
}
