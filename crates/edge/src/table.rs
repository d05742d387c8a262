//! A snapshot in the form that requests are answered from: checked, indexed, never changed.
//!
//! [`crate::compile`] is the only place that makes one, so whoever holds a table holds a snapshot without a problem.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, iter};

use http::{HeaderName, HeaderValue, StatusCode, Uri};

use crate::cidr::Cidr;
use crate::policy::Policies;
use crate::probing::Probe;
use crate::sequence::Sequence;
use crate::snapshot::{Instance, Snapshot};

/// One thing that is wrong with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: ``route `chat-web` ``, `listener 127.0.0.1:8080`.
    pub at: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// A compiled snapshot.
#[derive(Debug)]
pub struct Table {
    /// What it was made of.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) routes: Vec<Route>,
    pub(crate) hosts: HashMap<Box<str>, Paths>,
    /// The place of each route.
    pub(crate) names: HashMap<Arc<str>, usize>,
    /// All instances, and how they are asked how they are.
    pub(crate) instances: HashMap<Instance, Option<Arc<Probe>>>,
    /// By the address as declared.
    pub(crate) listeners: HashMap<SocketAddr, Listener>,
    pub(crate) trusted: Vec<Cidr>,
    pub(crate) limits: Limits,
    /// Whether answers over TLS carry `Strict-Transport-Security`.
    pub(crate) strict_transport: bool,
    pub(crate) traces: Option<Traces>,
}

/// Where traces go.
#[derive(Debug)]
pub(crate) struct Traces {
    pub(crate) endpoint: Uri,
    pub(crate) ratio: f64,
    pub(crate) per_second: Option<u32>,
    /// What the collector is shown; never in a log.
    pub(crate) authorization: Option<HeaderValue>,
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) role: Role,
    pub(crate) tls: bool,
    pub(crate) proxy_protocol: bool,
    pub(crate) http3: bool,
}

/// What becomes of a listener's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Routed by host and path.
    Public,
    /// Always this route.
    Internal(usize),
    /// Sent to this port with TLS.
    ToHttps(u16),
    /// The listener is not in the table any more.
    Gone,
}

/// A route, ready to answer.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// Without trailing slash; empty for the root.
    pub(crate) prefix: Box<str>,
    pub(crate) target: Target,
    pub(crate) response_headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) limits: RouteLimits,
    /// Boxed: most routes are read without them.
    pub(crate) policies: Option<Box<Policies>>,
    pub(crate) probe: Option<Arc<Probe>>,
}

#[derive(Debug)]
pub(crate) enum Target {
    Slots(Slots),
    Static(Site),
    Redirect(Redirect),
}

#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) slots: Vec<Slot>,
    pub(crate) sequence: Sequence,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(crate) release: Arc<str>,
    pub(crate) instances: Vec<Instance>,
}

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    pub(crate) not_found: Option<String>,
    pub(crate) beside: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Redirect {
    /// Without trailing slash.
    pub(crate) to: String,
    pub(crate) status: StatusCode,
    pub(crate) keep_path: bool,
}

/// [`crate::snapshot::Limits`], as what they are.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_address: usize,
    pub(crate) max_concurrent_requests: usize,
    pub(crate) max_header_bytes: usize,
    pub(crate) max_headers: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_http2_streams: u32,
    pub(crate) max_http2_resets: u32,
    pub(crate) max_cache_bytes: usize,
    pub(crate) max_cache_objects: usize,
    pub(crate) max_cache_object_bytes: usize,
}

/// [`crate::snapshot::RouteLimits`], as what they are.
#[derive(Debug, Clone)]
pub(crate) struct RouteLimits {
    pub(crate) max_body_bytes: u64,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    /// `None`: a request may take for ever.
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) body_idle_timeout: Duration,
    pub(crate) drain_timeout: Duration,
}

/// The routes of one host, by prefix.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// The route at the root: most hosts have no other.
    pub(crate) root: Option<usize>,
    /// All others.
    pub(crate) prefixes: HashMap<Box<str>, usize>,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// To this route.
    Route(usize),
    /// The host is nobody's.
    NoHost,
    /// The host is known, but none of its prefixes covers the path.
    NoPath,
}

impl Table {
    /// The route of a request on a public listener. `host` must be in its [normal](crate::host::normal) form.
    pub(crate) fn find(&self, host: &str, path: &str) -> Found {
        match self.hosts.get(host) {
            None => Found::NoHost,
            Some(paths) => paths.find(path).map_or(Found::NoPath, Found::Route),
        }
    }

    /// Whether the forwarded headers of this peer are believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(peer))
    }

    /// Hosts that are asked for over TLS.
    pub(crate) fn secure_hosts(&self) -> impl Iterator<Item = &str> {
        let secure = self.listeners.values().any(|listener| listener.tls);
        self.hosts.keys().filter(move |_| secure).map(|host| &**host)
    }

    /// Keeps what must not start over with each snapshot.
    pub(crate) fn go_on_from(&mut self, before: &Self) {
        for route in &mut self.routes {
            let earlier = before.names.get(&route.name).map(|place| &before.routes[*place].target);
            if let (Target::Slots(slots), Some(Target::Slots(earlier))) = (&mut route.target, earlier) {
                slots.sequence.go_on_from(&earlier.sequence);
            }
        }
    }
}

impl Paths {
    fn find(&self, path: &str) -> Option<usize> {
        if self.prefixes.is_empty() {
            return self.root;
        }
        // From the whole path upwards, one segment less each time: the first hit is the longest prefix.
        let borders = path.rmatch_indices('/').map(|(border, _)| &path[..border]);
        iter::once(path).chain(borders).find_map(|prefix| self.prefixes.get(prefix).copied()).or(self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(prefixes: &[&str]) -> Paths {
        let mut paths = Paths::default();
        for (index, prefix) in prefixes.iter().enumerate() {
            match *prefix {
                "" => paths.root = Some(index),
                prefix => {
                    paths.prefixes.insert(prefix.into(), index);
                }
            }
        }
        paths
    }

    #[test]
    fn the_longest_prefix_at_a_segment_border_wins() {
        let prefixes = ["", "/api", "/api/v1", "/api/v1/users"];
        let paths = paths(&prefixes);
        for (path, expected) in [
            ("/", ""),
            ("/apix", ""),
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/api/v10", "/api"),
            ("/api/v1", "/api/v1"),
            ("/api/v1/", "/api/v1"),
            ("/api/v1/users/7", "/api/v1/users"),
            ("/API", ""),
            ("*", ""),
        ] {
            let found = paths.find(path).map(|index| prefixes[index]);
            assert_eq!(found, Some(expected), "{path}");
        }
    }

    #[test]
    fn without_a_root_other_paths_belong_to_nobody() {
        let paths = paths(&["/api"]);
        let without_root = Paths { root: None, ..paths };
        assert_eq!(without_root.find("/"), None);
        assert_eq!(without_root.find("/api/x"), Some(0));
    }
}
