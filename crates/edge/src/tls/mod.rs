//! TLS: certificates by host, where they come from, and the handshake.
//!
//! [`store::Store`] holds what is served and answers each handshake from it; the [`keeper::Keeper`] fills it, from files
//! ([`files`]) and from an issuer: an authority of this machine's own ([`local`]) for development, or ACME. The store
//! only ever gains a certificate that is complete and belongs to its key, so a failed renewal leaves the old one served.

pub(crate) mod config;
pub(crate) mod files;
pub(crate) mod keeper;
pub(crate) mod local;
pub(crate) mod store;

pub(crate) use keeper::Keeper;
pub(crate) use store::Store;
