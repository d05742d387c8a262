//! The edge: a reverse proxy that serves one [`snapshot::Snapshot`] at a time.

pub mod admin;
mod error;
mod options;
mod run;
pub mod snapshot;
mod table;

pub use error::Error;
pub use options::{AccessLog, Options};
pub use run::run;
pub use table::Problem;
