//! API keys: what programs show at `/v1` instead of a person's short-lived access token. A key acts for the person who made
//! it, and only there: it opens neither the native API nor the keys themselves.

pub(crate) mod routes;
mod secret;
mod store;

pub(crate) use secret::Secret;
pub(crate) use store::Store;
