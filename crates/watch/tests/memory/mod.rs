//! Series in memory, for tests and benchmarks.

use mana_watch::series::{Keep, SourceError};
use mana_watch::{Labels, Matcher, Sample, Series, Source};

/// Series with all their samples.
#[derive(Debug, Default, Clone)]
pub(crate) struct Memory(pub(crate) Vec<Series>);

impl Memory {
    /// One more series.
    #[allow(dead_code, reason = "not all that use this module add series one by one")]
    pub(crate) fn push(&mut self, labels: &[(&str, &str)], samples: impl IntoIterator<Item = (i64, f64)>) {
        let samples = samples.into_iter().map(|(at, value)| Sample { at, value }).collect();
        self.0.push(Series { labels: Labels::new(labels.iter().copied()), samples });
    }
}

impl Source for Memory {
    fn select(&self, matchers: &[Matcher], from: i64, to: i64, _: i64, _: Keep) -> Result<Vec<Series>, SourceError> {
        let fitting = self.0.iter().filter(|one| matchers.iter().all(|matcher| matcher.fits(&one.labels)));
        let cut = fitting.map(|one| {
            let (start, end) = (first_from(&one.samples, from), first_from(&one.samples, to.saturating_add(1)));
            Series { labels: one.labels.clone(), samples: one.samples[start..end.max(start)].to_vec() }
        });
        Ok(cut.filter(|one| !one.samples.is_empty()).collect())
    }
}

/// The first sample at that time or later. Looks first where it lies if all are equally far apart, since each look into far memory takes its time.
fn first_from(samples: &[Sample], at: i64) -> usize {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0 };
    let fits = |index: usize| {
        samples.get(index).is_none_or(|sample| sample.at >= at) && (index == 0 || samples[index - 1].at < at)
    };
    let length = i128::from(last.at) - i128::from(first.at);
    let guess = (i128::from(at) - i128::from(first.at)) * (samples.len() as i128 - 1) / length.max(1);
    let guess = usize::try_from(guess.clamp(0, samples.len() as i128)).unwrap_or_default();
    [guess, guess + 1]
        .into_iter()
        .find(|index| *index <= samples.len() && fits(*index))
        .unwrap_or_else(|| samples.partition_point(|sample| sample.at < at))
}
