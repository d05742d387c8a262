//! Where instances run, and what is known about a running one.
//!
//! The crate starts, adopts, signals, probes and measures instances. It decides nothing about an ecosystem: who should
//! run, in which order and with which traffic is its caller's business. It knows no other crate of ours.
//!
//! | module | what it is |
//! |---|---|
//! | [`driver`] | the one trait every way of running instances implements, and its words |
//! | [`process`] | the first driver: plain processes, held by pidfd |
//! | [`lifecycle`] | the life of one instance as a pure reducer: no I/O, no clock, no chance |
//! | [`probe`] | is it up? asked over a kept-alive connection |
//! | [`exchange`] | one question of HTTP/1 and its answer, over a stream that costs nothing before and after |
//! | [`logs`] | log files that instances write themselves: rotated, tailed, followed |
//! | [`usage`] | what an instance and its children take of processor and memory |
//! | [`ports`] | which port an instance gets |
//!
//! Invariants:
//! - An instance outlives whoever started it: no pipe, no controlling terminal, no shared process group.
//! - A signal goes only through a pidfd whose process was checked; a bare process id is never signalled.
//! - No instance is ever run by two processes at once ([`lifecycle`] has the property test).
//!
//! To add a driver (`docker`, `kubernetes`): implement [`driver::Driver`] and [`driver::Handle`] in a module of its name;
//! nothing else in this crate changes.

pub mod driver;
pub mod exchange;
pub mod lifecycle;
pub mod logs;
pub mod ports;
pub mod probe;
pub mod process;
pub mod usage;
