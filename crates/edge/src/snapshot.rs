//! What the edge serves: one immutable value, swapped as a whole.
//!
//! A snapshot is complete in itself: the edge reads no manifest and asks nobody. It is JSON on disk and on the admin
//! socket, written by hand (`mana edge --config FILE`) or by a control plane. `generation` fences: an edge refuses a
//! snapshot whose generation is not above the one it serves, so that a late writer can never undo a newer decision.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All that the edge needs to serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Grows by at least one with every change; see the module's page.
    pub generation: u64,
    /// Sockets to accept on.
    pub listeners: Vec<Listener>,
    /// Where requests go. Order does not matter: the longest path prefix of the exact host wins.
    pub routes: Vec<Route>,
    /// Bounds that hold for the whole edge.
    #[serde(default)]
    pub limits: Limits,
    /// Peers (CIDR) whose `X-Forwarded-*` headers are believed. Empty: nobody.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where to accept.
    pub address: SocketAddr,
    /// `None`: a public listener, routed by `Host`. `Some(route)`: an internal listener, the stable address of that one
    /// route on loopback, whatever `Host` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}

/// Host and path → a target, with its policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Unique name, used in metrics and logs: a service's name, as a rule.
    pub name: String,
    /// Exact host names without port, in lower case. Empty: reachable through an internal listener only.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Path prefix, matched at segment borders: `/api` matches `/api` and `/api/x`, not `/apix`.
    #[serde(default = "root")]
    pub path: String,
    /// Who answers.
    pub target: Target,
    /// Headers set on every answer (security headers and the like).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub response_headers: BTreeMap<String, String>,
    /// Bounds of this route; where absent, the edge's.
    #[serde(default)]
    pub limits: RouteLimits,
}

fn root() -> String {
    "/".into()
}

/// Who answers a route's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// Weighted slots of a service.
    Slots(Vec<Slot>),
    /// Files below a folder.
    Static(StaticSite),
    /// A redirect to another origin.
    Redirect(Redirect),
}

/// One place of a service (`blue` or `green`) and the instances that run there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// `blue` or `green`.
    pub name: String,
    /// What runs there; a label for metrics.
    pub release: String,
    /// Share of the route's new requests, relative to the other slots' weights. 0: none.
    pub weight: u32,
    /// Ready instances only. A slot without any gets nothing; a route whose weighted slots have none answers 503.
    pub instances: Vec<Instance>,
}

/// One running process or container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Unique for ever; a restarted instance has a new one.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A folder served as files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticSite {
    /// The folder; nothing outside it is ever served, symbolic links included.
    pub root: PathBuf,
    /// File below `root` answered with 404 where a path does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_found: Option<String>,
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Origin or URL prefix, `https://app-chat.example`.
    pub to: String,
    /// 301, 302, 307 or 308.
    pub status: u16,
    /// Whether the request's path (below the route's prefix) and query are appended.
    #[serde(default)]
    pub keep_path: bool,
}

/// Bounds of the edge. Durations in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open client connections, all threads together.
    pub max_connections: usize,
    /// All request header bytes of one request.
    pub max_header_bytes: usize,
    /// Header fields of one request.
    pub max_headers: usize,
    /// From the first byte of a connection or request to the end of its headers.
    pub header_timeout_ms: u64,
    /// Longest silence on a kept-alive connection between two requests.
    pub idle_timeout_ms: u64,
    /// Longest time for a graceful stop to let requests finish.
    pub drain_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_header_bytes: 32 * 1024,
            max_headers: 100,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            drain_timeout_ms: 30_000,
        }
    }
}

/// Bounds of one route. Durations in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteLimits {
    /// Largest request body; more is 413.
    pub max_body_bytes: u64,
    /// To open a connection to an instance; then 502.
    pub connect_timeout_ms: u64,
    /// From the request's last byte to the answer's headers; then 504.
    pub response_timeout_ms: u64,
    /// Longest silence in the middle of a body, either way; then the connection is cut.
    pub body_idle_timeout_ms: u64,
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 * 1024 * 1024,
            connect_timeout_ms: 2_000,
            response_timeout_ms: 60_000,
            body_idle_timeout_ms: 120_000,
        }
    }
}
