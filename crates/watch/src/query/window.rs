//! Functions over a span of time.

use super::column::Grid;
use super::error::QueryError;
use super::limits::Account;
use super::quantile::quantile;
use super::slices::Slices;
use super::trend;
use crate::series::Sample;

/// What is computed of the samples in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Deriv,
    PredictLinear,
    Changes,
    Resets,
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Last,
    Quantile,
    Stddev,
    Stdvar,
    Present,
    Absent,
}

/// Samples that are looked at together.
const EVENTS_PART: usize = 64;

/// The spans that belong to the steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    pub(super) grid: Grid,
    /// Milliseconds that a span ends before its step.
    pub(super) offset: i64,
    /// All of them end here instead.
    pub(super) fixed: Option<i64>,
    /// Milliseconds that each is long, both ends included.
    pub(super) range: i64,
}

impl Spans {
    /// End of a step's span.
    pub(super) fn end(&self, step: usize) -> i64 {
        self.fixed.unwrap_or_else(|| self.grid.at(step)).saturating_sub(self.offset)
    }

    /// Begin of the first and end of the last.
    pub(super) fn bounds(&self) -> (i64, i64) {
        (self.end(0).saturating_sub(self.range), self.end(self.grid.count.saturating_sub(1)))
    }
}

/// The function's value for each step, where it has one. The samples hold no stale marker.
pub(super) fn over_time(
    function: RangeFunction,
    samples: &[Sample],
    slices: &mut Slices,
    parameter: &[f64],
    values: &mut [f64],
    account: &Account<'_>,
) -> Result<(), QueryError> {
    if matches!(function, RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Delta) {
        rises(function, samples, slices, values);
        return Ok(());
    }
    let events = match function {
        RangeFunction::Resets => resets(samples),
        #[expect(clippy::float_cmp, reason = "any difference is a change")]
        RangeFunction::Changes => {
            events(samples, |before, after| before != after && !(before.is_nan() && after.is_nan()))
        }
        _ => Vec::new(),
    };
    let grid = slices.spans.grid;
    let (mut next_event, mut scratch) = (0, Vec::new());
    for ((step, value), slice) in values.iter_mut().enumerate().zip(slices.of(samples)) {
        let inside = slice.of(samples);
        let (Some(first), Some(last)) = (inside.first(), inside.last()) else { continue };
        if reads_all(function) {
            account.work(inside.len())?;
        }
        let parameter = parameter.get(step).copied().unwrap_or(f64::NAN);
        let result = match function {
            RangeFunction::Irate | RangeFunction::Idelta => between_last_two(function, inside),
            RangeFunction::Resets | RangeFunction::Changes => Some(count(slice.events(&events, &mut next_event).len())),
            RangeFunction::Count => Some(count(inside.len())),
            RangeFunction::Last => Some(last.value),
            RangeFunction::Present | RangeFunction::Absent => Some(1.0),
            RangeFunction::Deriv => (inside.len() > 1).then(|| trend::line(inside, first.at).0),
            RangeFunction::PredictLinear => (inside.len() > 1).then(|| {
                let (slope, intercept) = trend::line(inside, grid.at(step));
                slope * parameter + intercept
            }),
            RangeFunction::Avg => Some(trend::mean(inside)),
            RangeFunction::Sum => Some(trend::sum(inside)),
            RangeFunction::Stddev => Some(trend::variance(inside).sqrt()),
            RangeFunction::Stdvar => Some(trend::variance(inside)),
            RangeFunction::Min => Some(extreme(inside, |sample, known| sample < known)),
            RangeFunction::Max => Some(extreme(inside, |sample, known| sample > known)),
            RangeFunction::Quantile => {
                scratch.clear();
                scratch.extend(inside.iter().map(|sample| sample.value));
                Some(quantile(parameter, &mut scratch))
            }
            RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Delta => None,
        };
        if let Some(result) = result {
            *value = result;
        }
    }
    Ok(())
}

/// What a rise is divided by, for [`Slices`].
pub(super) fn unit(function: RangeFunction, range: i64) -> f64 {
    if function == RangeFunction::Rate { seconds(range) } else { 1.0 }
}

/// How much each span rose, stretched to its ends.
fn rises(function: RangeFunction, samples: &[Sample], slices: &mut Slices, values: &mut [f64]) {
    let counter = function != RangeFunction::Delta;
    let fallen = if counter { resets(samples) } else { Vec::new() };
    let mut next = 0;
    let mut limited = Vec::new();
    for ((step, value), slice) in values.iter_mut().enumerate().zip(slices.of(samples)) {
        let [first, .., last] = slice.of(samples) else { continue };
        // What a counter had before it fell counts as well.
        let fallen = slice.events(&fallen, &mut next).iter().map(|at| samples[*at as usize - 1].value);
        let rise = fallen.fold(last.value - first.value, |sum, fallen| sum + fallen);
        *value = rise * slice.factor;
        // A counter was not below zero. (What is asked is that with a margin, and spares most a division.)
        let counts = counter && rise > 0.0 && first.value >= 0.0;
        if counts && slice.sampled * first.value < slice.to_start * rise * 1.001 {
            let to_start = slice.to_start.min(slice.sampled * (first.value / rise));
            limited.push((step, rise, *slice, to_start));
        }
    }
    for (step, rise, slice, to_start) in limited {
        values[step] = rise * slices.factor(&slice, to_start);
    }
}

fn resets(samples: &[Sample]) -> Vec<u32> {
    events(samples, |before, after| after < before)
}

/// The samples at which something has happened since the one before. (A query reads far fewer than fit 32 bits.)
fn events(samples: &[Sample], happened: impl Fn(f64, f64) -> bool) -> Vec<u32> {
    let mut at = 0_u32;
    let mut found = Vec::new();
    // Most often there are none, which is found faster without a branch for each.
    for part in samples.chunks(EVENTS_PART) {
        let before = samples[(at as usize).saturating_sub(1)].value;
        let mut previous = before;
        let any = part
            .iter()
            .fold(false, |any, sample| any | happened(std::mem::replace(&mut previous, sample.value), sample.value));
        if any {
            previous = before;
            let inside = (at..)
                .zip(part)
                .filter(|(_, sample)| happened(std::mem::replace(&mut previous, sample.value), sample.value));
            found.extend(inside.map(|(at, _)| at));
        }
        at = at.saturating_add(u32::try_from(part.len()).unwrap_or(u32::MAX));
    }
    found
}

const fn reads_all(function: RangeFunction) -> bool {
    matches!(
        function,
        RangeFunction::Deriv
            | RangeFunction::PredictLinear
            | RangeFunction::Avg
            | RangeFunction::Sum
            | RangeFunction::Stddev
            | RangeFunction::Stdvar
            | RangeFunction::Min
            | RangeFunction::Max
            | RangeFunction::Quantile
    )
}

#[expect(clippy::cast_precision_loss, reason = "a query reads far fewer samples than 2^53")]
pub(super) const fn count(of: usize) -> f64 {
    of as f64
}

#[expect(clippy::cast_precision_loss, reason = "spans of time stay far below 2^53 milliseconds")]
pub(super) const fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn between_last_two(function: RangeFunction, inside: &[Sample]) -> Option<f64> {
    let [.., before, last] = inside else { return None };
    let rate = function == RangeFunction::Irate;
    let rise = if rate && last.value < before.value { last.value } else { last.value - before.value };
    Some(if rate { rise / seconds(last.at - before.at) } else { rise })
}

fn extreme(inside: &[Sample], better: impl Fn(f64, f64) -> bool) -> f64 {
    inside.iter().fold(
        f64::NAN,
        |known, sample| {
            if known.is_nan() || better(sample.value, known) { sample.value } else { known }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::column::ABSENT;
    use super::super::limits::Limits;
    use super::*;

    fn samples(values: &[(i64, f64)]) -> Vec<Sample> {
        values.iter().map(|(at, value)| Sample { at: *at, value: *value }).collect()
    }

    fn all(
        function: RangeFunction,
        samples: &[Sample],
        spans: &Spans,
        limits: &Limits<'_>,
    ) -> Result<Vec<f64>, QueryError> {
        let mut values = vec![ABSENT; spans.grid.count];
        let mut slices = Slices::new(*spans, unit(function, spans.range));
        over_time(function, samples, &mut slices, &[], &mut values, &Account::new(limits)).map(|()| values)
    }

    #[test]
    fn a_counter_that_falls_counts_on_from_zero_and_only_within_its_span() {
        let samples = samples(&[(0, 100.0), (10_000, 110.0), (20_000, 5.0), (30_000, 15.0), (40_000, 20.0)]);
        let limits = Limits::default();
        let spans = Spans { grid: Grid::new(20_000, 40_000, 10_000), offset: 0, fixed: None, range: 20_000 };
        assert_eq!(all(RangeFunction::Increase, &samples, &spans, &limits).unwrap(), [15.0, 15.0, 15.0]);
        assert_eq!(all(RangeFunction::Resets, &samples, &spans, &limits).unwrap(), [1.0, 1.0, 0.0]);
    }

    #[test]
    fn work_beyond_the_limit_ends_the_query() {
        let samples: Vec<Sample> = (0..1_000).map(|at| Sample { at, value: 1.0 }).collect();
        let limits = Limits { work: 10_000, ..Limits::default() };
        let spans = Spans { grid: Grid::new(1_000, 2_000, 1), offset: 0, fixed: None, range: 1_000 };
        let refused = all(RangeFunction::Avg, &samples, &spans, &limits);
        assert!(matches!(refused, Err(QueryError::TooMuch { limit: 10_000, .. })));
    }
}
