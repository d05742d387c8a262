//! From a [`Snapshot`] to a [`Table`], or to everything that is wrong with it at once.
//!
//! Pure: files and sockets are looked at when a table is put into effect, not here. A new rule is one more `problem`
//! in the function of the thing it is about, and one more row in the tests below.

mod limits;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Component, Path};
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, StatusCode, Uri};

use crate::cidr::Cidr;
use crate::policy::{self, Policies};
use crate::probing::Probe;
use crate::sequence::Sequence;
use crate::snapshot::{self, Instance, Snapshot};
use crate::table::{Listener, Paths, Problem, Redirect, Role, Route, Site, Slot, Slots, Table, Target, Traces};
use crate::{headers, host};

/// Longest name of a route, slot, release or instance: they are labels of metrics.
const MAX_NAME_BYTES: usize = 128;

/// Most slots of one route: the seed has two.
const MAX_SLOTS: usize = 64;

impl Snapshot {
    /// Checks everything and builds the form that requests are answered from.
    ///
    /// # Errors
    /// Every problem there is, each with the place it is at.
    pub fn compile(&self) -> Result<Table, Vec<Problem>> {
        compile(&Arc::new(self.clone()))
    }
}

/// The same, of one that the table may keep.
pub(crate) fn compile(snapshot: &Arc<Snapshot>) -> Result<Table, Vec<Problem>> {
    let mut compiler = Compiler { snapshot, problems: Vec::new() };
    let table = compiler.table();
    if compiler.problems.is_empty() { Ok(table) } else { Err(compiler.problems) }
}

struct Compiler<'a> {
    snapshot: &'a Arc<Snapshot>,
    problems: Vec<Problem>,
}

/// Where a problem is. Put into words only when there is one.
#[derive(Clone, Copy)]
enum At<'a> {
    Route(&'a str),
    Listener(SocketAddr),
    Part(&'static str),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(name) => write!(f, "route `{name}`"),
            Self::Listener(address) => write!(f, "listener {address}"),
            Self::Part(part) => f.write_str(part),
        }
    }
}

impl Compiler<'_> {
    fn problem(&mut self, at: At<'_>, what: impl Into<String>) {
        self.problems.push(Problem { at: at.to_string(), what: what.into() });
    }

    fn table(&mut self) -> Table {
        let snapshot = self.snapshot;
        let routes: Vec<_> = snapshot.routes.iter().map(|route| self.route(route)).collect();
        let names = self.names(&routes);
        Table {
            hosts: self.hosts(&routes),
            listeners: self.listeners(&names),
            names,
            instances: instances(&routes),
            trusted: self.trusted(),
            limits: self.limits(),
            strict_transport: self.tls_settings(),
            traces: self.traces(),
            snapshot: Arc::clone(snapshot),
            routes,
        }
    }

    fn traces(&mut self) -> Option<Traces> {
        let traces = self.snapshot.traces.as_ref()?;
        if !(0.0..=1.0).contains(&traces.ratio) {
            self.problem(At::Part("traces"), format!("ratio {} is not between 0 and 1", traces.ratio));
        }
        let endpoint = traces.endpoint.parse::<Uri>().ok();
        let endpoint = endpoint.filter(|uri| uri.scheme() == Some(&Scheme::HTTP) && uri.host().is_some());
        let Some(endpoint) = endpoint else {
            self.problem(
                At::Part("traces"),
                format!("endpoint `{}` is no http:// address, like http://127.0.0.1:4318/v1/traces", traces.endpoint),
            );
            return None;
        };
        let authorization = traces.authorization.as_deref().map(HeaderValue::try_from).transpose();
        let Ok(mut authorization) = authorization else {
            self.problem(At::Part("traces"), "authorization cannot stand in a header".to_owned());
            return None;
        };
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        Some(Traces { endpoint, ratio: traces.ratio, per_second: traces.per_second, authorization })
    }

    fn route(&mut self, route: &snapshot::Route) -> Route {
        let at = At::Route(&route.name);
        self.name(at, "name", &route.name);
        self.lease(at, route);
        Route {
            name: route.name.as_str().into(),
            prefix: self.prefix(at, &route.path),
            target: match &route.target {
                snapshot::Target::Slots(slots) => Target::Slots(self.slots(at, slots)),
                snapshot::Target::Static(site) => Target::Static(self.site(at, site)),
                snapshot::Target::Redirect(redirect) => Target::Redirect(self.redirect(at, redirect)),
            },
            response_headers: self.response_headers(at, route),
            limits: self.route_limits(at, &route.limits),
            policies: self.policies(at, route),
            probe: route.probe.as_ref().map(|probe| Arc::new(self.probe(at, probe))),
        }
    }

    fn lease(&mut self, at: At<'_>, route: &snapshot::Route) {
        let Some(lease) = &route.lease else { return };
        self.duration(at, "lease.ms", lease.ms);
        let snapshot::Target::Slots(slots) = &route.target else {
            return self.problem(at, "has a lease, which is for slots");
        };
        let (leased, others): (Vec<_>, Vec<_>) = slots.iter().partition(|slot| slot.name == lease.slot);
        if leased.is_empty() {
            self.problem(at, format!("the lease's slot `{}` does not exist", lease.slot));
        } else if others.iter().all(|slot| slot.weight == 0) {
            self.problem(at, format!("the lease is of slot `{}`, and no other has a weight to go back to", lease.slot));
        }
    }

    fn probe(&mut self, at: At<'_>, probe: &snapshot::Probe) -> Probe {
        if !probe.path.starts_with('/') || probe.path.parse::<http::Uri>().is_err() {
            self.problem(
                at,
                format!("the probe's path `{}` must be a path that begins with `/`", probe.path.escape_debug()),
            );
        }
        Probe {
            path: probe.path.clone(),
            interval: self.duration(at, "probe.interval_ms", probe.interval_ms),
            timeout: self.duration(at, "probe.timeout_ms", probe.timeout_ms),
        }
    }

    fn policies(&mut self, at: At<'_>, route: &snapshot::Route) -> Option<Box<Policies>> {
        let mut problems = Vec::new();
        let policies = policy::compile::policies(&route.name, &route.policies, &mut problems);
        for problem in problems {
            self.problem(at, problem);
        }
        (route.policies != snapshot::Policies::default()).then(|| Box::new(policies))
    }

    fn name(&mut self, at: At<'_>, field: &str, name: &str) {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            self.problem(
                at,
                format!(
                    "{field} `{}` must have 1 to {MAX_NAME_BYTES} bytes and no control characters",
                    name.escape_debug()
                ),
            );
        }
    }

    fn prefix(&mut self, at: At<'_>, path: &str) -> Box<str> {
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
        if !path.starts_with('/') || !plain || path.contains("//") || host::has_two_readings(path) {
            self.problem(
                at,
                format!(
                    "path `{}` must begin with `/` and have no empty, `.` or `..` segment, encoded separator, space, `?` or `#`",
                    path.escape_debug()
                ),
            );
        }
        let path = host::plain(path);
        path.strip_suffix('/').unwrap_or(&path).into()
    }

    fn slots(&mut self, at: At<'_>, slots: &[snapshot::Slot]) -> Slots {
        if slots.len() > MAX_SLOTS {
            self.problem(at, format!("has {} slots; at most {MAX_SLOTS} are allowed", slots.len()));
        }
        if !slots.is_empty() && slots.iter().all(|slot| slot.weight == 0) {
            self.problem(at, "every slot has weight 0; give at least one a positive weight");
        }
        for slot in slots {
            self.name(at, "slot", &slot.name);
            self.name(at, "release", &slot.release);
            for instance in &slot.instances {
                self.instance(at, instance);
            }
        }
        for name in twice(slots.iter().map(|slot| slot.name.as_str())) {
            self.problem(at, format!("slot `{name}` appears twice"));
        }
        for id in twice(slots.iter().flat_map(|slot| &slot.instances).map(|instance| instance.id.as_str())) {
            self.problem(at, format!("instance `{id}` appears twice"));
        }
        let weights = slots.iter().zip(0_u16..).filter(|(slot, _)| !slot.instances.is_empty());
        let weights: Vec<_> = weights.map(|(slot, index)| (index, slot.weight)).collect();
        Slots {
            sequence: Sequence::new(&weights),
            slots: slots
                .iter()
                .map(|slot| Slot {
                    name: slot.name.as_str().into(),
                    release: slot.release.as_str().into(),
                    instances: slot.instances.clone(),
                })
                .collect(),
        }
    }

    fn instance(&mut self, at: At<'_>, instance: &snapshot::Instance) {
        self.name(at, "instance", &instance.id);
        let address = instance.address;
        if address.port() == 0 || address.ip().is_unspecified() {
            self.problem(
                at,
                format!("instance `{}` has the address {address}, which nobody can connect to", instance.id),
            );
        } else if self.snapshot.listeners.iter().any(|listener| accepts(listener.address, address)) {
            self.problem(
                at,
                format!(
                    "instance `{}` has the address {address}, which is the edge's own: requests would go round",
                    instance.id
                ),
            );
        }
    }

    fn site(&mut self, at: At<'_>, site: &snapshot::StaticSite) -> Site {
        for root in [&site.root].into_iter().chain(&site.beside).filter(|root| !root.is_absolute()) {
            self.problem(at, format!("root `{}` must be an absolute path", root.display()));
        }
        if let Some(page) = &site.not_found {
            let inside = Path::new(page).components().all(|part| matches!(part, Component::Normal(_)));
            if page.is_empty() || !inside {
                self.problem(
                    at,
                    format!("not_found `{}` must be a file below root, without `..`", page.escape_debug()),
                );
            }
        }
        Site { root: site.root.clone(), not_found: site.not_found.clone(), beside: site.beside.clone() }
    }

    fn redirect(&mut self, at: At<'_>, redirect: &snapshot::Redirect) -> Redirect {
        let absolute = redirect.to.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
        });
        if !absolute {
            self.problem(at, format!("to `{}` must be an http or https URL without query", redirect.to.escape_debug()));
        }
        let status = StatusCode::from_u16(redirect.status)
            .ok()
            .filter(|status| matches!(status.as_u16(), 301 | 302 | 307 | 308));
        if status.is_none() {
            self.problem(at, format!("status {} must be 301, 302, 307 or 308", redirect.status));
        }
        Redirect {
            to: redirect.to.strip_suffix('/').unwrap_or(&redirect.to).into(),
            status: status.unwrap_or(StatusCode::TEMPORARY_REDIRECT),
            keep_path: redirect.keep_path,
        }
    }

    fn response_headers(&mut self, at: At<'_>, route: &snapshot::Route) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        for (name, value) in &route.response_headers {
            match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                (Ok(name), _) if headers::is_framing(&name) => {
                    self.problem(at, format!("response header `{name}` belongs to the connection and cannot be set"));
                }
                (Ok(name), Ok(value)) => headers.push((name, value)),
                (Err(_), _) => self.problem(at, format!("response header `{}` is no header name", name.escape_debug())),
                (_, Err(_)) => self.problem(
                    at,
                    format!("response header `{}` has a value that no header can have", name.escape_debug()),
                ),
            }
        }
        headers
    }

    fn names(&mut self, routes: &[Route]) -> HashMap<Arc<str>, usize> {
        let mut names = HashMap::with_capacity(routes.len());
        for (place, route) in routes.iter().enumerate() {
            if names.insert(Arc::clone(&route.name), place).is_some() {
                self.problem(At::Route(&route.name), "appears twice; names of routes are unique");
            }
        }
        names
    }

    fn hosts(&mut self, routes: &[Route]) -> HashMap<Box<str>, Paths> {
        let mut hosts: HashMap<Box<str>, Paths> = HashMap::new();
        for (index, (route, declared)) in routes.iter().zip(&self.snapshot.routes).enumerate() {
            let at = At::Route(&route.name);
            for name in &declared.hosts {
                if host::normal(name).as_deref() != Some(name) {
                    self.problem(
                        at,
                        format!("host `{}` must be a host name in lower case, without port", name.escape_debug()),
                    );
                    continue;
                }
                let paths = hosts.entry(name.as_str().into()).or_default();
                let earlier = match &*route.prefix {
                    "" => paths.root.replace(index),
                    prefix => paths.prefixes.insert(prefix.into(), index),
                };
                if let Some(earlier) = earlier {
                    let path = if route.prefix.is_empty() { "/" } else { &route.prefix };
                    self.problem(
                        at,
                        format!("host `{name}` with path `{path}` belongs to route `{}` already", routes[earlier].name),
                    );
                }
            }
        }
        hosts
    }

    fn listeners(&mut self, names: &HashMap<Arc<str>, usize>) -> HashMap<SocketAddr, Listener> {
        let mut listeners = HashMap::new();
        for listener in &self.snapshot.listeners {
            let at = At::Listener(listener.address);
            let role = self.role(at, listener, names);
            if listener.tls && self.snapshot.tls.is_none() {
                self.problem(at, "speaks TLS, but `tls` does not say where certificates come from");
            }
            self.proxy_protocol(at, listener);
            if listener.http3 && (!listener.tls || listener.proxy_protocol) {
                self.problem(at, "`http3` goes with `tls` and without `proxy_protocol`: QUIC is never without TLS, and has no PROXY header");
            }
            let compiled =
                Listener { role, tls: listener.tls, proxy_protocol: listener.proxy_protocol, http3: listener.http3 };
            if listeners.insert(listener.address, compiled).is_some() {
                self.problem(at, "appears twice");
            }
        }
        listeners
    }

    fn proxy_protocol(&mut self, at: At<'_>, listener: &snapshot::Listener) {
        if !listener.proxy_protocol {
            return;
        }
        if self.snapshot.trusted_proxies.is_empty() {
            self.problem(at, "reads the PROXY header, but `trusted_proxies` names nobody who may say it");
        }
        if listener.route.is_some() {
            // Whoever calls from this machine there may say for whom; no header may make a caller of somebody else.
            self.problem(at, "is internal and cannot have `proxy_protocol`: services call it themselves");
        }
    }

    fn role(&mut self, at: At<'_>, listener: &snapshot::Listener, names: &HashMap<Arc<str>, usize>) -> Role {
        match (&listener.route, listener.to_https, listener.tls) {
            (None, None, _) => Role::Public,
            (None, Some(0), _) => {
                self.problem(at, "to_https is 0; name the port that clients reach TLS at, usually 443");
                Role::Gone
            }
            (None, Some(port), false) => Role::ToHttps(port),
            (Some(name), None, false) => {
                // No policy is asked there, and whoever calls may say for whom.
                if !listener.address.ip().to_canonical().is_loopback() {
                    self.problem(
                        at,
                        "has a `route`, which is for programs on this machine: use a loopback address, such as 127.0.0.1",
                    );
                }
                if let Some(place) = names.get(name.as_str()) {
                    return Role::Internal(*place);
                }
                self.problem(at, format!("names the route `{name}`, which does not exist"));
                Role::Gone
            }
            _ => {
                self.problem(at, "can have only one of `route`, `tls` and `to_https`");
                Role::Gone
            }
        }
    }

    /// Whether answers over TLS say that there is no other way.
    fn tls_settings(&mut self) -> bool {
        let Some(tls) = &self.snapshot.tls else { return false };
        for path in tls.certificates.iter().flat_map(|files| [&files.certificate, &files.key]) {
            self.absolute("certificate", path);
        }
        match &tls.issuer {
            None => {}
            Some(snapshot::Issuer::Local(local)) => {
                self.absolute("the local authority's folder", &local.folder);
            }
            Some(snapshot::Issuer::Acme(acme)) => self.acme(acme),
        }
        tls.strict_transport
    }

    fn acme(&mut self, acme: &snapshot::Acme) {
        self.absolute("the ACME folder", &acme.folder);
        let directory = acme.directory.parse::<Uri>();
        if !directory.is_ok_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some()) {
            self.problem(
                At::Part("tls"),
                format!("the ACME directory `{}` must be an https URL", acme.directory.escape_debug()),
            );
        }
        let email = acme.email.as_deref().unwrap_or("a@b");
        if !email.contains('@') || email.contains(|letter: char| letter.is_whitespace() || letter == ',') {
            self.problem(At::Part("tls"), format!("email `{}` must be one address", email.escape_debug()));
        }
        let mut listeners = self.snapshot.listeners.iter();
        match acme.challenge {
            snapshot::Challenge::Http01 if !listeners.any(|listener| listener.to_https.is_some()) => {
                self.problem(
                    At::Part("tls"),
                    "http-01 needs a listener with `to_https`, reached from outside at port 80",
                );
            }
            snapshot::Challenge::TlsAlpn01 if !listeners.any(|listener| listener.tls) => {
                self.problem(
                    At::Part("tls"),
                    "tls-alpn-01 needs a listener with `tls`, reached from outside at port 443",
                );
            }
            _ => {}
        }
    }

    fn absolute(&mut self, what: &str, path: &Path) {
        if !path.is_absolute() {
            self.problem(At::Part("tls"), format!("{what} `{}` must be an absolute path", path.display()));
        }
    }

    fn trusted(&mut self) -> Vec<Cidr> {
        let parsed: Vec<_> = self.snapshot.trusted_proxies.iter().map(|range| range.parse::<Cidr>()).collect();
        parsed
            .into_iter()
            .filter_map(|range| range.map_err(|what| self.problem(At::Part("trusted_proxies"), what)).ok())
            .collect()
    }
}

/// What is there more than once.
fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

/// All instances. Of several routes to one, one that says how to ask it is enough.
fn instances(routes: &[Route]) -> HashMap<Instance, Option<Arc<Probe>>> {
    let mut instances: HashMap<Instance, Option<Arc<Probe>>> = HashMap::with_capacity(routes.len());
    for route in routes {
        let Target::Slots(Slots { slots, .. }) = &route.target else { continue };
        for instance in slots.iter().flat_map(|slot| &slot.instances) {
            let probe = instances.entry(instance.clone()).or_default();
            if route.probe.is_some() {
                probe.clone_from(&route.probe);
            }
        }
    }
    instances
}

/// Whether a listener would accept what is sent to `address`.
fn accepts(listener: SocketAddr, address: SocketAddr) -> bool {
    listener.port() == address.port()
        && (listener.ip() == address.ip() || listener.ip().is_unspecified() && address.ip().is_loopback())
}
