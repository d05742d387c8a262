//! What the edge measures: per thread without locks, added up when somebody asks.
//!
//! To add a number: a [`Counter`](cells::Counter) in [`Cells`] (per slot) or [`ThreadCells`] (per thread), one call
//! where it happens, one line in `render`, one row in `docs/EDGE.md`.

pub(crate) mod cells;
mod histogram;
pub(crate) mod readings;
mod registry;
mod render;
pub(crate) mod window;

pub(crate) use cells::{Cells, Class, Handshake, Refused, ThreadCells};
pub(crate) use registry::{Key, Registry};
pub(crate) use render::{CacheFacts, Facts, render, totals};
