//! Making a block, a bounded piece of work at a time.

use std::collections::HashMap;
use std::sync::Arc;

use super::block::index::{Cursor, Index};
use super::block::writer::{Columns, Writer};
use super::block::{Block, Meta};
use super::disk::Disk;
use super::error::StoreError;
use super::head::Head;
use super::limits::MAX_ROUNDS;
use super::plan::Job;
use super::registry::Kind;
use super::thin::{Level, Point, thin};
use super::values::ABSENT;

/// Times of an input that are remembered; a block has about one for each group.
const MAX_KNOWN_TIMES: usize = 256;

/// A block that is being made.
pub(super) struct Build {
    pub(super) job: Job,
    writer: Writer,
    level: Level,
    source: Source,
}

/// What it is made of.
enum Source {
    /// The window, its series in the order of their keys, how many are done, and numbers of the times of groups.
    Window {
        serial: u64,
        series: Vec<(Vec<u8>, u32)>,
        done: usize,
        times: HashMap<u32, usize>,
    },
    Blocks(Vec<Input>),
}

/// A block that is read from its first series to its last.
struct Input {
    block: Arc<Block>,
    index: Index,
    cursor: Cursor,
    /// Of the series that is next; `None` after the last.
    key: Option<Vec<u8>>,
    times: HashMap<usize, Arc<Vec<i64>>>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// All is written.
    Done,
    /// What it is made of is there no more.
    Gone,
}

impl Build {
    /// Makes the block of a window, which takes no more rounds from here on.
    pub(super) fn cut(disk: &Disk, head: &mut Head, serial: u64) -> Result<Option<Self>, StoreError> {
        let Some(window) = head.windows.iter_mut().find(|window| window.serial == serial) else { return Ok(None) };
        window.closed = true;
        let (from, to) = (window.from, window.from + Level::Raw.block_ms());
        let window = &*window;
        let slots: Vec<u32> =
            head.registry.slots().map(|(slot, _)| slot).filter(|slot| window.column(*slot).is_some()).collect();
        let key = |slot: u32| {
            let mut key = Vec::new();
            head.registry.get(slot).into_iter().for_each(|measured| head.key(measured, &mut key));
            (key, slot)
        };
        let mut series: Vec<(Vec<u8>, u32)> = slots.into_iter().map(key).collect();
        series.sort();
        let writer = Writer::begin(disk, meta(Level::Raw, serial, from, to, Vec::new(), Vec::new()))?;
        let source = Source::Window { serial, series, done: 0, times: HashMap::new() };
        Ok(Some(Self { job: Job::Cut { window: serial }, writer, level: Level::Raw, source }))
    }

    /// Makes one block of others: what stands for a coarser level's spans, or several of a level in one.
    pub(super) fn join(disk: &Disk, job: Job, inputs: &[Arc<Block>], serial: u64) -> Result<Option<Self>, StoreError> {
        let (Some(from), Some(to)) =
            (inputs.iter().map(|block| block.meta.from).min(), inputs.iter().map(|block| block.meta.to).max())
        else {
            return Ok(None);
        };
        let serials: Vec<u64> = inputs.iter().map(|block| block.meta.serial).collect();
        let level = inputs[0].meta.level;
        let (level, merged, thinned) = match (&job, level.coarser()) {
            (Job::Thin { .. }, Some(coarser)) => (coarser, Vec::new(), serials),
            (Job::Merge { .. }, _) => {
                (level, serials, inputs.iter().flat_map(|block| block.meta.thinned.clone()).collect())
            }
            _ => return Ok(None),
        };
        let mut inputs: Vec<Input> = inputs.iter().map(Input::open).collect::<Result<_, _>>()?;
        // Of two that hold the same sample the later one counts.
        inputs.sort_by_key(|input| (input.block.meta.from, input.block.meta.serial));
        let writer = Writer::begin(disk, meta(level, serial, from, to, merged, thinned))?;
        Ok(Some(Self { job, writer, level, source: Source::Blocks(inputs) }))
    }

    /// Works through so many samples, and those of one series more.
    pub(super) fn step(&mut self, head: &Head, mut samples: usize) -> Result<Progress, StoreError> {
        loop {
            let worked = match &mut self.source {
                Source::Window { serial, series, done, times } => {
                    let Some(window) = head.window(*serial) else { return Ok(Progress::Gone) };
                    let Some((key, slot)) = series.get(*done) else { return Ok(Progress::Done) };
                    *done += 1;
                    let (Some(measured), Some(column)) = (head.registry.get(*slot), window.column(*slot)) else {
                        continue;
                    };
                    let number = if let Some(number) = times.get(&measured.group) {
                        *number
                    } else {
                        let number = self.writer.times(window.times(measured.group))?;
                        *times.entry(measured.group).or_insert(number)
                    };
                    let (_, last) = column.values(0..MAX_ROUNDS);
                    let counter = measured.kind == Kind::Counter;
                    let columns =
                        Columns { counter, times: number, first: column.first(), last: &last, extremes: None };
                    self.writer.series(key, &columns)?;
                    last.len()
                }
                Source::Blocks(inputs) => match join_next(inputs, &mut self.writer, self.level)? {
                    Some(worked) => worked,
                    None => return Ok(Progress::Done),
                },
            };
            samples = samples.saturating_sub(worked.max(1));
            if samples == 0 {
                return Ok(Progress::More);
            }
        }
    }

    pub(super) fn finish(self) -> Result<Arc<Block>, StoreError> {
        self.writer.finish()
    }

    pub(super) fn abandon(self) {
        self.writer.abandon();
    }
}

fn meta(level: Level, serial: u64, from: i64, to: i64, merged: Vec<u64>, thinned: Vec<u64>) -> Meta {
    Meta { level, serial, from, to, merged, thinned, series: 0, samples: 0, newest: i64::MIN }
}

/// Writes the series that is next in any input; gives how many samples it had.
fn join_next(inputs: &mut [Input], writer: &mut Writer, level: Level) -> Result<Option<usize>, StoreError> {
    let Some(key) = inputs.iter().filter_map(|input| input.key.clone()).min() else { return Ok(None) };
    let mut points = Vec::new();
    let mut counter = false;
    for input in inputs {
        // One block may hold a series twice, after it moved from one group to another.
        while input.key.as_ref() == Some(&key) {
            counter |= input.cursor.entry.counter;
            input.read(&mut points)?;
            input.go_on()?;
        }
    }
    if !points.is_sorted_by(|before, after| before.at < after.at) {
        in_order(&mut points);
    }
    let worked = points.len();
    let kept = thin(&points, counter, level);
    if !kept.is_empty() {
        let times: Vec<i64> = kept.iter().map(|point| point.at).collect();
        let number = writer.times(&times)?;
        let column =
            |value: fn(&Point) -> f64| -> Vec<u64> { kept.iter().map(|point| value(point).to_bits()).collect() };
        let newest = column(|point| point.last);
        let (least, most) = (column(|point| point.min), column(|point| point.max));
        let extremes = (!counter).then_some((least.as_slice(), most.as_slice()));
        writer.series(&key, &Columns { counter, times: number, first: 0, last: &newest, extremes })?;
    }
    Ok(Some(worked))
}

/// Of two points of the same time the last one stays.
fn in_order(points: &mut Vec<Point>) {
    points.sort_by_key(|point| point.at);
    points.reverse();
    points.dedup_by_key(|point| point.at);
    points.reverse();
}

impl Input {
    fn open(block: &Arc<Block>) -> Result<Self, StoreError> {
        let index = block.index()?;
        let cursor = index.cursor().map_err(|source| block.broken("its index", source))?;
        let mut input = Self { block: Arc::clone(block), index, cursor, key: None, times: HashMap::new() };
        input.go_on()?;
        Ok(input)
    }

    fn go_on(&mut self) -> Result<(), StoreError> {
        let more = self.cursor.next(&self.index).map_err(|source| self.block.broken("its index", source))?;
        let mut key = self.key.take().unwrap_or_default();
        if more {
            self.cursor.entry.key(&self.index, &mut key);
            self.key = Some(key);
        }
        Ok(())
    }

    /// Appends the points of the series that is next.
    fn read(&mut self, points: &mut Vec<Point>) -> Result<(), StoreError> {
        let entry = &self.cursor.entry;
        if self.times.len() >= MAX_KNOWN_TIMES {
            self.times.clear();
        }
        let times = if let Some(times) = self.times.get(&entry.times) {
            Arc::clone(times)
        } else {
            let times = Arc::new(self.block.times(&self.index, entry.times)?);
            Arc::clone(self.times.entry(entry.times).or_insert(times))
        };
        let bytes = self.block.columns(entry)?;
        let column = |which| {
            let mut values = Vec::new();
            let decoded = entry.column(&bytes, which, &mut values);
            decoded.map(|()| values).map_err(|source| self.block.broken("the values of a series", source))
        };
        let (newest, least, most) = (column(0)?, column(1)?, column(2)?);
        let values = newest.iter().zip(least).zip(most);
        let all = times.iter().skip(entry.first).zip(values).filter(|(_, ((last, _), _))| **last != ABSENT);
        let value = f64::from_bits;
        points.extend(all.map(|(at, ((last, least), most))| Point {
            at: *at,
            last: value(*last),
            min: value(least),
            max: value(most),
        }));
        Ok(())
    }
}
