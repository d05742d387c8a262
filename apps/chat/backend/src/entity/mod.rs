//! The rows of the tables. Nothing outside the stores sees them.

pub(crate) mod api_key;
pub(crate) mod attachment;
pub(crate) mod conversation;
pub(crate) mod idempotent_answer;
pub(crate) mod idempotent_call;
pub(crate) mod message;
pub(crate) mod outbox;
pub(crate) mod preference;
pub(crate) mod share;
pub(crate) mod spending;
