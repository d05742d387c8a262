//! Accounts over HTTP, on both stores: passwords, sessions, keys, second factors, and what strangers try.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod documented;
mod ended;
mod forgeries;
mod guessing;
mod keys;
mod letters;
mod own;
mod passkeys;
mod passwords;
mod provider;
mod refresh;
mod registration;
mod roles;
mod second_factors;
mod support;
