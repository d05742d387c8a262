//! The rows of the three tables. Nothing outside the stores sees them.

pub(crate) mod conversation;
pub(crate) mod message;
pub(crate) mod outbox;
