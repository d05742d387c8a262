//! The control plane: it makes an ecosystem run as its manifest says, and keeps it so.
//!
//! One process ([`daemon`]) owns one data folder. It reads a manifest, starts and watches instances through
//! `mana-runtime`, tells the edge who is ready, and answers the operator [`api`] on a unix socket; [`client`] is the other
//! end of that socket. Traffic never waits for it: the edge and every instance are processes of their own that live on
//! when it dies, and it adopts them when it comes back.
//!
//! | module | what it is |
//! |---|---|
//! | [`api`] | the words on the socket |
//! | [`client`] | typed calls, for the command line |
//! | [`daemon`] | the process: wiring, signals, its own log |
//! | [`logs`] | reading an instance's log file: tail, search and follow |
//! | [`requests`] | one request: its lines and its spans |
//! | `traces` | spans of services, received and kept |
//! | `key` | the key that the data folder's own secrets are made from |
//! | [`paths`] | where things lie in a data folder |
//! | [`releases`] | from a manifest to what `mana-release` builds, keeps and scans |
//! | [`secrets`] | `secrets.json`: generated once, provided by people, never printed |
//! | `dashboard` | the pages that operators look at |
//! | `status_page` | the page that everybody looks at |
//! | `server` | the socket's other end: HTTP to messages |
//! | `people` | operators' accounts: passwords, second factors, limits on tries |
//! | `audit` | every change, written down at the one place where calls come in |
//! | `supervisor` | the one owner of the state |
//! | `desired` | what should run, worked out of a plan |
//! | `reconcile` | what has to be done about it. Pure |
//! | `snapshot` | what the edge is told. Pure |
//! | `guard`, `rehearsal` | what is looked at, and tried on a copy, before a release migrates |
//! | `judge`, `progress` | how things are, in words, and who is told when |
//! | `store` | what is remembered over a restart |
//!
//! Invariants:
//! - One process owns a data folder; a second one is refused.
//! - What is about to be started is written down first; so no process is ever lost, whenever the control plane dies.
//! - Nothing is stopped that the edge may still send requests to.
//! - Stopping the control plane stops nothing else. `down` stops what it started, and nothing else.
//! - Not knowing what should run (a manifest that is not understood any more) is no reason to stop what does.

pub mod api;
mod audit;
pub mod client;
mod clock;
pub mod daemon;
mod dashboard;
mod database;
mod desired;
mod door;
mod dump;
mod edge_program;
mod guard;
mod judge;
mod key;
mod log;
pub mod logs;
mod manifest;
pub mod notifications;
mod passing;
pub mod paths;
mod people;
mod postgres;
mod progress;
mod reconcile;
mod rehearsal;
pub mod releases;
pub mod requests;
pub mod rules;
pub mod secrets;
mod server;
mod slot;
mod smoke;
mod snapshot;
mod status_page;
mod store;
mod supervisor;
mod tls;
mod traces;
pub mod units;
mod watching;
