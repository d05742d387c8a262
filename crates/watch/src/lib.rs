//! Watching: what is measured, where it is kept, how it is asked for, and when people are woken.
//!
//! Everything here takes its time and its inputs from whoever calls; what talks to the outside (scraping, probing, sending) is driven
//! by the control plane.

pub mod alert;
pub mod incident;
pub mod series;

pub use series::{Labels, Matcher, Sample, Series, Source};
