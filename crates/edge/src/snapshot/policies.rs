//! What is asked of a route's requests, and added to its answers.

use serde::{Deserialize, Serialize};

use super::is_false;

/// What a route asks of requests, and what it adds to answers. Each is off where absent, but for `compress`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policies {
    /// Only clients in these ranges of addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// No client in these ranges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Only who knows a name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Other sites' pages that may read the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// How often a client may ask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// Closed for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Headers that tell browsers to be careful, where the service does not say them itself.
    #[serde(skip_serializing_if = "is_false")]
    pub security_headers: bool,
    /// Whether answers are compressed for clients that take it; absent: they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// How a client is known again, to stay on one slot while weights move; absent: each request is shared out by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
}

/// How a client is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sticky {
    /// By a cookie of this name that the edge gives it. Services do not see it.
    Cookie(String),
    /// By the value of this header; requests without it are shared out one by one.
    Header(String),
}

impl Policies {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Names and passwords (RFC 7617). Not for accounts of users: for what is not public yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// What the browser shows when it asks.
    #[serde(default = "restricted")]
    pub realm: String,
    /// SHA-256 of `name:password` in hexadecimal, one for each person. Choose long random passwords: whoever reads the
    /// snapshot could try short ones.
    pub sha256: Vec<String>,
}

fn restricted() -> String {
    "restricted".into()
}

/// Cross-origin requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// `https://app.example.org`, or `*` alone: everyone's, without credentials.
    pub origins: Vec<String>,
    /// Methods beside those that need no question; GET, HEAD and POST where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Request headers beside those that need no question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Headers of answers that scripts may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Whether requests may carry cookies.
    #[serde(default, skip_serializing_if = "is_false")]
    pub credentials: bool,
    /// How long a browser may remember the answer to its question, in seconds.
    #[serde(default = "ten_minutes")]
    pub max_age_s: u32,
}

fn ten_minutes() -> u32 {
    600
}

/// How often one may ask. A request that is over is answered with 429.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Who is counted.
    pub key: RateKey,
    /// So many requests…
    pub requests: u32,
    /// …in this time, in milliseconds.
    pub per_ms: u64,
    /// So many of them at once; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// Whom a rate limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKey {
    /// Each client address; of IPv6 its first 64 bits.
    Address,
    /// Each value of `Authorization`; requests without are not counted.
    Token,
    /// All requests of the route together.
    Route,
}

/// A route that is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Maintenance {
    /// How long a request waits for a snapshot in which the route is open again, in milliseconds; 0: not at all.
    pub hold_ms: u64,
    /// When to come again, in seconds, for whom it was closed to the end.
    pub retry_after_s: u32,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { hold_ms: 0, retry_after_s: 30 }
    }
}
