//! What each service of the ecosystem shares, so that a service is only its own rules.
//!
//! # How to write a service
//! 1. `main` calls [`run`] with the service's name and an async function from [`config::Env`] to its end. All
//!    configuration is read there, before a socket is bound; a [`config::Error`] ends the process with exit code 64.
//! 2. [`config::Base`] holds what every service gets; [`database::connect`], [`cache::Cache::connect`] and
//!    [`auth::Verifier`] take it from there.
//! 3. Handlers take [`auth::User`] (a person's access token) or [`auth::ServiceCaller`] (another service), read bodies
//!    with [`Json`], and answer with their value or a [`Problem`].
//! 4. [`service::Service`] wraps the router with health, readiness, metrics, request ids, limits and logs;
//!    [`service::serve`] runs it until SIGTERM and lets what is in flight finish.
//! 5. What takes time within a request (a call of something else, a transaction) is wrapped in [`trace::call`] or [`trace::step`], so that
//!    it has its place in the request's trace.
//! 6. Tests turn on the feature `testing` and use [`testing`]: a fresh database per test on both stores, a port of its own.
//!
//! Invariants: no app is named here. Time and ids come from [`clock`] only. A failed probe, cache or dependency is an
//! answer with a name in it, never a silence. Secrets are `SecretString`s from the moment they are read.

pub mod auth;
pub mod cache;
pub mod client;
pub mod clock;
pub mod config;
pub mod context;
pub mod counters;
mod credits;
pub mod database;
mod extract;
pub mod failpoint;
pub mod health;
mod kept_balance;
mod metering;
mod openapi;
mod outage;
mod problem;
mod run;
pub mod service;
mod serving;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
mod unread;
pub mod visitors;

pub use credits::{Credits, CreditsError};
pub use extract::{Json, Query};
pub use kept_balance::KeptBalance;
pub use outage::Outage;
pub use problem::{FieldError, Problem, ProblemBody};
pub use run::{Failure, run};
pub use telemetry::chain;
