//! Series in memory, where they are few and known: for tests, examples and measurements.

use crate::series::{Each, Keep, Labels, Matcher, Sample, Series, Source, SourceError};

/// Series with all their samples, those of each in the order of their times.
#[derive(Debug, Default, Clone)]
pub struct Memory(pub Vec<Series>);

impl Memory {
    /// One more series.
    pub fn push(&mut self, labels: &[(&str, &str)], samples: impl IntoIterator<Item = (i64, f64)>) {
        let samples = samples.into_iter().map(|(at, value)| Sample { at, value }).collect();
        self.0.push(Series { labels: Labels::new(labels.iter().copied()), samples });
    }
}

impl Source for Memory {
    fn each(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        _: i64,
        _: Keep,
        each: &mut Each<'_>,
    ) -> Result<(), SourceError> {
        for one in self.0.iter().filter(|one| matchers.iter().all(|matcher| matcher.fits(&one.labels))) {
            let start = one.samples.partition_point(|sample| sample.at < from);
            let end = one.samples.partition_point(|sample| sample.at <= to);
            if start < end && each(one.labels.clone(), &one.samples[start..end]).is_break() {
                break;
            }
        }
        Ok(())
    }
}
