//! bypass
