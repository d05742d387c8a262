//! What is computed: for each series one value for each step, all steps at once, so that labels are looked at once for a query.

use std::collections::HashMap;

use super::error::QueryError;
use crate::series::{Labels, NAME, STALE_BITS};

/// Stands where a series has no value. No arithmetic makes these bits, since it quiets a signalling NaN, and as a sample they mean just this.
pub(super) const ABSENT: f64 = f64::from_bits(STALE_BITS);

/// Whether a value is there.
pub(super) const fn present(value: f64) -> bool {
    value.to_bits() != STALE_BITS
}

/// The times at which an expression is evaluated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// Milliseconds since 1970 of the first.
    pub(super) start: i64,
    /// Milliseconds between two.
    pub(super) step: i64,
    /// How many.
    pub(super) count: usize,
}

impl Grid {
    /// From `start` to `end`, both included.
    pub(super) fn new(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start { 0 } else { (end.saturating_sub(start) / step.max(1)).saturating_add(1) };
        Self { start, step: step.max(1), count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    /// Time of a step.
    pub(super) fn at(&self, step: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(i64::try_from(step).unwrap_or(i64::MAX)))
    }

    /// All times.
    pub(super) fn times(&self) -> impl Iterator<Item = i64> {
        let grid = *self;
        (0..grid.count).map(move |step| grid.at(step))
    }
}

/// A series with a value, or [`ABSENT`], for each step.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) labels: Labels,
    pub(super) values: Vec<f64>,
}

impl Column {
    pub(super) fn is_empty(&self) -> bool {
        !self.values.iter().any(|value| present(*value))
    }
}

/// The labels without the metric's name.
pub(super) fn without_name(labels: &Labels) -> Labels {
    labels.only(|label| label != NAME)
}

/// As Prometheus writes them: `name{label="value"}`.
pub(super) fn shown(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().filter(|(label, _)| *label != NAME).map(|(label, value)| format!("{label}={value:?}")).collect();
    format!("{}{{{}}}", labels.name(), pairs.join(", "))
}

/// Columns by their labels: series that take turns become one; two at the same time are an error.
pub(super) struct Merged {
    index: HashMap<Labels, usize>,
    columns: Vec<Column>,
    count: usize,
}

impl Merged {
    pub(super) fn new(count: usize) -> Self {
        Self { index: HashMap::new(), columns: Vec::new(), count }
    }

    /// The column with these labels.
    pub(super) fn column(&mut self, labels: Labels) -> usize {
        *self.index.entry(labels).or_insert_with_key(|labels| {
            self.columns.push(Column { labels: labels.clone(), values: vec![ABSENT; self.count] });
            self.columns.len() - 1
        })
    }

    pub(super) fn put(&mut self, column: usize, step: usize, value: f64) -> Result<(), QueryError> {
        let column = &mut self.columns[column];
        if present(column.values[step]) {
            return Err(QueryError::SameLabels { labels: shown(&column.labels) });
        }
        column.values[step] = value;
        Ok(())
    }

    /// Those that have a value.
    pub(super) fn finish(mut self) -> Vec<Column> {
        self.columns.retain(|column| !column.is_empty());
        self.columns
    }
}

/// Columns whose labels have changed.
pub(super) fn merge(mut columns: Vec<Column>, count: usize) -> Result<Vec<Column>, QueryError> {
    columns.retain(|column| !column.is_empty());
    if distinct(&columns).is_ok() {
        return Ok(columns);
    }
    let mut merged = Merged::new(count);
    for column in columns {
        let target = merged.column(column.labels);
        for (step, value) in column.values.into_iter().enumerate().filter(|(_, value)| present(*value)) {
            merged.put(target, step, value)?;
        }
    }
    Ok(merged.finish())
}

/// That no two columns have the same labels, at whatever time.
pub(super) fn distinct(columns: &[Column]) -> Result<(), QueryError> {
    let mut seen = std::collections::HashSet::with_capacity(columns.len());
    match columns.iter().find(|column| !seen.insert(&column.labels)) {
        Some(twice) => Err(QueryError::SameLabels { labels: shown(&twice.labels) }),
        None => Ok(()),
    }
}
