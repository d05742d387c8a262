//! The journal: what was taken in and is in no block yet. One record with its checksum a round, in segments that each stand for itself.
//!
//! A record is with the operating system before its round can be read, so the end of the process loses nothing; the disk is made to
//! hold it every [`SYNC_EVERY_MS`], so a power failure costs no more than that. A record that is not whole ends its segment: what
//! follows tells differences from what is not known. After a failed write a new segment begins, since the old one's end is not known either.

use std::collections::BTreeSet;

use super::bits::Broken;
use super::disk::{Disk, Written, disk_error};
use super::error::StoreError;
use super::limits::{MAX_SEGMENT_BYTES, SYNC_EVERY_MS};
use super::record::{Names, Replay, Round, State};

const MAGIC: &[u8; 8] = b"manajou1";
/// A record's length and checksum.
const HEAD: usize = 8;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Disk,
    /// Segments that are not written to any more.
    old: Vec<Segment>,
    current: Option<Current>,
    next_number: u64,
    synced_ms: i64,
    buffer: Vec<u8>,
}

/// A file of the journal.
#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    /// Serials of the windows that it holds rounds of.
    windows: BTreeSet<u64>,
}

#[derive(Debug)]
struct Current {
    segment: Segment,
    file: Written,
    state: State,
    unsynced: bool,
}

/// What was cut off when the journal was read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Segments that ended in the middle of a record, or were damaged.
    pub segments: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
}

impl Journal {
    /// Tells all that the segments hold, in the order in which it was written; the torn end of one is cut off.
    pub(super) fn open(disk: &Disk, names: &[String], replay: &mut impl Replay) -> Result<(Self, Torn), StoreError> {
        let mut journal = Self {
            disk: disk.clone(),
            old: Vec::new(),
            current: None,
            next_number: 1,
            synced_ms: i64::MIN,
            buffer: Vec::new(),
        };
        let mut torn = Torn::default();
        for number in names.iter().filter_map(|name| number_of(name)) {
            journal.next_number = journal.next_number.max(number + 1);
            let path = disk.path(&name_of(number));
            let bytes = std::fs::read(&path).map_err(disk_error("read", &path))?;
            let mut windows = BTreeSet::new();
            let whole = read_segment(&bytes, &mut Noting { replay, windows: &mut windows });
            if whole < bytes.len() {
                torn.segments += 1;
                torn.bytes += (bytes.len() - whole) as u64;
                disk.cut(&name_of(number), whole as u64)?;
            }
            journal.old.push(Segment { number, bytes: whole as u64, windows });
        }
        Ok((journal, torn))
    }

    /// Writes a round down. `begins` says that its window is a new one: the segment before it can then be removed with the windows before.
    pub(super) fn append(&mut self, round: &Round<'_>, begins: bool, names: &impl Names) -> Result<(), StoreError> {
        let full = self.current.as_ref().is_some_and(|current| current.segment.bytes >= MAX_SEGMENT_BYTES);
        if begins || full {
            self.close();
        }
        let written = self.write(round, names);
        if written.is_err() {
            self.close();
        }
        written
    }

    fn write(&mut self, round: &Round<'_>, names: &impl Names) -> Result<(), StoreError> {
        let current = match &mut self.current {
            Some(current) => current,
            none => none.insert(begin(&self.disk, self.next_number)?),
        };
        self.buffer.clear();
        self.buffer.resize(HEAD, 0);
        current.state.write(round, names, &mut self.buffer);
        let length = u32::try_from(self.buffer.len() - HEAD).unwrap_or(u32::MAX);
        let checksum = crc32fast::hash(&self.buffer[HEAD..]);
        self.buffer[..4].copy_from_slice(&length.to_le_bytes());
        self.buffer[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
        current.file.write(&self.buffer)?;
        current.file.flush()?;
        current.segment.bytes += self.buffer.len() as u64;
        current.segment.windows.insert(round.window);
        current.unsynced = true;
        // Also after the clock was set back.
        if (round.at.saturating_sub(self.synced_ms)).unsigned_abs() >= SYNC_EVERY_MS.unsigned_abs() {
            self.synced_ms = round.at;
            self.sync()?;
        }
        Ok(())
    }

    /// Makes the disk hold what was written.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        let Some(current) = self.current.as_mut().filter(|current| current.unsynced) else { return Ok(()) };
        current.unsynced = false;
        let synced = current.file.sync();
        if synced.is_err() {
            // What the disk has of it is not known, and forcing it again would not tell.
            self.close();
        }
        synced
    }

    /// The next round begins a new segment.
    pub(super) fn close(&mut self) {
        if let Some(current) = self.current.take() {
            self.next_number = current.segment.number;
            if !current.segment.windows.is_empty() {
                self.next_number += 1;
                self.old.push(current.segment);
            }
        }
    }

    /// Removes what holds rounds of no window that is still in memory.
    pub(super) fn release(&mut self, live: impl Fn(u64) -> bool) -> Result<(), StoreError> {
        if self.current.as_ref().is_some_and(|current| !current.segment.windows.iter().any(|serial| live(*serial))) {
            self.close();
        }
        let mut removed = Ok(());
        let disk = &self.disk;
        self.old.retain(|segment| {
            let keep = segment.windows.iter().any(|serial| live(*serial));
            if !keep
                && removed.is_ok()
                && let Err(error) = disk.remove(&name_of(segment.number))
            {
                removed = Err(error);
            }
            keep || removed.is_err()
        });
        removed
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.old.iter().chain(self.current.as_ref().map(|current| &current.segment)).map(|segment| segment.bytes).sum()
    }
}

/// The first record's write brings the file's name to disk.
fn begin(disk: &Disk, number: u64) -> Result<Current, StoreError> {
    let mut file = disk.create(&name_of(number))?;
    file.write(MAGIC)?;
    file.flush()?;
    disk.sync()?;
    let segment = Segment { number, bytes: MAGIC.len() as u64, windows: BTreeSet::new() };
    Ok(Current { segment, file, state: State::default(), unsynced: false })
}

fn name_of(number: u64) -> String {
    format!("journal-{number:012}.log")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("journal-")?.strip_suffix(".log")?.parse().ok()
}

/// How many bytes were whole.
fn read_segment(bytes: &[u8], replay: &mut impl Replay) -> usize {
    if !bytes.starts_with(MAGIC) {
        return 0;
    }
    let mut state = State::default();
    let mut at = MAGIC.len();
    while let Ok(record) = record_at(&bytes[at..]) {
        if state.read(record, replay).is_err() {
            break;
        }
        at += HEAD + record.len();
    }
    at
}

fn record_at(bytes: &[u8]) -> Result<&[u8], Broken> {
    let (head, rest) = bytes.split_at_checked(HEAD).ok_or(Broken("the end"))?;
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap_or_default());
    let record = rest.get(..word(0) as usize).ok_or(Broken("a record ends too early"))?;
    // Zeros, as a power failure may leave them, are no record.
    if record.is_empty() || crc32fast::hash(record) != word(4) {
        Err(Broken("a record's checksum is wrong"))
    } else {
        Ok(record)
    }
}

/// Notes which windows a segment holds rounds of.
struct Noting<'a, R> {
    replay: &'a mut R,
    windows: &'a mut BTreeSet<u64>,
}

impl<R: Replay> Replay for Noting<'_, R> {
    fn group(&mut self, group: u32, key: &str) {
        self.replay.group(group, key);
    }

    fn series(&mut self, slot: u32, group: u32, definition: &super::record::Definition) {
        self.replay.series(slot, group, definition);
    }

    fn round(&mut self, round: &Round<'_>) {
        self.windows.insert(round.window);
        self.replay.round(round);
    }
}
