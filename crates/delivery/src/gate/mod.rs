//! Whether a canary may go on: the edge's counts of a window go in, a verdict with its figures comes out. Pure.

mod beta;
mod bounds;
mod evidence;
mod figure;
mod fisher;
mod hits;
mod judge;
mod policy;
mod reading;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use judge::{Finding, Judgement, Verdict, judge};
pub use policy::Policy;
pub use reading::{Counts, Reading};
