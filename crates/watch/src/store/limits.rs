//! What the store may take, and how long it keeps what.

use std::time::Duration;

use super::thin::Level;

/// Samples of a series in memory before they are compressed: five minutes of them. Twice as many would cost 240 bytes a series and save fewer.
pub(super) const CHUNK: usize = 30;
/// Rounds of a group within one window: one a second. Further ones are refused, so that no target fills the memory.
pub const MAX_ROUNDS: usize = 7_200;
/// Windows in memory: the current one, the one that is being written, and two that wait while the disk is full or the clock jumped. Beyond
/// them the oldest is given up.
pub const MAX_WINDOWS: usize = 4;
/// A window is written once it ended this long ago: a round that began in it has come in by then.
pub const GRACE_MS: i64 = 120_000;
/// A round that is this much older than the newest of its group was measured by a clock that was set back, and is taken. One that is less
/// old came late, and is refused.
pub const CLOCK_SET_BACK_MS: i64 = 600_000;
/// Times beyond, before or after 1970, are none: the year 10000.
pub const MAX_TIME_MS: i64 = 253_402_300_800_000;
/// The journal is forced to disk when its last force is this old: half of an interval of 10 s, so that a power failure costs one round.
pub const SYNC_EVERY_MS: i64 = 5_000;
/// A segment of the journal is not continued beyond.
pub const MAX_SEGMENT_BYTES: u64 = 64 << 20;
/// Nothing is dropped by age so soon after a start or a jump of the clock: it may be wrong, and is set right meanwhile.
pub const SETTLE_MS: i64 = 3_600_000;
/// Between two calls of `maintain` the clock moves on by less, unless it jumps.
pub const CLOCK_JUMP_MS: i64 = 1_800_000;
/// A block that could not be written is not tried again sooner.
pub const RETRY_MS: i64 = 30_000;
/// Samples that one call of `maintain` works through: some milliseconds.
pub const WORK_SAMPLES: usize = 50_000;
/// Blocks at most, whatever their size: each holds a file open. Two years take about 150.
pub const MAX_BLOCKS: usize = 600;
/// Damaged files that are kept for a person to look at; older ones are removed.
pub const MAX_SET_ASIDE: usize = 8;
/// Samples of one column in a block. What says more is damaged.
pub(super) const MAX_COLUMN: usize = 1 << 20;
/// Bytes of a label's name or value, as Prometheus' own limits are often set.
pub const MAX_LABEL_BYTES: usize = 2_048;
/// Labels of a series.
pub const MAX_LABELS: usize = 64;
/// Bytes of a group's key.
pub const MAX_GROUP_BYTES: usize = 512;

/// What the store may take, and how long it keeps what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Series that are measured at a time, in all.
    pub series: usize,
    /// Likewise of one group, which is what is scraped together.
    pub series_per_group: usize,
    /// Bytes on disk, the journal included. Beyond them the oldest of the finest are dropped first.
    pub bytes: u64,
    /// How long every sample is kept.
    pub keep_raw: Duration,
    /// How long one a minute is kept.
    pub keep_minutes: Duration,
    /// How long one an hour is kept.
    pub keep_hours: Duration,
    /// Series that one query may read.
    pub query_series: usize,
    /// Samples that one query may read.
    pub query_samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series: 50_000,
            series_per_group: 5_000,
            bytes: 4 << 30,
            keep_raw: Duration::from_hours(48),
            keep_minutes: Duration::from_hours(30 * 24),
            keep_hours: Duration::from_hours(2 * 365 * 24),
            query_series: 10_000,
            query_samples: 20_000_000,
        }
    }
}

impl Limits {
    /// How long the level is kept, in milliseconds.
    pub fn keep_ms(&self, level: Level) -> i64 {
        let kept = match level {
            Level::Raw => self.keep_raw,
            Level::Minute => self.keep_minutes,
            Level::Hour => self.keep_hours,
        };
        i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)
    }
}
