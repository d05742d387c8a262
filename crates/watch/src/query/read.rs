//! Reads series and makes columns of them, one series after the other: of those that are read, a query holds the samples of one at a time.

use std::ops::ControlFlow;

use super::ahead::{self, Wanted};
use super::column::{ABSENT, Column, Grid, distinct, present, without_name};
use super::error::QueryError;
use super::evaluate::Evaluation;
use super::functions;
use super::plan::{At, OverTime, Selector, When, Window};
use super::slices::Slices;
use super::window::{RangeFunction, Spans, over_time, unit};
use crate::series::{Keep, Labels, Sample, Series};

/// Samples that a span of time should hold at least, where only coarser ones than the measured are left.
const SAMPLES_PER_SPAN: i64 = 4;

impl Evaluation<'_> {
    /// The newest sample of each series at each step, unless it is too old or says that the series ended.
    pub(super) fn select(
        &self,
        selector: &Selector,
        grid: &Grid,
        of: impl Fn(Sample) -> f64,
    ) -> Result<Vec<Column>, QueryError> {
        let lookback = self.account.limits.lookback_ms;
        let spans = self.spans(&selector.when, grid, lookback);
        self.columns(selector, &spans, lookback, Keep::Last, |samples, values| {
            let mut next = 0;
            for (step, value) in values.iter_mut().enumerate() {
                let end = spans.end(step);
                next += samples[next..].iter().take_while(|sample| sample.at <= end).count();
                if let Some(sample) = next.checked_sub(1).map(|newest| samples[newest])
                    && sample.at >= end.saturating_sub(lookback)
                    && !sample.is_stale()
                {
                    *value = of(sample);
                }
            }
            Ok(())
        })
    }

    /// A function over a span of time, at each step.
    pub(super) fn over_time(&self, of: &OverTime, grid: &Grid) -> Result<Vec<Column>, QueryError> {
        let parameter = match &of.parameter {
            Some(parameter) => self.scalar(parameter, grid)?,
            None => Vec::new(),
        };
        let keep = match of.function {
            RangeFunction::Min => Keep::Min,
            RangeFunction::Max => Keep::Max,
            _ => Keep::Last,
        };
        let mut columns = match &of.window {
            Window::Stored { selector, range } => {
                let spans = self.spans(&selector.when, grid, *range);
                let mut kept = Vec::new();
                let mut slices = Slices::new(spans, unit(of.function, *range));
                self.columns(selector, &spans, range / SAMPLES_PER_SPAN, keep, |samples, values| {
                    let samples = without_stale(samples, &mut kept);
                    over_time(of.function, samples, &mut slices, &parameter, values, &self.account)
                })?
            }
            Window::Subquery { when, range, .. } => {
                let spans = self.spans(when, grid, *range);
                let series = self.series(&of.window, &spans)?;
                self.account.hold(series.len(), grid.count)?;
                let mut columns = Vec::with_capacity(series.len());
                let mut slices = Slices::new(spans, unit(of.function, *range));
                for one in series {
                    let mut values = vec![ABSENT; grid.count];
                    over_time(of.function, &one.samples, &mut slices, &parameter, &mut values, &self.account)?;
                    columns.push(Column { labels: one.labels, values });
                }
                columns.retain(|column| !column.is_empty());
                columns
            }
        };
        if of.function == RangeFunction::Absent {
            let labels = match &of.window {
                Window::Stored { selector, .. } => functions::labels_of_absent(selector),
                Window::Subquery { .. } => Labels::default(),
            };
            return Ok(functions::absent(&columns, labels, grid.count));
        }
        if of.function != RangeFunction::Last {
            for column in &mut columns {
                column.labels = without_name(&column.labels);
            }
        }
        distinct(&columns).map(|()| columns)
    }

    /// The samples of a part that is a range vector, at one time.
    pub(super) fn matrix(&self, window: &Window, at: i64) -> Result<Vec<Series>, QueryError> {
        let (Window::Stored { selector: Selector { when, .. }, range } | Window::Subquery { when, range, .. }) = window;
        let spans = self.spans(when, &Grid::new(at, at, 1), *range);
        let mut series = self.series(window, &spans)?;
        series.retain(|one| !one.samples.is_empty());
        Ok(series)
    }

    fn spans(&self, when: &When, grid: &Grid, range: i64) -> Spans {
        let fixed = when.at.map(|at| match at {
            At::Time(at) => at,
            At::Start => self.bounds.0,
            At::End => self.bounds.1,
        });
        Spans { grid: *grid, offset: when.offset, fixed, range }
    }

    /// All samples that the spans lie over, without stale markers.
    fn series(&self, window: &Window, spans: &Spans) -> Result<Vec<Series>, QueryError> {
        let (earliest, latest) = spans.bounds();
        match window {
            Window::Stored { selector, range } => {
                let step = (range / SAMPLES_PER_SPAN).max(1);
                let mut series = self.source.select(&selector.matchers, earliest, latest, step, Keep::Last)?;
                self.account.read(series.len(), series.iter().map(|one| one.samples.len()).sum())?;
                for one in &mut series {
                    one.samples.retain(|sample| !sample.is_stale());
                }
                Ok(series)
            }
            Window::Subquery { of, step, .. } => {
                let step = step.unwrap_or(self.account.limits.subquery_step_ms).max(1);
                // The steps are multiples of the step, whatever time the query asks about.
                let mut start = step.saturating_mul(earliest / step);
                if start < earliest {
                    start = start.saturating_add(step);
                }
                let inner = Grid::new(start, latest, step);
                self.account.hold(1, inner.count)?;
                let series = self.vector(of, &inner)?.into_iter().map(|column| {
                    let samples = column.values.iter().enumerate().filter(|(_, value)| present(**value));
                    let samples = samples.map(|(step, value)| Sample { at: inner.at(step), value: *value }).collect();
                    Series { labels: column.labels, samples }
                });
                Ok(series.collect())
            }
        }
    }

    /// Lets `fill` make the values of each series of its samples.
    fn columns(
        &self,
        selector: &Selector,
        spans: &Spans,
        beat: i64,
        keep: Keep,
        mut fill: impl FnMut(&[Sample], &mut [f64]) -> Result<(), QueryError>,
    ) -> Result<Vec<Column>, QueryError> {
        let grid = spans.grid;
        let (earliest, latest) = spans.bounds();
        let beat = if grid.count > 1 { grid.step.min(beat) } else { beat }.max(1);
        let mut columns = Vec::new();
        let mut refused = Ok(());
        let mut made = |samples: &[Sample]| {
            self.account.read(1, samples.len())?;
            self.account.hold(1, grid.count)?;
            let mut values = vec![ABSENT; grid.count];
            fill(samples, &mut values).map(|()| values)
        };
        let wanted = Wanted { matchers: &selector.matchers, from: earliest, to: latest, beat, keep };
        let read = ahead::each(self.source, &wanted, grid.count, &mut |labels, samples| match made(samples) {
            Ok(values) => {
                columns.push(Column { labels, values });
                ControlFlow::Continue(())
            }
            Err(error) => {
                refused = Err(error);
                ControlFlow::Break(())
            }
        });
        refused?;
        read?;
        columns.retain(|column| !column.is_empty());
        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(columns)
    }
}

/// The samples without stale markers, of which there are none most often.
fn without_stale<'a>(samples: &'a [Sample], kept: &'a mut Vec<Sample>) -> &'a [Sample] {
    if !samples.iter().any(|sample| sample.is_stale()) {
        return samples;
    }
    kept.clear();
    kept.extend(samples.iter().filter(|sample| !sample.is_stale()));
    kept
}
