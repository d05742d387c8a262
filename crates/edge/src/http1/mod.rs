//! HTTP/1.1, as the edge speaks it with clients ([`conversation`] over [`wire`]) and with instances ([`link`]).
//!
//! Its own, since a proxy needs less than a library gives and pays for the rest on each request: here a connection is moved on
//! by the task of its request, a head is written out once and kept for a second try, an answer that came at once is never
//! copied, and a connection that lies idle holds no buffer. What can be wrong with bytes is decided in `request`, `answer`,
//! `fields` and `chunks`, which are pure, as are `encode` and `response`, which write heads.
//!
//! Stricter than HTTP asks for: a request or an answer whose end could be read in two ways is none.

pub(crate) mod answer;
pub(crate) mod chunks;
pub(crate) mod conversation;
pub(crate) mod encode;
pub(crate) mod fields;
mod input;
pub(crate) mod link;
pub(crate) mod outgoing;
pub(crate) mod request;
mod response;
pub(crate) mod wire;

/// Why an answer, or what is left of it, is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection ended before the answer did")]
    Ended,
    #[error("the connection failed")]
    Socket(#[from] std::io::Error),
    #[error("what came is no answer: {0}")]
    Malformed(&'static str),
    #[error("the request could not be sent to its end")]
    Unsent,
    #[error("the stream broke off")]
    Stream(#[source] hyper::Error),
}
