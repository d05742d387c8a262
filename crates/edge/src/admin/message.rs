//! What the admin API says, as JSON: shared by the server and [`super::Client`].

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Answer to a snapshot that is in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The generation that is served.
    pub generation: u64,
    /// False when exactly this snapshot was served already.
    pub changed: bool,
    /// Where the edge accepts now, with real ports in place of 0.
    pub addresses: Vec<SocketAddr>,
}

/// Answer to a snapshot that was refused: problem+json (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Short and constant for each kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very snapshot, and what to do.
    pub detail: String,
    /// The generation that is served, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Everything that is wrong, at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// How the edge is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `serving` or `draining`.
    pub status: Status,
    /// The generation that is served.
    pub generation: u64,
    /// Worker threads.
    pub threads: usize,
    /// Open client connections.
    pub connections: usize,
    /// Where the edge accepts, with real ports in place of 0.
    pub addresses: Vec<SocketAddr>,
}

/// What the edge is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It accepts and answers.
    Serving,
    /// It accepts nothing new and ends soon.
    Draining,
}

/// What is served for a host over TLS, and how its next certificate comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The host, or `*.` and the name above it.
    pub host: String,
    /// `file`, `local` or `acme`.
    pub source: String,
    /// Begin of validity, in seconds since 1970; absent while there is no certificate yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// End of validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<i64>,
    /// When the next one is ordered, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_order: Option<i64>,
    /// Orders in a row that failed.
    #[serde(default)]
    pub failures: u32,
    /// Why the last one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}
