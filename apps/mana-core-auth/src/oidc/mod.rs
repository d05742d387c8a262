//! OpenID Connect, twice: signing in with somebody else's provider ([`provider`]), and what we tell the apps about ours
//! ([`metadata`]).
//!
//! Of the flows only the one with a code is spoken, with PKCE, `state` and `nonce`, all made of a signed ticket's id, so that
//! nothing is kept in between. The usual library is not used: see `Cargo.toml`.

pub(crate) mod metadata;
pub(crate) mod provider;
pub(crate) mod routes;
mod store;
