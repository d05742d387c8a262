//! Accounts over HTTP, on both stores: passwords, sessions, keys, second factors, and what strangers try.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forgeries;
mod guessing;
mod keys;
mod passwords;
mod refresh;
mod support;
