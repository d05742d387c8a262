//! How a release gets into an environment, decided without I/O and without a clock.

pub mod gate;
pub mod migration;
pub mod rollout;
