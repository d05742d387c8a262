//! chat-backend over HTTP, beside the real mana-core-auth and the real echo, on both stores. One program, since each test
//! program costs a link of everything.

#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

mod branches;
mod conversations;
mod faults;
mod flood;
mod idempotency;
mod keeping;
mod kill;
mod killed;
mod lifecycle;
mod limits;
mod openai;
mod platform;
mod streaming;
mod support;
