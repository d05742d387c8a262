//! The index of a block: which series it holds and where.

use crate::series::{Matcher, NAME, Test};

use super::super::bits::{Broken, ByteReader};
use super::super::error::StoreError;
use super::super::limits::{MAX_COLUMN, MAX_LABELS};
use super::super::matching::{Tested, fits};
use super::super::{key, values};
use super::{Block, checked};

/// Series from one that stands for itself to the next.
pub(in crate::store) const ANCHOR: usize = 32;
/// Bytes of an anchor: where its record begins, and where its columns do.
pub(super) const ANCHOR_BYTES: usize = 4 + 8;
/// Stands for the label of a name.
pub(super) const NAME_SYMBOL: u32 = u32::MAX;
/// Flags of a series: it is a counter; something lies before its columns.
pub(super) const COUNTER: u8 = 1;
pub(super) const GAP: u8 = 2;
/// Series that lie no further apart are read together.
const READ_GAP: u64 = 16 << 10;
/// Bytes that are read together at most.
const READ_TOGETHER: u64 = 1 << 20;

/// See the module's page.
pub(in crate::store) struct Index {
    bytes: Vec<u8>,
    /// Where each text is.
    symbols: Vec<(usize, usize)>,
    times: Vec<TimesAt>,
    series: usize,
    anchors: usize,
    records: usize,
}

#[derive(Debug, Clone, Copy)]
struct TimesAt {
    at: u64,
    length: usize,
    count: usize,
}

/// One series of a block.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Entry {
    /// Symbols of labels and values, the name first.
    pairs: Vec<(u32, u32)>,
    pub(in crate::store) counter: bool,
    /// Number of its times, and which part of them is its own.
    pub(in crate::store) times: usize,
    pub(in crate::store) first: usize,
    pub(in crate::store) count: usize,
    /// Where its columns are.
    at: u64,
    /// Bytes of its last, smallest and largest values; none: they are the last ones.
    lengths: [usize; 3],
}

/// Goes from series to series.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Cursor {
    pub(in crate::store) entry: Entry,
    number: usize,
    at: usize,
}

/// Goes from each series that some matchers fit to the next.
pub(in crate::store) struct Matching<'a> {
    cursor: Cursor,
    /// The beginning of the keys with the one name that is asked for.
    wanted: Option<Vec<u8>>,
    names: Vec<&'a Matcher>,
    tests: Vec<Tested<'a, u32>>,
    /// The name that was looked at last, and whether it fits: neighbours have the same.
    name: (u32, bool),
}

impl Index {
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, Broken> {
        let mut reader = ByteReader::new(&bytes);
        let count = reader.length()?;
        let mut symbols = Vec::new();
        for _ in 0..count {
            let text = reader.text()?;
            symbols.push((reader.at - text.len(), text.len()));
        }
        let count = reader.length()?;
        let mut times = Vec::new();
        for _ in 0..count {
            let at = TimesAt { at: reader.varint()?, length: reader.length()?, count: reader.length()? };
            if at.count > MAX_COLUMN {
                return Err(Broken("more times than there can be"));
            }
            times.push(at);
        }
        let series = reader.length()?;
        let anchors = reader.at;
        let records = series.div_ceil(ANCHOR).checked_mul(ANCHOR_BYTES).and_then(|length| length.checked_add(anchors));
        let records = records.filter(|records| *records <= bytes.len()).ok_or(Broken("the index ends too early"))?;
        Ok(Self { bytes, symbols, times, series, anchors, records })
    }

    fn text(&self, symbol: u32) -> &str {
        let (at, length) = self.symbols.get(symbol as usize).copied().unwrap_or_default();
        // Was looked at when the index was read.
        std::str::from_utf8(&self.bytes[at..at + length]).unwrap_or_default()
    }

    fn at_anchor(&self, anchor: usize) -> Result<Cursor, Broken> {
        let mut reader = ByteReader::new(&self.bytes);
        reader.at = self.anchors + anchor * ANCHOR_BYTES;
        let at = self.records + reader.u32()? as usize;
        Ok(Cursor { entry: Entry::default(), number: anchor * ANCHOR, at })
    }

    /// Where the columns of an anchor's series begin.
    fn columns_at(&self, anchor: usize) -> Result<u64, Broken> {
        let mut reader = ByteReader::new(&self.bytes);
        reader.at = self.anchors + anchor * ANCHOR_BYTES + 4;
        reader.u64()
    }

    /// The first series, or one not far before the first of the metric.
    fn seek(&self, name: Option<&str>) -> Result<Cursor, Broken> {
        let anchors = self.series.div_ceil(ANCHOR);
        let (mut low, mut high) = (0, anchors);
        let wanted = name.map(key::of_name);
        while let Some(wanted) = &wanted
            && low < high
        {
            let middle = low.midpoint(high);
            let mut cursor = self.at_anchor(middle)?;
            cursor.next(self)?;
            if key::of_name(cursor.entry.name(self)) < *wanted { low = middle + 1 } else { high = middle }
        }
        if anchors == 0 { Ok(Cursor::default()) } else { self.at_anchor(low.saturating_sub(1)) }
    }

    /// All series, in their order.
    pub(in crate::store) fn cursor(&self) -> Result<Cursor, Broken> {
        self.seek(None)
    }

    /// Goes through the series that all matchers fit.
    pub(in crate::store) fn matching<'a>(&self, matchers: &'a [Matcher]) -> Result<Matching<'a>, Broken> {
        let name = matchers.iter().find_map(|matcher| match &matcher.test {
            Test::Equal(name) if matcher.label == NAME => Some(name.as_str()),
            _ => None,
        });
        let (names, others): (Vec<_>, Vec<_>) = matchers.iter().partition(|matcher| matcher.label == NAME);
        Ok(Matching {
            cursor: self.seek(name)?,
            wanted: name.map(key::of_name),
            names,
            tests: others.into_iter().map(Tested::new).collect(),
            name: (NAME_SYMBOL, false),
        })
    }

    /// The series that all matchers fit, in their order.
    pub(in crate::store) fn entries(&self, matchers: &[Matcher]) -> Result<Vec<Entry>, Broken> {
        let mut matching = self.matching(matchers)?;
        let mut found = Vec::new();
        while matching.next(self)? {
            found.push(matching.entry().clone());
        }
        Ok(found)
    }
}

impl Matching<'_> {
    /// Goes to the next series, if there is one.
    pub(in crate::store) fn next(&mut self, index: &Index) -> Result<bool, Broken> {
        while self.cursor.next(index)? {
            let symbol = self.cursor.entry.name_symbol();
            if self.name.0 != symbol {
                let text = index.text(symbol);
                if self.wanted.as_ref().is_some_and(|wanted| key::of_name(text) > *wanted) {
                    return Ok(false);
                }
                self.name = (symbol, self.names.iter().all(|matcher| fits(matcher, text)));
            }
            let Self { cursor, tests, .. } = self;
            if self.name.1 && tests.iter_mut().all(|test| cursor.entry.fits(test, index)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The series that it is at.
    pub(in crate::store) fn entry(&self) -> &Entry {
        &self.cursor.entry
    }
}

impl Entry {
    fn name_symbol(&self) -> u32 {
        self.pairs.first().map_or(NAME_SYMBOL, |(_, name)| *name)
    }

    pub(in crate::store) fn name<'a>(&self, index: &'a Index) -> &'a str {
        index.text(self.name_symbol())
    }

    /// Its labels, without the name.
    pub(in crate::store) fn pairs<'a>(&'a self, index: &'a Index) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs.iter().skip(1).map(|(label, value)| (index.text(*label), index.text(*value)))
    }

    fn fits(&self, test: &mut Tested<'_, u32>, index: &Index) -> bool {
        let mut pairs = self.pairs.iter().skip(1).filter(|(label, _)| index.text(*label) == test.label());
        test.fits(pairs.next().map(|(_, value)| *value), |value| index.text(value))
    }

    pub(in crate::store) fn key(&self, index: &Index, key: &mut Vec<u8>) {
        key::write(self.name(index), self.pairs(index), key);
    }

    /// Where all its columns are.
    pub(in crate::store) fn place(&self) -> (u64, usize) {
        (self.at, self.length())
    }

    /// Bytes of all columns, with their checksum.
    fn length(&self) -> usize {
        self.lengths.iter().sum::<usize>() + 4
    }

    /// Its last (0), smallest (1) or largest (2) values, in place of what was in `out`.
    pub(in crate::store) fn column(&self, bytes: &[u8], which: usize, out: &mut Vec<u64>) -> Result<(), Broken> {
        let bytes = checked(bytes)?;
        let which = if self.lengths[which] == 0 { 0 } else { which };
        let begin: usize = self.lengths[..which].iter().sum();
        let column = bytes.get(begin..begin + self.lengths[which]).ok_or(Broken("a column is too short"))?;
        out.clear();
        out.reserve(self.count);
        values::decode(column, self.count, out)
    }
}

impl Cursor {
    /// Goes to the next series, if there is one.
    pub(in crate::store) fn next(&mut self, index: &Index) -> Result<bool, Broken> {
        if self.number >= index.series {
            return Ok(false);
        }
        let entry = &mut self.entry;
        entry.at = if self.number.is_multiple_of(ANCHOR) {
            index.columns_at(self.number / ANCHOR)?
        } else {
            entry.at.saturating_add(entry.length() as u64)
        };
        let mut reader = ByteReader::new(&index.bytes);
        reader.at = self.at;
        let (shared, more) = (reader.length()?, reader.length()?);
        if shared > entry.pairs.len() || more > MAX_LABELS || shared + more == 0 {
            return Err(Broken("a series has labels that cannot be"));
        }
        entry.pairs.truncate(shared);
        for number in shared..shared + more {
            let label = if number == 0 { NAME_SYMBOL } else { reader.small()? };
            entry.pairs.push((label, reader.small()?));
        }
        let flags = reader.byte()?;
        entry.counter = flags & COUNTER != 0;
        if flags & GAP != 0 {
            entry.at = entry.at.checked_add(reader.varint()?).ok_or(Broken("a column lies beyond the end"))?;
        }
        (entry.times, entry.first, entry.count) = (reader.length()?, reader.length()?, reader.length()?);
        for length in &mut entry.lengths {
            *length = reader.length()?;
            if *length > MAX_COLUMN * 16 {
                return Err(Broken("a column is too long"));
            }
        }
        let times = index.times.get(entry.times).ok_or(Broken("a series has unknown times"))?;
        if entry.first.checked_add(entry.count).is_none_or(|end| end > times.count) {
            return Err(Broken("a series has more values than times"));
        }
        self.at = reader.at;
        self.number += 1;
        Ok(true)
    }
}

impl Block {
    /// Reads times by their number.
    pub(in crate::store) fn times(&self, index: &Index, number: usize) -> Result<Vec<i64>, StoreError> {
        let TimesAt { at, length, count } =
            *index.times.get(number).ok_or_else(|| self.broken("its index", Broken("unknown times")))?;
        let bytes = self.bytes_at(at, length)?;
        checked(&bytes)
            .and_then(|bytes| values::decode_times(bytes, count))
            .map_err(|source| self.broken("the times of some series", source))
    }

    /// Reads the columns of one series.
    pub(in crate::store) fn columns(&self, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        self.bytes_at(entry.at, entry.length())
    }

    /// Reads all that is in the block, but for the values themselves.
    pub(in crate::store) fn verify(&self) -> Result<(), StoreError> {
        let index = self.index()?;
        for number in 0..index.times.len() {
            self.times(&index, number)?;
        }
        let entries = index.entries(&[]).map_err(|source| self.broken("its index", source))?;
        if entries.len() as u64 != self.meta.series {
            return Err(self.broken("its index", Broken("series are missing")));
        }
        self.each_columns(&entries, |_, bytes| {
            checked(bytes).map(|_| ()).map_err(|source| self.broken("the values of a series", source))
        })
    }

    /// Reads the columns of series in their order, neighbours at once, and gives each to `each`.
    pub(in crate::store) fn each_columns(
        &self,
        entries: &[Entry],
        mut each: impl FnMut(&Entry, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let end = |entry: &Entry| entry.at.saturating_add(entry.length() as u64);
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let pairs = rest.iter().zip(rest.iter().skip(1));
            let near = |(before, next): &(&Entry, &Entry)| {
                next.at.saturating_sub(end(before)) <= READ_GAP && end(next).saturating_sub(first.at) <= READ_TOGETHER
            };
            let (together, after) = rest.split_at(1 + pairs.take_while(near).count());
            let last = together.last().map_or(first.at, end);
            let length = usize::try_from(last.saturating_sub(first.at)).unwrap_or(usize::MAX);
            let bytes = self.bytes_at(first.at, length)?;
            for entry in together {
                let begin = entry.at.checked_sub(first.at).and_then(|begin| usize::try_from(begin).ok());
                let begin = begin.unwrap_or(usize::MAX);
                let bytes = begin.checked_add(entry.length()).and_then(|end| bytes.get(begin..end));
                each(entry, bytes.ok_or_else(|| self.broken("its index", Broken("columns are out of order")))?)?;
            }
            rest = after;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::disk::Disk;
    use super::super::super::thin::Level;
    use super::super::Meta;
    use super::super::writer::{Columns, Writer};
    use super::*;
    use std::sync::Arc;

    /// A block with 100 series of three metrics, each with times of its own.
    fn block(folder: &std::path::Path) -> Arc<Block> {
        let disk = Disk::open(folder).unwrap();
        let meta = Meta {
            level: Level::Raw,
            serial: 7,
            from: 0,
            to: 7_200_000,
            merged: vec![],
            thinned: vec![],
            series: 0,
            samples: 0,
            newest: 0,
        };
        let mut writer = Writer::begin(&disk, meta).unwrap();
        let mut key = Vec::new();
        for number in 0..100i64 {
            key::write(&format!("m{}", number / 40), [("n", format!("{number:03}").as_str())].into_iter(), &mut key);
            let times = writer.times(&[number, number + 10, number + 30]).unwrap();
            let last = [number.cast_unsigned(); 2];
            writer.series(&key, &Columns { counter: false, times, first: 1, last: &last, extremes: None }).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_metric_is_found_wherever_it_lies_between_the_anchors() {
        let folder = tempfile::tempdir().unwrap();
        let block = block(folder.path());
        let index = block.index().unwrap();
        let count = |name: &str| index.entries(&[Matcher::equal(NAME, name)]).unwrap().len();
        assert_eq!(
            [count("m0"), count("m1"), count("m2"), count("m"), count("m00"), count("m3")],
            [40, 40, 20, 0, 0, 0]
        );
        let entries = index.entries(&[Matcher::equal("n", "077")]).unwrap();
        assert_eq!((entries.len(), entries[0].name(&index)), (1, "m1"));
        let bytes = block.columns(&entries[0]).unwrap();
        let mut values = vec![1];
        entries[0].column(&bytes, 2, &mut values).unwrap();
        assert_eq!(values, [77, 77]);
        assert_eq!(block.times(&index, entries[0].times).unwrap()[entries[0].first..], [87, 107]);
    }

    #[test]
    fn an_index_with_any_wrong_byte_is_read_without_a_panic_even_if_no_checksum_stood_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let block = block(folder.path());
        let bytes = block.bytes_at(block.index.0, block.index.1).unwrap();
        for at in 0..bytes.len() {
            for wrong in [0, 0x7f, 0xff, bytes[at] ^ 1, bytes[at] ^ 0x80] {
                let mut bytes = bytes.clone();
                bytes[at] = wrong;
                let Ok(index) = Index::read(bytes) else { continue };
                let _ = index.entries(&[Matcher::equal(NAME, "m1")]);
                let Ok(entries) = index.entries(&[]) else { continue };
                let _ = block.each_columns(&entries, |entry, bytes| {
                    let _ = entry.column(bytes, 1, &mut Vec::new());
                    Ok(())
                });
            }
        }
    }
}
