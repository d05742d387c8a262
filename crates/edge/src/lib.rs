//! The edge: a reverse proxy that serves one [`snapshot::Snapshot`] at a time.
pub mod snapshot;
