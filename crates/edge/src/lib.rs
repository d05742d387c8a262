//! The edge: a reverse proxy that serves one [`snapshot::Snapshot`] at a time.
//!
//! It exists so that traffic never waits for whoever decides where it goes. An edge is a process of its own, reads its
//! snapshot from a file, takes newer ones over a unix socket ([`admin`]), and serves on whatever happens to their sender.
//! It knows no manifest, no service and no control plane, and is usable alone; `docs/EDGE.md` is its reference.
//!
//! # How it is built
//! One thread a core (`worker`), each with its own listeners, connections, upstream pools and counters; nothing is
//! shared on the way of a request but one read of a counter that says whether there is a new table. A request is one
//! task: the client's connection, the work and the instance's connection are driven together, so that dropping one end
//! drops the other.
//!
//! # The walk of a request
//! `connection` (a PROXY header where the listener asks for one: `preamble`; TLS; then `http1::conversation` with the timeouts of its
//! stages, or `http2`: one task and one state for each request, `gather` for what is said at once, `frames` for what is not finished; or `http3`, beside it) →
//! `serve` (who asks, which route) → `policy` (whether it may) → `pick` (slot by weight, instance by `balance` and `outlier`) →
//! `proxy` (headers, retries) over `pool` (kept connections) and `http1` (what is said on them), or `h2c` → `stream` (the answer's body) → `compress` → `record` (metrics and
//! access log, at its end). Beside it: `static_site` for files, `to_https` for plain HTTP, `answer` for everything the edge says
//! itself, `upgrade` for what follows a 101.
//!
//! # The walk of a snapshot
//! `admin` → `control` → `compile` (all problems at once) → `tls::keeper` (certificates: read, made, or ordered later by `acme`) →
//! `listen` (new addresses) → `persist` (on disk) → `worker::Shared::swap` → each worker's `view`.
//!
//! # The walk of a process
//! `run` composes it; with `Options::replace` it first takes the sockets of the edge before it (`handover`), which ends when this
//! one accepts.
//!
//! # Invariants
//! - A snapshot is in effect as a whole or not at all; its generation only grows.
//! - A request goes to an instance that stands in the table of that moment, in a slot with a positive weight, or nowhere: in the table
//!   it began under at first, in the current one when it is sent again.
//! - Nothing a stranger says about who it is reaches a service.
//! - A request with two readings reaches nobody (`http1::request`).
//! - No request is sent twice that may have had an effect.
//! - Nothing outside a site's folder is opened.
//! - A certificate is replaced only by one that is complete; plain HTTP on a redirecting listener reaches no service.
//! - Every wait, buffer, queue and body has a bound with a name.
//!
//! # How to add to it
//! A policy of a route: a field in [`snapshot`], its check in `compile`, its form in `table`, a file of its own for what
//! it does, and its call in `serve` (before an instance is picked) or `serve::finish` (on every answer). A number: see
//! `metrics`. A fault: see `answer`.

mod acceptor;
mod access_log;
mod acme;
pub mod admin;
mod answer;
mod balance;
mod body;
mod cache;
mod cidr;
mod client_socket;
mod clock;
mod coalesce;
mod compile;
#[cfg(test)]
mod compile_tests;
mod compress;
mod conn_state;
mod connection;
mod control;
mod error;
mod forwarded;
mod frames;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod gather;
mod h2c;
mod handover;
mod headers;
mod host;
mod http1;
mod http2;
mod http3;
mod lease;
mod listen;
mod metrics;
mod options;
mod otlp;
mod outlier;
mod persist;
mod pick;
mod policy;
mod pool;
mod preamble;
mod private_file;
mod probing;
#[cfg(test)]
mod properties;
mod proxy;
mod proxy_protocol;
mod range;
mod record;
mod run;
mod sequence;
mod serve;
pub mod snapshot;
mod static_site;
mod stream;
mod streams;
mod table;
mod ticker;
mod tls;
mod to_https;
mod trace;
mod transport;
mod upgrade;
mod upstreams;
mod validators;
mod view;
mod websocket_frames;
mod worker;

pub use error::Error;
pub use options::{AccessLog, Options};
pub use run::{Edge, run};
pub use table::{Problem, Table};
pub use tls::local::{LocalError, local_authority, local_certificate};
