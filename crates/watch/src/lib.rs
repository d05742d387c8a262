//! Watching: what is measured, where it is kept, how it is asked for, and when people are woken.
//!
//! Everything here takes its time and its inputs from whoever calls; what talks to the outside (scraping, probing, sending) is driven
//! by the control plane.
//!
//! | module | what it is |
//! |---|---|
//! | `series` | the words that all share |
//! | `memory` | series in memory, for tests and examples |
//! | `schedule` | whose turn it is to be looked at |
//! | `exposition`, `host`, `process`, `postgres`, `redis` | what is measured, from texts, files and rows |
//! | `store` | where it is kept |
//! | `query` | how it is asked for: a documented part of PromQL |
//! | `remote` | telling another store |
//! | `alert` | from a breach to whoever is told of it |
//! | `incident` | what happened, written down while it happens |
//! | `trace` | what services did for one request |

pub mod alert;
pub mod exposition;
pub mod gather;
pub mod host;
pub mod incident;
mod memory;
pub mod postgres;
pub mod process;
pub mod query;
pub mod redis;
mod remember;
pub mod remote;
pub mod schedule;
pub mod series;
pub mod store;
pub mod trace;

pub use memory::Memory;
pub use series::{Labels, Matcher, Sample, Series, Source};
