//! Writes a block, one series after the other, in the order of their keys: to a file of its own name only once all of it is on disk.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::bits::{put_length, put_text, put_varint};
use super::super::disk::{Disk, Written};
use super::super::error::StoreError;
use super::super::key;
use super::super::values::{self, ABSENT};
use super::index::{ANCHOR, COUNTER, GAP, NAME_SYMBOL};
use super::{Block, Footer, MAGIC, Meta};

/// Different times that are remembered, to be written once. A block has about one for each group.
const MAX_KNOWN_TIMES: usize = 1_024;
/// How the names of unfinished files end.
pub(in crate::store) const UNFINISHED: &str = ".unfinished";

/// See the module's page.
pub(in crate::store) struct Writer {
    disk: Disk,
    file: Written,
    meta: Meta,
    at: u64,
    /// Where the columns of the last series end.
    columns_end: u64,
    symbols: HashMap<Box<str>, u32>,
    texts: Vec<u8>,
    known_times: HashMap<Vec<u8>, usize>,
    times: Vec<u8>,
    times_count: usize,
    anchors: Vec<u8>,
    records: Vec<u8>,
    pairs: Vec<(u32, u32)>,
    buffer: Vec<u8>,
}

/// What is written of a series.
pub(in crate::store) struct Columns<'a> {
    pub(in crate::store) counter: bool,
    /// Number of its times, and where it begins among them.
    pub(in crate::store) times: usize,
    pub(in crate::store) first: usize,
    pub(in crate::store) last: &'a [u64],
    /// The smallest and the largest, where they are not the last ones.
    pub(in crate::store) extremes: Option<(&'a [u64], &'a [u64])>,
}

impl Writer {
    /// Series and samples of the meta are counted while they come.
    pub(in crate::store) fn begin(disk: &Disk, meta: Meta) -> Result<Self, StoreError> {
        let mut file = disk.create(&(meta.file_name() + UNFINISHED))?;
        file.write(MAGIC)?;
        Ok(Self {
            disk: disk.clone(),
            file,
            meta: Meta { series: 0, samples: 0, newest: i64::MIN, ..meta },
            at: MAGIC.len() as u64,
            columns_end: 0,
            symbols: HashMap::new(),
            texts: Vec::new(),
            known_times: HashMap::new(),
            times: Vec::new(),
            times_count: 0,
            anchors: Vec::new(),
            records: Vec::new(),
            pairs: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// Writes times, unless the same were written before; gives their number.
    pub(in crate::store) fn times(&mut self, times: &[i64]) -> Result<usize, StoreError> {
        let mut bytes = Vec::new();
        put_length(&mut bytes, times.len());
        let head = bytes.len();
        values::encode_times(times, &mut bytes);
        if let Some(number) = self.known_times.get(&bytes) {
            return Ok(*number);
        }
        self.meta.newest = self.meta.newest.max(times.last().copied().unwrap_or(i64::MIN));
        put_varint(&mut self.times, self.at);
        let column = &bytes[head..];
        put_length(&mut self.times, column.len() + 4);
        put_length(&mut self.times, times.len());
        self.file.write(column)?;
        self.file.write(&crc32fast::hash(column).to_le_bytes())?;
        self.at += column.len() as u64 + 4;
        if self.known_times.len() >= MAX_KNOWN_TIMES {
            self.known_times.clear();
        }
        self.known_times.insert(bytes, self.times_count);
        self.times_count += 1;
        Ok(self.times_count - 1)
    }

    /// Writes a series; its key is after that of the one before.
    pub(in crate::store) fn series(&mut self, series_key: &[u8], columns: &Columns<'_>) -> Result<(), StoreError> {
        let mut pairs = Vec::with_capacity(self.pairs.len());
        for (number, (label, value)) in key::pairs(series_key).enumerate() {
            let label = if number == 0 { NAME_SYMBOL } else { self.symbol(label) };
            pairs.push((label, self.symbol(value)));
        }
        let anchor = self.meta.series.is_multiple_of(ANCHOR as u64);
        if anchor {
            self.anchors.extend_from_slice(&u32::try_from(self.records.len()).unwrap_or(u32::MAX).to_le_bytes());
            self.anchors.extend_from_slice(&self.at.to_le_bytes());
        }
        let shared = if anchor { 0 } else { pairs.iter().zip(&self.pairs).take_while(|(a, b)| a == b).count() };
        put_length(&mut self.records, shared);
        put_length(&mut self.records, pairs.len() - shared);
        for (label, value) in &pairs[shared..] {
            if *label != NAME_SYMBOL {
                put_varint(&mut self.records, u64::from(*label));
            }
            put_varint(&mut self.records, u64::from(*value));
        }
        self.pairs = pairs;
        // Times may lie between its columns and those of the series before.
        let gap = if anchor { 0 } else { self.at - self.columns_end };
        self.records.push(u8::from(columns.counter) * COUNTER + u8::from(gap > 0) * GAP);
        if gap > 0 {
            put_varint(&mut self.records, gap);
        }
        for number in [columns.times, columns.first, columns.last.len()] {
            put_length(&mut self.records, number);
        }
        self.columns(columns)?;
        self.meta.series += 1;
        self.meta.samples += columns.last.iter().filter(|bits| **bits != ABSENT).count() as u64;
        Ok(())
    }

    fn columns(&mut self, columns: &Columns<'_>) -> Result<(), StoreError> {
        self.buffer.clear();
        let mut before = 0;
        let (least, most) = columns.extremes.unwrap_or_default();
        for column in [columns.last, least, most] {
            if before == 0 || !(column.is_empty() || column == columns.last) {
                values::encode(column, &mut self.buffer);
            }
            put_length(&mut self.records, self.buffer.len() - before);
            before = self.buffer.len();
        }
        let checksum = crc32fast::hash(&self.buffer);
        self.buffer.extend_from_slice(&checksum.to_le_bytes());
        self.at += self.buffer.len() as u64;
        self.columns_end = self.at;
        self.file.write(&self.buffer)
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(symbol) = self.symbols.get(text) {
            return *symbol;
        }
        let symbol = u32::try_from(self.symbols.len()).expect("series and their labels are limited");
        self.symbols.insert(text.into(), symbol);
        put_text(&mut self.texts, text);
        symbol
    }

    /// Brings the block to disk under its name, and opens it.
    pub(in crate::store) fn finish(mut self) -> Result<Arc<Block>, StoreError> {
        let mut index = Vec::new();
        put_length(&mut index, self.symbols.len());
        index.append(&mut self.texts);
        put_length(&mut index, self.times_count);
        index.append(&mut self.times);
        put_varint(&mut index, self.meta.series);
        index.append(&mut self.anchors);
        index.append(&mut self.records);
        let mut meta = Vec::new();
        self.meta.write(&mut meta);
        let footer = Footer {
            index_at: self.at,
            index_length: index.len() as u64,
            index_checksum: crc32fast::hash(&index),
            meta_length: u32::try_from(meta.len()).unwrap_or(u32::MAX),
            meta_checksum: crc32fast::hash(&meta),
        };
        footer.write(&mut meta);
        self.file.write(&index)?;
        self.file.write(&meta)?;
        self.file.sync()?;
        let name = self.meta.file_name();
        self.disk.rename(&(name.clone() + UNFINISHED), &name)?;
        let opened = self.disk.sync().and_then(|()| {
            // Before what it is made of goes.
            let block = Block::open(&self.disk, &name)?;
            block.verify()?;
            Ok(Arc::new(block))
        });
        if opened.is_err() {
            // It is made again; what cannot be removed is in place of nothing when the store is opened.
            let _ = self.disk.remove(&name);
        }
        opened
    }

    /// Gives the block up.
    pub(in crate::store) fn abandon(self) {
        // What cannot be removed now is removed when the store is opened.
        let _ = self.disk.remove(&(self.meta.file_name() + UNFINISHED));
    }
}
