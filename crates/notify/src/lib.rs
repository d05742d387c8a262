//! Telling people: a message goes to each channel (webhook, Slack, e-mail, ntfy) at least once, and recognisably the same one.
//!
//! [`outbox`] decides what is sent when, without I/O; [`channel`] sends. Whoever uses them writes down what [`outbox::Outbox::step`]
//! says before the effects are carried out, so nothing is lost over a restart.
//!
//! Invariants: a key is never sent again once it was taken; a channel that is down holds up nobody else; every queue and wait has a
//! bound, and what is given up is said. No secret (an address with a token, a password) shows in an error or in `Debug`.
//!
//! To add a channel: a file in `channel`, and its arm in [`channel::Channel`].

pub mod channel;
pub mod message;
pub mod outbox;

pub use message::{Message, Severity};
