//! Model providers behind one trait.
//!
//! An app that wants a model's answer talks to [`Provider`] and to nothing else; which one answers is configuration
//! (`AI_PROVIDERS`, see [`config`]). Today there are two kinds of address, both spoken by one client
//! ([`openai::Client`]): Azure OpenAI, and any OpenAI-compatible endpoint. `echo`, the model of the development
//! environment, is the second kind pointed at the `ai-echo` program ([`echo`]): it is reached over HTTP like the
//! others, so that development and tests exercise the code that production runs.
//!
//! Invariants:
//! - A stream either ends with exactly one [`Delta::End`] or with an error. A connection that closes early, an answer
//!   without `finish_reason`, a stream without `[DONE]`: all are errors, never a clean, shorter answer.
//! - Dropping a call (its future, or its stream) closes the connection to the provider: nobody pays for tokens that no
//!   one reads.
//! - Every wait has a named limit ([`timeouts`]); so has every buffer ([`limits`]).
//! - Retries and fallbacks end with the first piece of an answer ([`router`]).
//! - A model without a price is not offered: the catalogue refuses to load ([`price`]).
//!
//! To add a provider that speaks OpenAI's protocol: a variant of [`openai::Address`] and its variables in [`config`].
//! To add one that does not: a module with its own [`Provider`], and its name in [`config`]; the tests of
//! `tests/providers.rs` then run against it too.

pub mod catalog;
pub mod config;
pub mod echo;
mod error;
mod gather;
pub mod limits;
pub mod openai;
pub mod price;
mod provider;
pub mod router;
mod sse;
pub mod timeouts;

pub use catalog::{Catalog, Offer};
pub use error::{Error, Phase};
pub use gather::Gathered;
pub use price::Price;
pub use provider::{Completion, Delta, Deltas, Ending, Finish, Message, Provider, Request, Role, Usage};
pub use router::Router;
