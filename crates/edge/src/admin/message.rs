//! What the admin API says, as JSON: shared by the server and [`super::Client`].

use std::collections::BTreeMap;
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

/// Asks for a route's lease to begin anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// The route's name.
    pub route: String,
}

/// Answer to a lease that was renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// How long it is good from now on, in milliseconds.
    pub ms: u64,
}

/// How the edge is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `serving` or `draining`.
    pub status: Status,
    /// Its process: while one edge takes the place of another, both have answered on this socket.
    pub pid: u32,
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

/// An instance that is in the snapshot no more, and that requests are still with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Its id.
    pub id: String,
    /// Requests that it has not answered to the end, WebSockets and other tunnels among them.
    pub in_flight: u64,
}

/// Which kept answers are to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Of this host.
    pub host: String,
    /// Of this path with any query; with `*` at its end, of all that begin so. All paths where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// With this name in `Cache-Tag` or `Surrogate-Key`; instead of a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Kept answers that are no more; each variant (`Vary`) counts.
    pub answers: usize,
}

/// What happened between two moments, slot by slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its begin, in milliseconds since 1970, by the clock as it was when the edge started: a clock that is set makes no window longer
    /// or shorter. Earlier than asked for by up to 5 s, beyond ten minutes a seventh of the window; later, where that is not remembered any more.
    pub from_ms: u64,
    /// Its end: now.
    pub to_ms: u64,
    /// The generation that is served.
    pub generation: u64,
    /// Routes' slots; a slot of `""` stands for a route's requests that reached none.
    pub slots: Vec<SlotWindow>,
}

/// What happened in one slot of one release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotWindow {
    /// The route.
    pub route: String,
    /// The slot.
    pub slot: String,
    /// The release in it.
    pub release: String,
    /// Requests that ended.
    pub requests: u64,
    /// Requests that are being answered now.
    pub in_flight: u64,
    /// Requests that ended, by class of status; `aborted`: the client went away before an answer.
    pub classes: BTreeMap<String, u64>,
    /// Bytes of request bodies.
    pub received_bytes: u64,
    /// Bytes of answers' bodies.
    pub sent_bytes: u64,
    /// Connections to instances that could not be opened.
    pub connect_failures: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Answers that had begun and were cut.
    pub broken_off: u64,
    /// Requests the cache had to do with, by what it did: `hit`, `stale`, `confirmed`, `miss`.
    #[serde(default)]
    pub cache: BTreeMap<String, u64>,
    /// Time to the answer's head.
    pub to_head: Latency,
    /// Requests whose `to_head` was over the `slow_ms` that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<u64>,
    /// Time that instances took to the answer's head.
    pub upstream: Latency,
    /// Time to the answer's last byte.
    pub total: Latency,
}

/// Times in seconds; quantiles are at most 4.4 % above the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Requests measured.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half took at most so long.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// All.
    pub max: f64,
}

/// Since when a [`Window`] is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So many seconds ago; a day is remembered, older parts of it more coarsely.
    SecondsAgo(u32),
    /// Since the snapshot of this generation is in effect; the last 64 are remembered, and those that a route is judged by: while it has the
    /// lease that it began with, and for ten minutes after it was asked for.
    Generation(u64),
}
