//! What one query may cost, and the account of what it has cost so far.

use std::cell::Cell;

use super::error::QueryError;

/// How long a sample counts when nothing newer is there, in milliseconds: Prometheus' five minutes.
pub const LOOKBACK_MS: i64 = 5 * 60 * 1000;
/// Points for each series of an answer, as in Prometheus: a week by the minute, a year by the hour.
pub const MAX_POINTS: usize = 11_000;
/// Series that one query may read: far more than a chart can show, and a sum over one label of a small installation.
pub const MAX_SERIES: u64 = 20_000;
/// Samples that one query may read (16 bytes each): a day of 2,300 series at 10 s.
pub const MAX_SAMPLES: u64 = 20_000_000;
/// Values that one query may compute on its way (8 bytes each), those of steps between included.
pub const MAX_CELLS: u64 = 20_000_000;
/// Samples and values that one query may look at, each as often as it does: seconds of one core.
pub const MAX_WORK: u64 = 1_000_000_000;
/// Levels of an expression.
pub const MAX_DEPTH: usize = 100;
/// Step of a subquery that names none, in milliseconds: Prometheus' default interval of evaluation.
pub const SUBQUERY_STEP_MS: i64 = 60_000;
/// Work between two looks at the clock: well under a millisecond.
const WORK_PER_LOOK: u64 = 1 << 16;

/// What one query may cost.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// See [`LOOKBACK_MS`].
    pub lookback_ms: i64,
    /// See [`MAX_POINTS`].
    pub points: usize,
    /// See [`MAX_SERIES`].
    pub series: u64,
    /// See [`MAX_SAMPLES`].
    pub samples: u64,
    /// See [`MAX_CELLS`].
    pub cells: u64,
    /// See [`MAX_WORK`].
    pub work: u64,
    /// See [`SUBQUERY_STEP_MS`].
    pub subquery_step_ms: i64,
    /// Whether the time is up; asked about a thousand times a second.
    pub stop: Option<&'a dyn Fn() -> bool>,
}

impl Default for Limits<'_> {
    fn default() -> Self {
        Self {
            lookback_ms: LOOKBACK_MS,
            points: MAX_POINTS,
            series: MAX_SERIES,
            samples: MAX_SAMPLES,
            cells: MAX_CELLS,
            work: MAX_WORK,
            subquery_step_ms: SUBQUERY_STEP_MS,
            stop: None,
        }
    }
}

/// What a query has cost so far.
pub(super) struct Account<'a> {
    pub(super) limits: &'a Limits<'a>,
    series: Cell<u64>,
    samples: Cell<u64>,
    cells: Cell<u64>,
    work: Cell<u64>,
    next_look: Cell<u64>,
}

impl<'a> Account<'a> {
    pub(super) fn new(limits: &'a Limits<'a>) -> Self {
        Self {
            limits,
            series: Cell::new(0),
            samples: Cell::new(0),
            cells: Cell::new(0),
            work: Cell::new(0),
            next_look: Cell::new(0),
        }
    }

    /// These series with so many samples were read.
    pub(super) fn read(&self, series: usize, samples: usize) -> Result<(), QueryError> {
        spend(&self.series, series, self.limits.series, "series")?;
        spend(&self.samples, samples, self.limits.samples, "samples")?;
        self.work(samples)
    }

    /// So many values are about to be held.
    pub(super) fn hold(&self, columns: usize, count: usize) -> Result<(), QueryError> {
        let cells = columns.saturating_mul(count);
        spend(&self.cells, cells, self.limits.cells, "values on its way")?;
        self.work(cells)
    }

    /// So many samples or values are about to be looked at.
    pub(super) fn work(&self, amount: usize) -> Result<(), QueryError> {
        spend(&self.work, amount, self.limits.work, "looks at samples and values")?;
        if self.work.get() >= self.next_look.get() {
            self.next_look.set(self.work.get().saturating_add(WORK_PER_LOOK));
            if self.limits.stop.is_some_and(|stop| stop()) {
                return Err(QueryError::OutOfTime);
            }
        }
        Ok(())
    }
}

fn spend(spent: &Cell<u64>, amount: usize, limit: u64, what: &'static str) -> Result<(), QueryError> {
    spent.set(spent.get().saturating_add(amount as u64));
    if spent.get() > limit { Err(QueryError::TooMuch { what, limit }) } else { Ok(()) }
}
