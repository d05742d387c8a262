//! Telling another store what was measured: Prometheus' remote_write, without the sending.
//!
//! The queue is the store itself, and a [`Cursor`] says how far it was told. So nothing is held twice, a receiver that is away costs no memory, and
//! what was not told in time is known by its samples.

mod cursor;
mod encode;

pub use cursor::{Cursor, LAG_MS, MAX_BEHIND_MS, Next, WINDOW_MS};
pub use encode::{MAX_BATCH_SAMPLES, batches, encode};
