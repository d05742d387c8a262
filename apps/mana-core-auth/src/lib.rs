//! Identity, access tokens and the credits ledger of the ecosystem.
//!
//! | part | what it owns |
//! |---|---|
//! | [`accounts`] | who there is: signing in, `me`, what people do with their own |
//! | [`registration`] | how somebody gets an account, and what a stranger learns by trying |
//! | [`sessions`] | one for each sign-in: token pairs, rotation, revocation |
//! | [`ledger`] | credits: double entry, reservations, idempotency |
//! | [`keyring`] | which key signs tokens when, and what is published of them |
//! | [`letters`] | what is sent by e-mail: confirming an address, choosing another password |
//! | [`second_factor`], [`passkeys`], [`oidc`] | further ways to show who one is |
//! | [`throttle`] | bounds on guessing and asking, counted with all instances |
//! | [`housekeeping`] | what time alone resolves: reservations nobody resolved, rows that cannot matter any more |
//! | [`password`] | what is accepted, and hashing on a bounded pool |
//!
//! Invariants: passwords, refresh tokens and the signing seed are never stored or logged in the clear. Entries of the
//! ledger are never changed (the database itself refuses). A balance never goes below zero. Internal endpoints answer no
//! one without the service token.

mod accounts;
mod app;
pub mod commands;
pub mod config;
mod entity;
mod housekeeping;
mod keyring;
mod keys;
mod ledger;
mod letters;
mod oidc;
mod passkeys;
mod password;
mod registration;
mod second_factor;
mod secrets;
mod sessions;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;
mod throttle;
mod tickets;
mod time;

pub use app::{MIGRATIONS, service};
