//! What the store says of itself.

use super::journal::Torn;
use super::thin::Level;

/// What the store says of itself. Counts are since it was opened.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Series that are measured.
    pub series: usize,
    /// Groups that they are in.
    pub groups: usize,
    /// Windows that are in no block yet; more than two say that blocks cannot be written, or that the clock jumps.
    pub windows: usize,
    /// Roughly the bytes that the windows take in memory.
    pub window_bytes: usize,
    /// What each level has on disk.
    pub levels: Vec<LevelStats>,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// What came and what became of it.
    pub counts: Counts,
    /// What was cut off the journal's ends when it was opened.
    pub torn: Torn,
    /// Damaged files, oldest first; they are kept under a name that ends in `.bad`.
    pub set_aside: Vec<SetAside>,
    /// What the disk refused last, until it takes something again.
    pub trouble: Option<String>,
}

/// What one level has on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelStats {
    /// The level.
    pub level: Level,
    /// Files.
    pub blocks: usize,
    /// Their size.
    pub bytes: u64,
    /// Samples in them.
    pub samples: u64,
}

/// What came and what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples that were taken.
    pub taken: u64,
    /// Samples that were older than the newest of their group.
    pub late: u64,
    /// Samples of a time that their series has a value of.
    pub repeated: u64,
    /// Samples of groups with more rounds than a window holds.
    pub crowded: u64,
    /// Samples of series that are not known, or not any more.
    pub unknown: u64,
    /// Rounds that are in memory only, because the journal could not be written.
    pub unwritten: u64,
    /// New series that were refused by a limit.
    pub refused_series: u64,
    /// Samples that were given up, because no block could be written for hours.
    pub given_up: u64,
    /// Blocks that were dropped by age or size, or because another stands for them.
    pub dropped_blocks: u64,
}

/// A damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its name before.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}
