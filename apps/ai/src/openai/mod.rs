//! The client for everything that speaks OpenAI's chat completions: Azure, compatible endpoints, `ai-echo`.

mod address;
mod client;
mod progress;
mod reader;
mod wire;

pub use address::Address;
pub use client::{Client, Setup};
