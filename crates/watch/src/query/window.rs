//! Functions over a span of time: the samples in it are a slice that moves along the series with the steps, and is never looked for anew.

use super::column::Grid;
use super::error::QueryError;
use super::limits::Account;
use super::quantile::quantile;
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
    spans: &Spans,
    parameter: &[f64],
    values: &mut [f64],
    account: &Account<'_>,
) -> Result<(), QueryError> {
    let events = match function {
        RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Resets => {
            events(samples, |before, after| after < before)
        }
        RangeFunction::Changes =>
        {
            #[expect(clippy::float_cmp, reason = "any difference is a change")]
            events(samples, |before, after| before != after && !(before.is_nan() && after.is_nan()))
        }
        _ => Vec::new(),
    };
    let range = seconds(spans.range);
    let mut slide = Slide::default();
    let mut scratch = Vec::new();
    for (step, value) in values.iter_mut().enumerate() {
        let end = spans.end(step);
        let start = end.saturating_sub(spans.range);
        let (low, high) = slide.to(samples, start, end);
        let inside = &samples[low..high];
        let (Some(first), Some(last)) = (inside.first(), inside.last()) else { continue };
        if reads_all(function) {
            account.work(inside.len())?;
        }
        let parameter = parameter.get(step).copied().unwrap_or(f64::NAN);
        let result = match function {
            RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Delta => {
                // What a counter had before it fell counts as well.
                let fallen = slide.events(&events, low, high).iter().map(|at| samples[*at as usize - 1].value);
                let rise = fallen.fold(last.value - first.value, |sum, fallen| sum + fallen);
                extrapolated(function, inside, rise, start, end, range)
            }
            RangeFunction::Irate | RangeFunction::Idelta => between_last_two(function, inside),
            RangeFunction::Resets | RangeFunction::Changes => Some(count(slide.events(&events, low, high).len())),
            RangeFunction::Count => Some(count(inside.len())),
            RangeFunction::Last => Some(last.value),
            RangeFunction::Present | RangeFunction::Absent => Some(1.0),
            RangeFunction::Deriv => (inside.len() > 1).then(|| trend::line(inside, first.at).0),
            RangeFunction::PredictLinear => (inside.len() > 1).then(|| {
                let (slope, intercept) = trend::line(inside, spans.grid.at(step));
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
        };
        if let Some(result) = result {
            *value = result;
        }
    }
    Ok(())
}

/// Where the moving slice is.
#[derive(Debug, Default)]
struct Slide {
    low: usize,
    high: usize,
    /// How far it moved last: with samples in a steady beat it moves as far again.
    advance: usize,
    /// The first event behind `low`.
    event: usize,
}

impl Slide {
    /// Moves on to the samples from `start` to `end`, both included; neither may lie before the last ones.
    fn to(&mut self, samples: &[Sample], start: i64, end: i64) -> (usize, usize) {
        let before = self.high;
        let guess = self.high + self.advance;
        let fits = guess <= samples.len()
            && (guess == 0 || samples[guess - 1].at <= end)
            && samples.get(guess).is_none_or(|next| next.at > end);
        if fits {
            self.high = guess;
        } else {
            self.high += samples[self.high..].iter().take_while(|sample| sample.at <= end).count();
        }
        self.advance = self.high - before;
        self.low += samples[self.low..self.high].iter().take_while(|sample| sample.at < start).count();
        (self.low, self.high)
    }

    /// The events that lie between two samples of the slice.
    fn events<'a>(&mut self, events: &'a [u32], low: usize, high: usize) -> &'a [u32] {
        self.event += events[self.event..].iter().take_while(|at| **at as usize <= low).count();
        let inside = events[self.event..].iter().take_while(|at| (**at as usize) < high).count();
        &events[self.event..self.event + inside]
    }
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
const fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// The rise between first and last sample, stretched to the ends of the span: as far as half a beat, or all the way if the series seems to go on there.
/// (Each operation is Prometheus' own: a rule may compare the result with a round number, where the last bit decides.)
fn extrapolated(
    function: RangeFunction,
    inside: &[Sample],
    rise: f64,
    start: i64,
    end: i64,
    range: f64,
) -> Option<f64> {
    let [first, .., last] = inside else { return None };
    let mut to_start = seconds(first.at - start);
    let to_end = seconds(end - last.at);
    let sampled = seconds(last.at - first.at);
    let beat = sampled / count(inside.len() - 1);
    let counts = function != RangeFunction::Delta && rise > 0.0 && first.value >= 0.0;
    // A counter was not below zero. (What is asked first is the same with a margin, and spares most a division.)
    if counts && sampled * first.value < to_start * rise * 1.001 {
        to_start = to_start.min(sampled * (first.value / rise));
    }
    let threshold = beat * 1.1;
    let mut stretched = sampled;
    stretched += if to_start < threshold { to_start } else { beat / 2.0 };
    stretched += if to_end < threshold { to_end } else { beat / 2.0 };
    let factor = stretched / sampled;
    Some(rise * if function == RangeFunction::Rate { factor / range } else { factor })
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
    use proptest::prelude::*;

    fn samples(values: &[(i64, f64)]) -> Vec<Sample> {
        values.iter().map(|(at, value)| Sample { at: *at, value: *value }).collect()
    }

    proptest! {
        #[test]
        fn the_slice_that_moves_is_the_one_that_a_search_finds(
            gaps in proptest::collection::vec(1_i64..40, 0..60), start in -50_i64..50, step in 1_i64..90, range in 1_i64..200,
        ) {
            let mut at = 0;
            let samples: Vec<Sample> = gaps.iter().map(|gap| { at += gap; Sample { at, value: 0.0 } }).collect();
            let mut slide = Slide::default();
            for end in (0..40).map(|n| start + n * step) {
                let (low, high) = slide.to(&samples, end - range, end);
                let expected: Vec<i64> =
                    samples.iter().map(|sample| sample.at).filter(|at| (end - range..=end).contains(at)).collect();
                prop_assert_eq!(samples[low..high].iter().map(|sample| sample.at).collect::<Vec<_>>(), expected);
            }
        }
    }

    fn all(
        function: RangeFunction,
        samples: &[Sample],
        spans: &Spans,
        limits: &Limits<'_>,
    ) -> Result<Vec<f64>, QueryError> {
        let mut values = vec![ABSENT; spans.grid.count];
        over_time(function, samples, spans, &[], &mut values, &Account::new(limits)).map(|()| values)
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
