//! The guard as a whole.
