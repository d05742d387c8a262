//! Drives the whole system through its real binary, as a person or a script would.
//!
//! Each test brings up its own [`Ecosystem`]: the shipped `mana.toml`, release binaries, a data folder of its own and
//! ports moved by an offset that no other test holds, so tests run side by side. Dropping it runs `mana down`.
//! A new whole-system test goes into a file of `tests/` named after what it shows.

pub mod browser;
pub mod ecosystem;
pub mod people;
pub mod ports;
pub mod wait;

pub use ecosystem::{Ecosystem, manifest_in};
