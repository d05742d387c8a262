//! chat-backend: a person asks, a model answers, the ledger is told.
//!
//! The heart is [`lifecycle`]: one straight line from the question to the charge, for every protocol. Around it, one module
//! for each part of the line: `validate`, `credits` (balances for showing), `ledger` (the only admission), `budgets`
//! (requests a minute, credits a day), `idempotency` (the same call again), `held` (a reservation's life; `reserving` and `settling` are
//! its ways to the ledger), `speech` (the model; `pace`: how often it is passed on), `conversations` (what is stored), `outbox` (what the ledger must still be told),
//! `delivery` (the way to the client). `completions` holds the two protocols that lead into it.
//!
//! Invariants:
//! - No model answers without a reservation at the ledger; no reservation stays unresolved while the process lives. What costs
//!   the person nothing is the name of a conversation (`conversations::titles`), once for each that was answered and paid for.
//! - No model is called but through the router: its queue, its breakers.
//! - Question, answer and the instruction to settle are stored in one transaction, or not at all.
//! - Every query for a conversation names its owner.
//! - A balance from the cache is shown, never decided upon.
//!
//! To add a route: a handler with its `#[utoipa::path]`, and its line in [`app::router`].

mod app;
mod budgets;
mod caller;
mod completions;
mod config;
mod conversations;
mod credits;
mod delivery;
mod entity;
mod failure;
mod held;
mod holding;
mod idempotency;
mod ids;
mod keys;
mod ledger;
mod lifecycle;
mod limits;
mod models;
mod outbox;
mod pace;
mod reserving;
mod settling;
mod speech;
mod telemetry;
mod time;
mod validate;

pub use app::{MIGRATIONS, Rest, Running, start};
pub use config::Config;
