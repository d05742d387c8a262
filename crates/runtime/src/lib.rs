//! Where instances run.
pub mod logs;
