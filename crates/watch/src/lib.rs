//! Watching: what is measured, where it is kept, how it is asked for, and when people are woken.
//!
//! Everything here takes its time and its inputs from whoever calls; what talks to the outside (scraping, probing, sending) is driven
//! by the control plane.

pub mod query;
pub mod exposition;
pub mod gather;
pub mod host;
pub mod postgres;
pub mod process;
pub mod redis;
mod remember;
pub mod schedule;
pub mod alert;
pub mod incident;
pub mod series;
pub mod store;

pub use series::{Labels, Matcher, Sample, Series, Source};
