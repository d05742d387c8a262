//! Where spans of time lie over a series' samples: a slice that moves along them with the steps, and is never looked for anew. The series of a
//! target share their times, so what depends on times alone is found out once for all of them.

use std::collections::VecDeque;

use super::window::{Spans, seconds};
use crate::series::Sample;

/// Different times that are remembered: those of so many targets.
const MAX_KNOWN: usize = 64;
/// Times and slices that are remembered in all: some megabytes.
const MAX_HELD: usize = 1 << 17;

/// The samples of a step's span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    low: u32,
    high: u32,
    /// Seconds from the span's begin to its first sample, from there to its last one, and on to the span's end.
    pub(super) to_start: f64,
    pub(super) sampled: f64,
    to_end: f64,
    /// What a rise between first and last sample is multiplied with. See [`Slices::factor`].
    pub(super) factor: f64,
}

/// The slices of all steps, over the times of one series after the other.
pub(super) struct Slices {
    pub(super) spans: Spans,
    /// What a rise is told by: a second for all, or all seconds of the span.
    unit: f64,
    known: VecDeque<Known>,
    held: usize,
}

struct Known {
    times: Vec<i64>,
    slices: Vec<Slice>,
}

impl Slice {
    /// The slice of these samples, whose times are those that it was made of. (A query reads far fewer than fit 32 bits.)
    pub(super) fn of<'a>(&self, samples: &'a [Sample]) -> &'a [Sample] {
        &samples[self.low as usize..self.high as usize]
    }

    /// Those of the events, which are places of samples in their order, that lie between two samples of the slice. `next` is where to look.
    pub(super) fn events<'a>(&self, events: &'a [u32], next: &mut usize) -> &'a [u32] {
        *next += events[*next..].iter().take_while(|at| **at <= self.low).count();
        let inside = events[*next..].iter().take_while(|at| **at < self.high).count();
        &events[*next..*next + inside]
    }
}

impl Slices {
    /// `unit`: what a rise is divided by.
    pub(super) fn new(spans: Spans, unit: f64) -> Self {
        Self { spans, unit, known: VecDeque::new(), held: 0 }
    }

    /// The slice of each step.
    pub(super) fn of(&mut self, samples: &[Sample]) -> &[Slice] {
        let last = samples.last().map(|sample| sample.at);
        let same = |known: &Known| {
            known.times.len() == samples.len()
                && known.times.last().copied() == last
                && known.times.iter().zip(samples).all(|(at, sample)| *at == sample.at)
        };
        let place = self.known.iter().position(same).unwrap_or_else(|| {
            let slices = self.made(samples);
            self.held += samples.len() + slices.len();
            while self.held > MAX_HELD || self.known.len() >= MAX_KNOWN {
                let Some(oldest) = self.known.pop_front() else { break };
                self.held -= oldest.times.len() + oldest.slices.len();
            }
            self.known.push_back(Known { times: samples.iter().map(|sample| sample.at).collect(), slices });
            self.known.len() - 1
        });
        &self.known[place].slices
    }

    fn made(&self, samples: &[Sample]) -> Vec<Slice> {
        let mut moving = Slide::default();
        (0..self.spans.grid.count)
            .map(|step| {
                let end = self.spans.end(step);
                let start = end.saturating_sub(self.spans.range);
                let (low, high) = moving.to(samples, start, end);
                let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                let mut slice =
                    Slice { low: place(low), high: place(high), to_start: 0.0, sampled: 0.0, to_end: 0.0, factor: 0.0 };
                if let [first, .., last] = &samples[low..high] {
                    slice.to_start = seconds(first.at - start);
                    slice.sampled = seconds(last.at - first.at);
                    slice.to_end = seconds(end - last.at);
                    slice.factor = self.factor(&slice, slice.to_start);
                }
                slice
            })
            .collect()
    }

    /// What stretches the rise between first and last sample to the ends of the span: as far as half a beat, or all the way if the series seems to
    /// go on there. (Each operation is Prometheus' own: a rule may compare the result with a round number, where the last bit decides.)
    pub(super) fn factor(&self, slice: &Slice, to_start: f64) -> f64 {
        let beat = slice.sampled / f64::from(slice.high - slice.low - 1);
        let threshold = beat * 1.1;
        let mut stretched = slice.sampled;
        stretched += if to_start < threshold { to_start } else { beat / 2.0 };
        stretched += if slice.to_end < threshold { slice.to_end } else { beat / 2.0 };
        stretched / slice.sampled / self.unit
    }
}

/// Where the moving slice is.
#[derive(Debug, Default)]
struct Slide {
    low: usize,
    high: usize,
    /// How far it moved last: with samples in a steady beat it moves as far again.
    advance: usize,
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
}

#[cfg(test)]
mod tests {
    use super::super::column::Grid;
    use super::*;
    use proptest::prelude::*;

    fn at(times: &[i64]) -> Vec<Sample> {
        times.iter().map(|at| Sample { at: *at, value: 0.0 }).collect()
    }

    proptest! {
        #[test]
        fn the_slice_that_moves_is_the_one_that_a_search_finds_whatever_was_before(
            all in proptest::collection::vec(proptest::collection::vec(1_i64..40, 0..60), 1..5),
            start in -50_i64..50, step in 1_i64..90, range in 1_i64..200,
        ) {
            let spans = Spans { grid: Grid { start, step, count: 40 }, offset: 0, fixed: None, range };
            let mut slices = Slices::new(spans, 1.0);
            // Each twice, since the second is the one that is known.
            for gaps in all.iter().chain(&all) {
                let times: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
                let samples = at(&times);
                let found = slices.of(&samples).to_vec();
                prop_assert_eq!(found.len(), 40);
                for (slice, end) in found.iter().zip((0..40).map(|n| start + n * step)) {
                    let expected: Vec<i64> = times.iter().copied().filter(|at| (end - range..=end).contains(at)).collect();
                    prop_assert_eq!(slice.of(&samples).iter().map(|sample| sample.at).collect::<Vec<_>>(), expected);
                }
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let spans = Spans { grid: Grid { start: 0, step: 10, count: 1_000 }, offset: 0, fixed: None, range: 50 };
        let mut slices = Slices::new(spans, 1.0);
        for length in 0..200 {
            slices.of(&at(&(0..length * 50).collect::<Vec<_>>()));
            assert!(slices.known.len() <= MAX_KNOWN && (slices.held <= MAX_HELD || slices.known.len() == 1));
        }
        assert_eq!(slices.known.iter().map(|known| known.times.len() + known.slices.len()).sum::<usize>(), slices.held);
    }
}
