//! The control plane.
pub mod api;
