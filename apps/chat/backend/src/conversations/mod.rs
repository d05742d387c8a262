//! What a person asked and was answered, kept by conversation. Each belongs to one person: to everyone else it does not exist.

mod cursor;
pub(crate) mod routes;
mod store;

pub(crate) use store::{Answer, Exchange, Origin, RecordError, Store, Target};
