//! Reading, from any thread, beside the one that appends.
//!
//! A reader holds the head's lock while it copies what it needs out of memory, some milliseconds at most; blocks never change, so it reads
//! those from a list that it took along, without a lock. A block that turns out to be damaged is left out from then on, and what a
//! coarser one has stands for it.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::block::Block;
use super::error::StoreError;
use super::plan::{Part, parts, wanted};
use super::registry::Kind;
use super::thin::{Level, Point, thin};
use super::values::ABSENT;
use super::{Reader, key};
use crate::series::{Keep, Labels, Matcher, Sample, Series, Source, SourceError};

/// What was found, by key.
#[derive(Default)]
struct Found {
    numbers: HashMap<Vec<u8>, usize>,
    samples: Vec<Vec<Sample>>,
    /// Samples of all.
    count: usize,
}

/// Why reading stopped.
enum Stop {
    Store(StoreError),
    Limit(SourceError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Source for Reader {
    fn select(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        step: i64,
        keep: Keep,
    ) -> Result<Vec<Series>, SourceError> {
        again(|| self.try_select(matchers, from, to, step, keep))
    }
}

impl Reader {
    /// Labels of the series that all matchers fit and that have samples around that time: a block is not looked into further than to see
    /// that it holds the series.
    ///
    /// # Errors
    /// More fit than a query may read, or the store cannot be read.
    pub fn series(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Labels>, SourceError> {
        again(|| {
            let mut found = Found::default();
            self.each_key(matchers, from, to, &mut |key| {
                found.number(key);
                self.allowed(&found)
            })?;
            let mut labels: Vec<Labels> = found.numbers.keys().map(|key| key::labels(key)).collect();
            labels.sort();
            Ok(labels)
        })
    }

    /// Names of the labels of these series, sorted.
    ///
    /// # Errors
    /// As of [`Reader::series`].
    pub fn label_names(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<String>, SourceError> {
        self.texts(matchers, from, to, |(label, _)| Some(label))
    }

    /// Values of a label of these series, sorted.
    ///
    /// # Errors
    /// As of [`Reader::series`].
    pub fn label_values(
        &self,
        label: &str,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Vec<String>, SourceError> {
        self.texts(matchers, from, to, |(known, value)| (known == label).then_some(value))
    }

    fn texts(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        text: impl for<'a> Fn((&'a str, &'a str)) -> Option<&'a str>,
    ) -> Result<Vec<String>, SourceError> {
        again(|| {
            let mut texts: BTreeSet<String> = BTreeSet::new();
            self.each_key(matchers, from, to, &mut |key| {
                for text in key::pairs(key).filter_map(&text) {
                    if !texts.contains(text) {
                        texts.insert(text.to_owned());
                    }
                }
                Ok(())
            })?;
            Ok(texts.into_iter().collect())
        })
    }

    /// Blocks that may be read.
    fn blocks(all: &[Arc<Block>]) -> Vec<Arc<Block>> {
        all.iter().filter(|block| !block.is_damaged()).map(Arc::clone).collect()
    }

    fn each_key(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        each: &mut impl FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut key = Vec::new();
        let blocks = {
            let state = self.state();
            for slot in state.head.registry.matching(matchers) {
                let Some(measured) = state.head.registry.get(slot) else { continue };
                if state.head.has_within(slot, measured, from, to) {
                    state.head.key(measured, &mut key);
                    each(&key)?;
                }
            }
            Self::blocks(&state.blocks)
        };
        for block in blocks.iter().filter(|block| block.meta.from <= to && block.meta.to > from) {
            let index = block.index()?;
            for entry in index.matching(matchers).map_err(|source| block.broken("its index", source))? {
                entry.key(&index, &mut key);
                each(&key)?;
            }
        }
        Ok(())
    }

    fn try_select(&self, matchers: &[Matcher], from: i64, to: i64, step: i64, keep: Keep) -> Result<Vec<Series>, Stop> {
        let mut found = Found::default();
        let mut newest: Vec<(Vec<u8>, Vec<Sample>)> = Vec::new();
        let blocks = {
            let state = self.state();
            let (wanted, mut count) = (wanted(step), 0);
            for slot in state.head.registry.matching(matchers) {
                let Some(measured) = state.head.registry.get(slot) else { continue };
                let mut samples = Vec::new();
                state.head.read(slot, measured, from, to, &mut samples);
                if wanted != Level::Raw {
                    samples = thinned(&samples, measured.kind == Kind::Counter, wanted, keep);
                }
                if !samples.is_empty() {
                    let mut key = Vec::new();
                    state.head.key(measured, &mut key);
                    count += samples.len();
                    newest.push((key, samples));
                }
                if count > self.shared.limits.query_samples {
                    return Err(self.too_many_samples());
                }
            }
            Self::blocks(&state.blocks)
        };
        let metas: Vec<&super::block::Meta> = blocks.iter().map(|block| &block.meta).collect();
        let mut parts = parts(&metas, from, to, step);
        // Coarse ones come first, so that of two that hold the same sample the finer and later one counts.
        parts.sort_by_key(|part| {
            (part.from, metas[part.number].from, std::cmp::Reverse(metas[part.number].level), metas[part.number].serial)
        });
        for part in parts {
            self.read_part(&blocks[part.number], part, matchers, keep, &mut found)?;
        }
        for (key, mut samples) in newest {
            let number = found.number(&key);
            found.count += samples.len();
            found.samples[number].append(&mut samples);
            self.allowed(&found)?;
        }
        let Found { numbers, samples, .. } = found;
        let mut samples: Vec<Option<Vec<Sample>>> = samples.into_iter().map(Some).collect();
        let mut series: Vec<Series> = numbers
            .into_iter()
            .filter_map(|(key, number)| {
                let samples = in_order(samples[number].take()?);
                (!samples.is_empty()).then(|| Series { labels: key::labels(&key), samples })
            })
            .collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    fn read_part(
        &self,
        block: &Block,
        part: Part,
        matchers: &[Matcher],
        keep: Keep,
        found: &mut Found,
    ) -> Result<(), Stop> {
        let index = block.index()?;
        let entries = index.matching(matchers).map_err(|source| block.broken("its index", source))?;
        let mut known: HashMap<usize, Rc<Vec<i64>>> = HashMap::new();
        for entry in &entries {
            if let std::collections::hash_map::Entry::Vacant(place) = known.entry(entry.times) {
                place.insert(Rc::new(block.times(&index, entry.times)?));
            }
        }
        let which = match keep {
            Keep::Last => 0,
            Keep::Min => 1,
            Keep::Max => 2,
        };
        let mut key = Vec::new();
        let mut refused = Ok(());
        block.each_columns(&entries, |entry, bytes| {
            let times = &known[&entry.times];
            let own = times.get(entry.first..entry.first + entry.count).unwrap_or_default();
            let within = own.partition_point(|at| *at < part.from)..own.partition_point(|at| *at <= part.to);
            if within.is_empty() || refused.is_err() {
                return Ok(());
            }
            let values = entry.column(bytes, which).map_err(|source| block.broken("the values of a series", source))?;
            entry.key(&index, &mut key);
            let number = found.number(&key);
            let samples = &mut found.samples[number];
            let before = samples.len();
            samples.reserve(within.len());
            let all = own[within.clone()].iter().zip(&values[within]);
            samples.extend(all.map(|(at, bits)| Sample { at: *at, value: f64::from_bits(*bits) }));
            found.count += samples.len() - before;
            refused = self.allowed(found);
            Ok(())
        })?;
        refused
    }

    fn allowed(&self, found: &Found) -> Result<(), Stop> {
        let limit = self.shared.limits.query_series;
        if found.samples.len() > limit {
            return Err(Stop::Limit(SourceError::TooManySeries { found: found.samples.len(), limit }));
        }
        if found.count > self.shared.limits.query_samples { Err(self.too_many_samples()) } else { Ok(()) }
    }

    fn too_many_samples(&self) -> Stop {
        Stop::Limit(SourceError::TooManySamples { limit: self.shared.limits.query_samples })
    }
}

/// Reads once more without the block that was found damaged, which happens at most once a block.
fn again<T>(mut read: impl FnMut() -> Result<T, Stop>) -> Result<T, SourceError> {
    loop {
        match read() {
            Ok(found) => return Ok(found),
            Err(Stop::Limit(error)) => return Err(error),
            Err(Stop::Store(StoreError::Damaged { .. })) => {}
            Err(Stop::Store(error)) => return Err(SourceError::Store(error.into())),
        }
    }
}

impl Found {
    fn number(&mut self, key: &[u8]) -> usize {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.samples.len();
        self.numbers.insert(key.to_vec(), number);
        self.samples.push(Vec::new());
        number
    }
}

/// What a block of the level would give in place of these samples, so that a long range does not have most of its samples in its end.
fn thinned(samples: &[Sample], counter: bool, level: Level, keep: Keep) -> Vec<Sample> {
    let points: Vec<Point> = samples.iter().map(|sample| Point::new(sample.at, sample.value)).collect();
    let value = |point: &Point| match keep {
        Keep::Min if !counter => point.min,
        Keep::Max if !counter => point.max,
        _ => point.last,
    };
    let kept = |point: &Point| Sample { at: point.at, value: value(point) };
    // Windows of a clock that was set back may overlap.
    if points.is_sorted_by_key(|point| point.at) {
        thin(&points, counter, level).iter().map(kept).collect()
    } else {
        samples.to_vec()
    }
}

/// Of two samples of the same time the last one stays; what is absent goes.
fn in_order(mut samples: Vec<Sample>) -> Vec<Sample> {
    if samples.iter().any(|sample| sample.value.to_bits() == ABSENT) {
        samples.retain(|sample| sample.value.to_bits() != ABSENT);
    }
    if !samples.is_sorted_by(|before, after| before.at < after.at) {
        samples.sort_by_key(|sample| sample.at);
        samples.reverse();
        samples.dedup_by_key(|sample| sample.at);
        samples.reverse();
    }
    samples
}
