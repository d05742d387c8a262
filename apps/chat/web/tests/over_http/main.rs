//! chat-web as a browser sees it, on both stores, with the real mana-core-auth, chat-backend and echo behind it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod account;
mod browser;
mod chat;
mod credits;
mod documented;
mod keeping;
mod outages;
mod own_account;
mod pages;
mod resuming;
mod sessions;
mod support;
