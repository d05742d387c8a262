//! What a person asked and was answered, kept by conversation. Each belongs to one person: to everyone else it does not exist,
//! but for what a link of its owner shows.
//!
//! - `store`, `tree`, `attachments`: the tables; `recorder`: how exchanges come into them. A conversation is a tree that only grows; `placing` says where a call's exchange goes.
//! - `routes`: the conversations themselves; `messages`: a page of one; `search`, `shares`, `export`, `preferences`, `erasure`: one each.
//! - `titles`: names, by the model.

mod attachments;
mod cursor;
pub(crate) mod erasure;
pub(crate) mod export;
pub(crate) mod messages;
mod placing;
pub(crate) mod preferences;
mod recorder;
pub(crate) mod routes;
pub(crate) mod search;
pub(crate) mod shares;
mod store;
mod titles;
mod tree;

pub(crate) use attachments::Attachment;
pub(crate) use placing::{Place, Spot};
pub(crate) use store::{Answer, Exchange, Origin, RecordError, Recorded, Store, Target};
pub(crate) use titles::{Titles, is_to_be_named};
