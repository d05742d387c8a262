//! The reducer in a world that fails: invariants over any sequence of events, and the scenarios by their names.

mod chance;
mod scenarios;
mod watch;
mod world;
