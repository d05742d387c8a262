//! The ledger's promises, over HTTP, on both stores.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admission;
mod many;
mod model;
mod reservations;
mod support;
mod undone;
mod whole;
