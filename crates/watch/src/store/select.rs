//! Reading, from any thread, beside the one that appends.
//!
//! A reader holds the head's lock while it copies what it needs out of memory, compressed as it lies there; blocks never change, so it reads
//! those from a list that it took along, without a lock. Both are in the order of their series' keys, so that one series after the other is put
//! together of what each of them has, and those before are not held. A block that turns out to be damaged is left out from then on, and what
//! a coarser one has stands for it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use super::block::Block;
use super::block::index::Index;
use super::error::StoreError;
use super::plan::{Part, parts, wanted};
use super::scan::Scan;
use super::thin::{Level, Point, each_kept};
use super::{Reader, key};
use crate::series::{Each, Keep, Labels, Matcher, Sample, Source, SourceError};

/// Series between two looks at the clock: well under a millisecond.
const KEYS_PER_LOOK: usize = 1 << 12;

/// What a query wants to read.
struct Asked<'a> {
    matchers: &'a [Matcher],
    from: i64,
    to: i64,
    step: i64,
    keep: Keep,
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
    fn each(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        step: i64,
        keep: Keep,
        each: &mut Each<'_>,
    ) -> Result<(), SourceError> {
        let asked = Asked { matchers, from, to, step, keep };
        // Series that were given were right, so what is read once more goes on after them.
        let mut given = None;
        again(|| self.try_each(&asked, &mut given, each))
    }
}

impl Reader {
    /// Labels of the series that all matchers fit and that have samples around that time: a block is not looked into further than to see
    /// that it holds the series. Where `stop` says that it is enough, those that were found until then.
    ///
    /// # Errors
    /// More fit than a query may read, or the store cannot be read.
    pub fn series(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<Labels>, SourceError> {
        again(|| {
            let (mut found, mut seen): (HashSet<Vec<u8>>, usize) = (HashSet::new(), 0);
            self.each_key(matchers, from, to, &mut |key| {
                if !found.contains(key) {
                    found.insert(key.to_vec());
                }
                seen += 1;
                if seen.is_multiple_of(KEYS_PER_LOOK) && stop() {
                    return Ok(ControlFlow::Break(()));
                }
                self.allowed(found.len()).map(ControlFlow::Continue)
            })?;
            let mut labels: Vec<Labels> = found.iter().map(|key| key::labels(key)).collect();
            labels.sort();
            Ok(labels)
        })
    }

    /// Whether there is any of these series.
    ///
    /// # Errors
    /// As of [`Reader::series`].
    pub fn has(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<bool, SourceError> {
        again(|| {
            let mut found = false;
            self.each_key(matchers, from, to, &mut |_| {
                found = true;
                Ok(ControlFlow::Break(()))
            })?;
            Ok(found)
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
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(texts.into_iter().collect())
        })
    }

    /// Blocks that may be read.
    fn blocks(all: &[Arc<Block>]) -> Vec<Arc<Block>> {
        all.iter().filter(|block| !block.is_damaged()).map(Arc::clone).collect()
    }

    /// Gives the key of each, until told to stop.
    fn each_key(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        each: &mut impl FnMut(&[u8]) -> Result<ControlFlow<()>, Stop>,
    ) -> Result<(), Stop> {
        let mut key = Vec::new();
        let blocks = {
            let state = self.state();
            for slot in state.head.registry.matching(matchers) {
                let Some(measured) = state.head.registry.get(slot) else { continue };
                if state.head.has_within(slot, measured, from, to) {
                    state.head.key(measured, &mut key);
                    if each(&key)?.is_break() {
                        return Ok(());
                    }
                }
            }
            Self::blocks(&state.blocks)
        };
        for block in blocks.iter().filter(|block| block.meta.from <= to && block.meta.to > from) {
            let index = block.index()?;
            let broken = |source| block.broken("its index", source);
            let mut matching = index.matching(matchers).map_err(broken)?;
            while matching.next(&index).map_err(broken)? {
                matching.entry().key(&index, &mut key);
                if each(&key)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Gives the series after the key `given`, which becomes that of the last one.
    fn try_each(&self, asked: &Asked<'_>, given: &mut Option<Vec<u8>>, each: &mut Each<'_>) -> Result<(), Stop> {
        let Asked { matchers, from, to, step, keep } = *asked;
        let (held, blocks) = {
            let state = self.state();
            (state.head.held(matchers, from, to), Self::blocks(&state.blocks))
        };
        let mut held = held.into_iter().peekable();
        let mut scans = scans(&blocks, asked)?;
        let level = wanted(step);
        let (mut series, mut read) = (0, 0);
        let (mut key, mut values, mut samples, mut all) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        loop {
            let next = scans.iter().filter_map(Scan::key).chain(held.peek().map(|one| one.key.as_slice())).min();
            let Some(next) = next else { return Ok(()) };
            key.clear();
            key.extend_from_slice(next);
            samples.clear();
            for scan in &mut scans {
                while scan.key() == Some(key.as_slice()) {
                    scan.read(&mut values, &mut samples)?;
                    scan.go_on()?;
                }
            }
            while let Some(one) = held.next_if(|one| one.key == key) {
                all.clear();
                one.read(from, to, &mut all);
                thinned(&all, one.counter, level, keep, &mut samples);
            }
            series += usize::from(!samples.is_empty());
            read += samples.len();
            self.allowed(series)?;
            if read > self.shared.limits.query_samples {
                let limit = self.shared.limits.query_samples;
                return Err(Stop::Limit(SourceError::TooManySamples { limit }));
            }
            if samples.is_empty() || given.as_ref().is_some_and(|given| key <= *given) {
                continue;
            }
            in_order(&mut samples);
            if each(key::labels(&key), &samples).is_break() {
                return Ok(());
            }
            given.get_or_insert_default().clone_from(&key);
        }
    }

    fn allowed(&self, found: usize) -> Result<(), Stop> {
        let limit = self.shared.limits.query_series;
        if found > limit { Err(Stop::Limit(SourceError::TooManySeries { found, limit })) } else { Ok(()) }
    }
}

/// What has to be read of blocks. Coarse ones come first, so that of two that hold the same sample the finer and later one counts.
fn scans<'a>(blocks: &[Arc<Block>], asked: &Asked<'a>) -> Result<Vec<Scan<'a>>, StoreError> {
    let metas: Vec<&super::block::Meta> = blocks.iter().map(|block| &block.meta).collect();
    let mut parts = parts(&metas, asked.from, asked.to, asked.step);
    parts.sort_by_key(|part| {
        (part.from, metas[part.number].from, std::cmp::Reverse(metas[part.number].level), metas[part.number].serial)
    });
    // Several parts may be of one block.
    let mut indexes: HashMap<usize, Rc<Index>> = HashMap::new();
    let begin = |part: Part| {
        let block = &blocks[part.number];
        let index = match indexes.entry(part.number) {
            Entry::Occupied(known) => Rc::clone(known.get()),
            Entry::Vacant(place) => Rc::clone(place.insert(Rc::new(block.index()?))),
        };
        Scan::begin(block, index, part, asked.matchers, asked.keep)
    };
    parts.into_iter().map(begin).collect()
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

/// Appends what a block of the level would give in place of these samples, so that a long range does not have most of its samples in its end.
fn thinned(samples: &[Sample], counter: bool, level: Level, keep: Keep, out: &mut Vec<Sample>) {
    // Windows of a clock that was set back may overlap.
    if level == Level::Raw || !samples.is_sorted_by_key(|sample| sample.at) {
        return out.extend_from_slice(samples);
    }
    let value = |point: &Point| match keep {
        Keep::Min if !counter => point.min,
        Keep::Max if !counter => point.max,
        _ => point.last,
    };
    let points = samples.iter().map(|sample| Point::new(sample.at, sample.value));
    each_kept(points, counter, level, |point| out.push(Sample { at: point.at, value: value(&point) }));
}

/// Of two samples of the same time the last one stays.
fn in_order(samples: &mut Vec<Sample>) {
    if !samples.is_sorted_by(|before, after| before.at < after.at) {
        samples.sort_by_key(|sample| sample.at);
        samples.reverse();
        samples.dedup_by_key(|sample| sample.at);
        samples.reverse();
    }
}
