//! The series of a block that a query wants, one after the other in the order of their keys, so that several blocks are read side by side and
//! none of them as a whole.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::block::Block;
use super::block::index::{Index, Matching};
use super::error::StoreError;
use super::plan::Part;
use super::values::ABSENT;
use crate::series::{Keep, Matcher, Sample};

/// Times that are remembered: those of so many targets. A day by the minute takes 12 kB each.
const MAX_KNOWN_TIMES: usize = 64;
/// Bytes that are read at once at first, and at most: who reads one series pays for little, who reads many waits for few calls.
const FIRST_READ: usize = 4 << 10;
const MAX_READ: usize = 64 << 10;

/// See the module's page.
pub(super) struct Scan<'a> {
    block: Arc<Block>,
    index: Rc<Index>,
    matching: Matching<'a>,
    /// Which of the columns.
    which: usize,
    /// First and last time.
    span: (i64, i64),
    /// Of the series that it is at, if it is at one.
    key: Vec<u8>,
    there: bool,
    times: HashMap<usize, Vec<i64>>,
    ahead: Ahead,
}

/// Bytes of the block that were read together.
#[derive(Default)]
struct Ahead {
    at: u64,
    bytes: Vec<u8>,
    size: usize,
}

impl<'a> Scan<'a> {
    /// Begins at the first series.
    pub(super) fn begin(
        block: &Arc<Block>,
        index: Rc<Index>,
        part: Part,
        matchers: &'a [Matcher],
        keep: Keep,
    ) -> Result<Self, StoreError> {
        let matching = index.matching(matchers).map_err(|source| block.broken("its index", source))?;
        let which = match keep {
            Keep::Last => 0,
            Keep::Min => 1,
            Keep::Max => 2,
        };
        let mut scan = Self {
            block: Arc::clone(block),
            index,
            matching,
            which,
            span: (part.from, part.to),
            key: Vec::new(),
            there: true,
            times: HashMap::new(),
            ahead: Ahead::default(),
        };
        scan.go_on()?;
        Ok(scan)
    }

    /// Of the series that it is at; `None` after the last.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.there.then_some(self.key.as_slice())
    }

    /// Goes to the next series.
    pub(super) fn go_on(&mut self) -> Result<(), StoreError> {
        self.there = self.matching.next(&self.index).map_err(|source| self.block.broken("its index", source))?;
        if self.there {
            self.matching.entry().key(&self.index, &mut self.key);
        }
        Ok(())
    }

    /// Appends the samples of the series that it is at. `values` is for what is on the way.
    pub(super) fn read(&mut self, values: &mut Vec<u64>, out: &mut Vec<Sample>) -> Result<(), StoreError> {
        let entry = self.matching.entry();
        if !self.times.contains_key(&entry.times) {
            if self.times.len() >= MAX_KNOWN_TIMES {
                self.times.clear();
            }
            self.times.insert(entry.times, self.block.times(&self.index, entry.times)?);
        }
        let times = self.times.get(&entry.times).map_or(&[][..], Vec::as_slice);
        let own = times.get(entry.first..entry.first + entry.count).unwrap_or_default();
        let (from, to) = self.span;
        let within = own.partition_point(|at| *at < from)..own.partition_point(|at| *at <= to);
        if within.is_empty() {
            return Ok(());
        }
        let (at, length) = entry.place();
        let bytes = self.ahead.bytes(&self.block, at, length)?;
        let decoded = entry.column(bytes, self.which, values);
        decoded.map_err(|source| self.block.broken("the values of a series", source))?;
        let all = own[within.clone()].iter().zip(&values[within]).filter(|(_, bits)| **bits != ABSENT);
        out.extend(all.map(|(at, bits)| Sample { at: *at, value: f64::from_bits(*bits) }));
        Ok(())
    }
}

impl Ahead {
    /// What lies there: from what was read before, or with what follows, the more the longer it goes on.
    fn bytes(&mut self, block: &Block, at: u64, length: usize) -> Result<&[u8], StoreError> {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let begin = at.checked_sub(self.at).map(place);
        let inside = begin.filter(|begin| begin.checked_add(length).is_some_and(|end| end <= self.bytes.len()));
        let begin = if let Some(begin) = inside {
            begin
        } else {
            let near = begin.is_some_and(|begin| begin <= self.bytes.len() + MAX_READ);
            self.size = if near { (self.size * 4).clamp(FIRST_READ, MAX_READ) } else { FIRST_READ };
            let left = place(block.columns_end().saturating_sub(at));
            block.read_at(at, length.max(self.size.min(left)), &mut self.bytes)?;
            self.at = at;
            0
        };
        Ok(&self.bytes[begin..begin + length])
    }
}
