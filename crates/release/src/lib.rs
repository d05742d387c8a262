//! Releases: made of a commit, kept, checked, never changed.
//!
//! The crate knows nothing of manifests, environments or instances; `mana-control` says what to build and where to keep it.
//!
//! | module | what it is |
//! |---|---|
//! | [`source`] | which commit, and a clean checkout of it |
//! | [`job`] | a command with limits: processors, memory, time, output; nothing of it is left behind |
//! | [`build`] | checkout → command → artefact → record |
//! | [`checks`] | lint, types, tests: beside each other |
//! | [`artefact`] | files and their digest |
//! | [`migrations`] | the SQL files of an artefact, or of a commit |
//! | [`store`] | where releases lie; [`record`] is what is known of one |
//! | [`sbom`] | what it is built of, as CycloneDX |
//! | [`scan`] | known vulnerabilities and secrets that got into it |
//! | [`version`], [`retention`] | what it is called, and for how long it is kept. Pure |
//!
//! Invariants:
//! - An artefact lies under the SHA-256 of all it holds. It appears as a whole or not at all, and what differs from its
//!   digest is refused by [`store::Store::verify`].
//! - A record is written once; [`scan`] verdicts, which change with what is known, lie beside it.
//! - A build leaves no process behind, however it ends, and its output takes a bounded place on disk.
//! - What was not made by this build is never released as if it were: the artefact is removed before the command runs.
//! - What cannot be judged stops a release: no data is no pass.
//!
//! To add an advisory format: a module in `scan/advisories/` that gives [`scan::advisory::Advisory`] values. To add a kind of
//! lock file: a module in `sbom/` that gives components and what they depend on.

pub mod artefact;
pub mod build;
pub mod checks;
mod clock;
pub mod event;
mod git;
pub mod job;
pub mod migrations;
pub mod record;
pub mod retention;
pub mod sbom;
pub mod scan;
pub mod source;
pub mod store;
pub mod version;
