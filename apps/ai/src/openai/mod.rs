//! The client for everything that speaks OpenAI's chat completions: Azure, compatible endpoints, `ai-echo`.

mod address;
mod chunk;
mod client;
mod progress;
mod reader;
mod wire;

pub use address::Address;
pub(crate) use chunk::index;
pub use client::{Client, Setup};
