//! Accounts: who there is, registering, and what `me` tells.

pub(crate) mod routes;
pub(crate) mod store;
pub(crate) mod validate;
