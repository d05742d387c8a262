//! The edge: a reverse proxy that serves one [`snapshot::Snapshot`] at a time.

mod access_log;
pub mod admin;
mod answer;
mod body;
mod cidr;
mod client_socket;
mod clock;
mod coalesce;
mod compile;
#[cfg(test)]
mod compile_tests;
mod conn_state;
mod connection;
mod control;
mod error;
mod framing;
mod headers;
mod host;
mod listen;
mod metrics;
mod options;
mod persist;
mod pick;
mod pool;
#[cfg(test)]
mod properties;
mod proxy;
mod record;
mod run;
mod sequence;
mod serve;
pub mod snapshot;
mod static_site;
mod stream;
mod table;
mod ticker;
mod trace;
mod upgrade;
mod upstream_socket;
mod view;
mod worker;

pub use error::Error;
pub use options::{AccessLog, Options};
pub use run::{Edge, run};
pub use table::{Problem, Table};
