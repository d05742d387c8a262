//! What the edge serves: one immutable value, swapped as a whole.
//!
//! A snapshot is complete in itself: the edge reads no manifest and asks nobody. It is JSON on disk and on the admin
//! socket, written by hand (`mana edge --config FILE`) or by a control plane. `generation` fences: an edge refuses a
//! snapshot whose generation is not above the one it serves, so that a late writer can never undo a newer decision.

mod compatibility;
mod policies;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use compatibility::FORMAT;
pub use policies::{BasicAuth, Cors, Maintenance, Policies, RateKey, RateLimit, Sticky};

/// All that the edge needs to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Grows by at least one with every change; see the module's page.
    pub generation: u64,
    /// What has to be understood of the meaning of its fields: up to [`FORMAT`] is.
    #[serde(default, skip_serializing_if = "is_first")]
    pub format: u32,
    /// Sockets to accept on.
    pub listeners: Vec<Listener>,
    /// Where requests go. Order does not matter: the longest path prefix of the exact host wins.
    pub routes: Vec<Route>,
    /// Bounds that hold for the whole edge.
    #[serde(default)]
    pub limits: Limits,
    /// Peers (CIDR) whose `X-Forwarded-*` headers are believed, and whose PROXY header is where a listener reads one.
    /// Empty: nobody.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
    /// Where certificates come from; needed by listeners that speak TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Where traces go; `None`: nowhere, and the edge has no spans of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// What an edge that does not know it passes over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hints: BTreeMap<String, serde_json::Value>,
}

/// One span for each traced request, to a collector of OpenTelemetry.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Where spans are posted as OTLP in JSON, like `http://127.0.0.1:4318/v1/traces`. Without TLS: a collector is a neighbour.
    pub endpoint: String,
    /// Share of the requests that are traced, 0 to 1, where no trusted caller has decided.
    #[serde(default = "all")]
    pub ratio: f64,
    /// How many of those are traced in each second, at most; the threads have equal shares of it, and at least one each. All where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
    /// What the collector is shown as `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
}

impl Traces {
    /// All requests, to this endpoint.
    #[must_use]
    pub fn to(endpoint: String) -> Self {
        Self { endpoint, ratio: all(), per_second: None, authorization: None }
    }
}

impl std::fmt::Debug for Traces {
    /// Without what the collector is shown.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoint, ratio, per_second, authorization: _ } = self;
        let mut out = out.debug_struct("Traces");
        out.field("endpoint", endpoint).field("ratio", ratio).field("per_second", per_second).finish_non_exhaustive()
    }
}

impl Eq for Traces {}

fn all() -> f64 {
    1.0
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
    /// Whether it speaks TLS, with HTTP/2 and HTTP/1.1 inside.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls: bool,
    /// The port of the public TLS address: this listener redirects there, and answers ACME's challenges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_https: Option<u16>,
    /// Whether each connection begins with a PROXY header (version 1 or 2) that says whose it is. Only peers in
    /// `trusted_proxies` may connect then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub proxy_protocol: bool,
    /// Whether it speaks HTTP/3 too, on the UDP port of the same number. Only with `tls`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub http3: bool,
}

impl Listener {
    /// For everyone, without TLS.
    pub fn public(address: SocketAddr) -> Self {
        Self { address, route: None, tls: false, to_https: None, proxy_protocol: false, http3: false }
    }

    /// The stable address of one route.
    pub fn internal(address: SocketAddr, route: impl Into<String>) -> Self {
        Self { route: Some(route.into()), ..Self::public(address) }
    }

    /// For everyone, with TLS.
    pub fn secure(address: SocketAddr) -> Self {
        Self { tls: true, ..Self::public(address) }
    }

    /// Sends everyone to the TLS listener whose public port is `port`.
    pub fn to_https(address: SocketAddr, port: u16) -> Self {
        Self { to_https: Some(port), ..Self::public(address) }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(format: &u32) -> bool {
    *format == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
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
    #[serde(default, skip_serializing_if = "RouteLimits::is_default")]
    pub limits: RouteLimits,
    /// What is asked of requests before they go anywhere, and added to answers.
    #[serde(default, skip_serializing_if = "Policies::is_none")]
    pub policies: Policies,
    /// How instances are asked how they are; absent: they are not, and only what clients meet counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// A weight that has to be renewed; absent: all are good until the next snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// How long a slot's weight is good when nobody renews it (`POST /lease`) and no snapshot comes: then the edge puts it to 0 by
/// itself, on disk too, with the next generation. A canary that nobody watches any more goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Whose weight.
    pub slot: String,
    /// In milliseconds, from the moment the snapshot is in effect, or the lease is renewed; an edge that starts begins anew.
    pub ms: u64,
}

/// A question to each instance, by each thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Asked with GET; anything but 429 and 5xx is well.
    pub path: String,
    /// From one to the next, with jitter, in milliseconds.
    #[serde(default = "two_seconds")]
    pub interval_ms: u64,
    /// To the end of the answer, in milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
}

impl Probe {
    /// Asked with this path, as often and as patiently as by default.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), interval_ms: two_seconds(), timeout_ms: one_second() }
    }
}

fn two_seconds() -> u64 {
    2_000
}

fn one_second() -> u64 {
    1_000
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Unique for ever; a restarted instance has a new one.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
}

impl Instance {
    /// One that speaks HTTP/1.1.
    pub fn new(id: impl Into<String>, address: SocketAddr) -> Self {
        Self { id: id.into(), address, protocol: Protocol::default() }
    }
}

/// What an instance speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, known beforehand: gRPC.
    H2c,
}

impl Protocol {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_http1(&self) -> bool {
        *self == Self::Http1
    }
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
    /// The folder of another version: what is not in `root` is looked for there, but no pages. Whoever opened a page before one version
    /// took over from the other still gets that page's scripts and pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<PathBuf>,
}

/// Certificates, and what goes with them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificates of one's own. Which hosts they are for, they say themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFiles>,
    /// Who certifies the hosts for which there is no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Issuer>,
    /// Whether every answer over TLS says that there is no other way (`Strict-Transport-Security`, one year, with
    /// subdomains). Browsers keep that promise for us: nothing to try out.
    #[serde(skip_serializing_if = "is_false")]
    pub strict_transport: bool,
}

/// A certificate of one's own, as PEM files. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate, and after it the intermediate ones.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who makes certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Issuer {
    /// An authority of this machine's own, made in this folder on first use: for development.
    Local(LocalAuthority),
    /// A public authority that speaks ACME (RFC 8555), Let's Encrypt for example.
    Acme(Acme),
}

/// An authority that nobody trusts who was not told to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalAuthority {
    /// Where its certificate and key lie.
    pub folder: PathBuf,
}

/// How certificates are ordered by ACME.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// URL of the authority's directory.
    #[serde(default = "lets_encrypt")]
    pub directory: String,
    /// Whom the authority may write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Where account, certificates and keys are kept, readable by their owner only.
    pub folder: PathBuf,
    /// How the authority is shown that a host is ours.
    #[serde(default)]
    pub challenge: Challenge,
    /// A PEM file with the root that the authority's own HTTPS is certified by; absent: the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots: Option<PathBuf>,
}

/// The directory of Let's Encrypt.
pub fn lets_encrypt() -> String {
    "https://acme-v02.api.letsencrypt.org/directory".into()
}

/// A kind of proof.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// A file over HTTP on port 80: needs a listener with `to_https`.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate in the TLS handshake itself, on port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
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
    /// Open connections of one client address (of IPv6, its first 64 bits); trusted proxies have no such bound.
    pub max_connections_per_address: usize,
    /// Requests being answered, shared out equally to the threads; more are refused early rather than all be slow.
    pub max_concurrent_requests: usize,
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
    /// From a connection's begin to the end of its TLS handshake.
    pub handshake_timeout_ms: u64,
    /// Requests at once on one HTTP/2 connection.
    pub max_http2_streams: u32,
    /// Requests of one HTTP/2 connection that its client may take back before they are answered, in a minute.
    pub max_http2_resets: u32,
    /// Answers kept by the cache, with their headers; 0: none.
    pub max_cache_bytes: usize,
    /// Answers kept by the cache.
    pub max_cache_objects: usize,
    /// Body of one of them.
    pub max_cache_object_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_connections_per_address: 1_024,
            max_concurrent_requests: 10_000,
            max_header_bytes: 32 * 1024,
            max_headers: 100,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            drain_timeout_ms: 30_000,
            handshake_timeout_ms: 10_000,
            max_http2_streams: 100,
            max_http2_resets: 200,
            max_cache_bytes: 64 * 1024 * 1024,
            max_cache_objects: 16_384,
            max_cache_object_bytes: 1024 * 1024,
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
    /// From the request's way to an instance to its answer's last byte; then 504, or the answer is cut. 0: for ever. Tunnels
    /// have no such bound.
    pub request_timeout_ms: u64,
    /// Longest silence in the middle of a body, either way; then the connection is cut.
    pub body_idle_timeout_ms: u64,
    /// How long a WebSocket goes on with an instance that is not in the snapshot any more; then it is closed with 1001.
    pub drain_timeout_ms: u64,
}

impl RouteLimits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 * 1024 * 1024,
            connect_timeout_ms: 2_000,
            response_timeout_ms: 60_000,
            // Event streams live for as long as somebody listens.
            request_timeout_ms: 0,
            body_idle_timeout_ms: 120_000,
            drain_timeout_ms: 30_000,
        }
    }
}
