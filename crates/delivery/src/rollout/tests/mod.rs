//! The reducer in a world that fails: invariants over any sequence of events, and the scenarios by their names.

mod agreement;
mod chance;
mod driver;
mod journal;
mod kills;
mod plans;
mod scenarios;
mod stations;
mod total;
mod transition;
mod watch;
mod world;
