//! `mana.toml` → [`plan::Plan`].
pub mod plan;
