//! The edge's snapshot, built purely from the plan and the instances that are ready.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mana_delivery::rollout::LEASE;
use mana_edge::snapshot::{
    Acme, BasicAuth, CertificateFiles, Challenge, Cors, Instance, Issuer, Lease, Limits, Listener, LocalAuthority,
    Maintenance, Policies, Probe, Protocol, RateKey, RateLimit, Redirect, Route, RouteLimits, Slot, Snapshot,
    StaticSite, Target, Tls, Traces, lets_encrypt,
};
use mana_manifest::plan::{self, Command, Environment, Plan, Rate, Run, Service};

use mana_release::store::MOST_BUNDLE_BYTES;

use crate::desired::{EDGE, FULL_WEIGHT};
use crate::{paths, slot, traces};

/// Longest time the edge lets requests finish when it is stopped. Short, since nothing accepts new ones meanwhile.
pub(crate) const EDGE_DRAIN: Duration = Duration::from_secs(5);

/// The slowest call at the operators' door.
const SLOWEST_CALL: Duration = Duration::from_mins(15);
/// What the route of the operators' door is called.
const DOOR: &str = "ops";
/// What the route of the status page is called: below the door's, which is in no service's numbers.
const STATUS_PAGE: &str = "ops/status";

/// How long browsers may remember what pages of other sites may ask.
const CORS_MAX_AGE_S: u32 = 600;

/// Where the outside speaks TLS.
const TRANSPORT_SECURITY: (&str, &str) = ("strict-transport-security", "max-age=31536000; includeSubDomains; preload");

/// An instance that takes traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) id: String,
    pub(crate) port: u16,
    pub(crate) release: String,
}

/// A slot that something should run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployed {
    pub(crate) slot: slot::Slot,
    /// Its share of the service's new requests, in percent.
    pub(crate) weight: u8,
    /// Whether that is good only as long as it is renewed.
    pub(crate) leased: bool,
    /// Its instances that take traffic.
    pub(crate) ready: Vec<Ready>,
    /// What it is, where it is no program.
    pub(crate) folder: Option<PathBuf>,
}

/// The snapshot of this moment. Its generation is 0: whoever puts it gives it one.
pub(crate) fn build(plan: &Plan, deployed: &BTreeMap<String, Vec<Deployed>>) -> Snapshot {
    let mut listeners = match &plan.tls {
        None => vec![Listener::public(plan.listen)],
        Some(tls) => vec![
            Listener { http3: tls.http3, ..Listener::secure(tls.listen) },
            Listener::to_https(plan.listen, tls.public_port),
        ],
    };
    for listener in &mut listeners {
        listener.proxy_protocol = plan.proxy_protocol;
    }
    let mut routes = Vec::new();
    for service in &plan.services {
        let target = match &service.run {
            Run::Command(command) => {
                listeners.push(Listener::internal(command.internal, service.name.clone()));
                let deployed = deployed.get(&service.name).map_or(&[][..], Vec::as_slice);
                // Where nothing serves, the edge says so itself.
                let serves = deployed.iter().any(|deployed| deployed.weight > 0);
                Target::Slots(deployed.iter().filter(|_| serves).map(|deployed| slot(command, deployed)).collect())
            }
            Run::Static { folder, not_found } => {
                let deployed = deployed.get(&service.name).map_or(&[][..], Vec::as_slice);
                Target::Static(site(folder, not_found.clone(), deployed))
            }
        };
        let leased = deployed.get(&service.name).into_iter().flatten();
        let lease =
            leased.filter(|deployed| deployed.leased && (1..FULL_WEIGHT).contains(&deployed.weight)).map(lease).next();
        routes.push(Route { lease, ..route(plan, service, service.name.clone(), "/", target) });
        // Nobody could reach a redirect of a service without hosts.
        for (path, to) in service.redirects.iter().filter(|_| !service.hosts.is_empty()) {
            let target = Target::Redirect(Redirect { to: to.clone(), status: 308, keep_path: true });
            routes.push(route(plan, service, format!("{}{path}", service.name), path, target));
        }
    }
    let limits = Limits { drain_timeout_ms: millis(EDGE_DRAIN), ..Limits::default() };
    Snapshot {
        listeners,
        routes,
        limits,
        trusted_proxies: plan.trusted_proxies.clone(),
        tls: tls(plan),
        traces: plan.traces.clone().map(Traces::to),
        ..Snapshot::default()
    }
}

/// The version that serves, with what only the other one has beside it.
fn site(folder: &Path, not_found: Option<String>, deployed: &[Deployed]) -> StaticSite {
    let serves = deployed.iter().max_by_key(|deployed| deployed.weight);
    let root = serves.and_then(|deployed| deployed.folder.as_deref()).unwrap_or(folder);
    let other = deployed.iter().filter_map(|deployed| deployed.folder.as_deref()).find(|other| *other != root);
    StaticSite { root: root.to_owned(), not_found, beside: other.map(Path::to_owned) }
}

/// Where certificates come from. What an authority issued lies in the data folder.
fn tls(plan: &Plan) -> Option<Tls> {
    let tls = plan.tls.as_ref()?;
    let certificates = tls
        .certificates
        .iter()
        .map(|(certificate, key)| CertificateFiles { certificate: certificate.clone(), key: key.clone() });
    let issuer = tls.issuer.as_ref().map(|issuer| match issuer {
        plan::Issuer::Local => Issuer::Local(LocalAuthority { folder: paths::authority(&plan.data) }),
        plan::Issuer::Acme(acme) => Issuer::Acme(Acme {
            directory: acme.directory.clone().unwrap_or_else(lets_encrypt),
            email: acme.email.clone(),
            folder: paths::certificates(&plan.data),
            challenge: if acme.in_handshake { Challenge::TlsAlpn01 } else { Challenge::Http01 },
            roots: acme.roots.clone(),
        }),
    });
    Some(Tls {
        certificates: certificates.collect(),
        issuer,
        // Browsers keep this promise for a year: only the real thing may make it.
        strict_transport: plan.environment == Environment::Production,
    })
}

fn lease(deployed: &Deployed) -> Lease {
    Lease { slot: deployed.slot.to_string(), ms: millis(LEASE) }
}

fn slot(command: &Command, Deployed { slot, weight, ready, .. }: &Deployed) -> Slot {
    let protocol = if command.h2c { Protocol::H2c } else { Protocol::Http1 };
    Slot {
        name: slot.to_string(),
        // While a service is being replaced, both versions are in the slot; the newest names it.
        release: ready.last().map_or_else(|| "none".to_owned(), |ready| ready.release.clone()),
        weight: (*weight).into(),
        instances: ready
            .iter()
            .map(|ready| Instance {
                protocol,
                ..Instance::new(ready.id.clone(), (Ipv4Addr::LOCALHOST, ready.port).into())
            })
            .collect(),
    }
}

fn route(plan: &Plan, service: &Service, name: String, path: &str, target: Target) -> Route {
    // Where the edge itself speaks TLS, it says so on every answer, whatever route it belongs to.
    let secure = (plan.public_scheme == "https" && plan.tls.is_none()).then_some(TRANSPORT_SECURITY);
    let is_public = !service.hosts.is_empty();
    let access = &service.access;
    Route {
        name,
        hosts: service.hosts.clone(),
        path: path.to_owned(),
        target,
        response_headers: secure
            .filter(|_| is_public)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect(),
        limits: RouteLimits {
            max_body_bytes: service.limits.max_body_bytes,
            response_timeout_ms: millis(service.limits.response_timeout),
            request_timeout_ms: service.limits.request_timeout.map_or(0, millis),
            drain_timeout_ms: millis(service.limits.drain),
            ..RouteLimits::default()
        },
        // A content security policy is the service's own business, and so is whatever it says of these itself.
        policies: Policies {
            security_headers: is_public,
            rate_limits: rate_limits(service),
            allow: access.allow.clone(),
            deny: access.deny.clone(),
            basic_auth: (!access.basic_auth.is_empty())
                .then(|| BasicAuth { realm: service.name.clone(), sha256: access.basic_auth.clone() }),
            cors: access.cors.as_ref().map(cors),
            compress: access.uncompressed.then_some(false),
            maintenance: access.maintenance.map(|hold| Maintenance { hold_ms: millis(hold), ..Maintenance::default() }),
            ..Policies::default()
        },
        probe: probe(service),
        lease: None,
    }
}

/// Where spans go that nobody else wants.
pub(crate) fn traces(traces: &traces::Traces) -> Traces {
    let authorization = Some(format!("Bearer {}", traces.token(EDGE)));
    Traces { authorization, per_second: Some(traces::A_SECOND), ..Traces::to(traces.endpoint()) }
}

/// The operators' door.
pub(crate) fn door(host: &str, id: &str, port: u16) -> Route {
    /// For each address, in a minute: pages and scripts need a fraction of it, and whoever tries tokens gets nowhere.
    const MOST_REQUESTS: u32 = 600;
    let instance = Instance::new(id, (Ipv4Addr::LOCALHOST, port).into());
    let release = env!("CARGO_PKG_VERSION").to_owned();
    Route {
        name: DOOR.to_owned(),
        hosts: vec![host.to_owned()],
        path: "/".to_owned(),
        target: Target::Slots(vec![Slot { name: DOOR.to_owned(), release, weight: 100, instances: vec![instance] }]),
        response_headers: BTreeMap::new(),
        limits: RouteLimits {
            max_body_bytes: MOST_BUNDLE_BYTES,
            // Smoke tests take their time, and a release is compared with its digest before it is answered for.
            response_timeout_ms: millis(SLOWEST_CALL),
            ..RouteLimits::default()
        },
        policies: Policies {
            security_headers: true,
            rate_limits: vec![RateLimit {
                key: RateKey::Address,
                requests: MOST_REQUESTS,
                per_ms: 60_000,
                burst: None,
            }],
            ..Policies::default()
        },
        probe: None,
        lease: None,
    }
}

/// The page that tells everybody how things are: files, so that it is there while the control plane is not.
pub(crate) fn status_page(page: &plan::StatusPage, folder: PathBuf) -> Route {
    /// For each address, in a minute.
    const MOST_REQUESTS: u32 = 600;
    let headers = [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
        ),
        // It is for everybody, and so for everybody's pages.
        ("access-control-allow-origin", "*"),
    ];
    Route {
        name: STATUS_PAGE.to_owned(),
        hosts: vec![page.host.clone()],
        path: "/".to_owned(),
        target: Target::Static(StaticSite { root: folder, not_found: None, beside: None }),
        response_headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        limits: RouteLimits::default(),
        policies: Policies {
            security_headers: true,
            rate_limits: vec![RateLimit {
                key: RateKey::Address,
                requests: MOST_REQUESTS,
                per_ms: 60_000,
                burst: None,
            }],
            ..Policies::default()
        },
        probe: None,
        lease: None,
    }
}

/// Of several instances one that hangs or lost its database is left out until it is well; of a single one that would help nobody.
fn probe(service: &Service) -> Option<Probe> {
    match &service.run {
        Run::Command(command) if command.instances > 1 => Some(Probe::new(command.ready.clone())),
        _ => None,
    }
}

fn cors(cors: &plan::Cors) -> Cors {
    Cors {
        origins: cors.origins.clone(),
        methods: cors.methods.clone(),
        headers: cors.headers.clone(),
        expose: cors.expose.clone(),
        credentials: cors.credentials,
        max_age_s: CORS_MAX_AGE_S,
    }
}

/// All of a time's requests may come at once: people open pages, they do not tick.
fn rate_limits(service: &Service) -> Vec<RateLimit> {
    let limits = [(RateKey::Address, service.limits.rate), (RateKey::Token, service.limits.rate_per_token)];
    let limit = |(key, rate): (RateKey, Option<Rate>)| {
        rate.map(|rate| RateLimit { key, requests: rate.requests, per_ms: millis(rate.per), burst: None })
    };
    limits.into_iter().filter_map(limit).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Ids of the instances a snapshot sends requests to.
pub(crate) fn routed(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    snapshot
        .routes
        .iter()
        .flat_map(|route| match &route.target {
            Target::Slots(slots) => slots.as_slice(),
            Target::Static(_) | Target::Redirect(_) => &[],
        })
        .flat_map(|slot| slot.instances.iter().map(|instance| instance.id.as_str()))
}

#[cfg(test)]
mod tests {
    use mana_manifest::{Facts, Manifest, Overrides};

    use super::*;

    const MANIFEST: &str = "name = \"shop\"\ndomain = \"shop.example\"\n\n\
        [services.shop-backend]\ncommand = \"bin/shop\"\nport = 4001\n\
        limits = { rate = \"600/1m\", rate_per_token = \"60/1s\", request_timeout = \"5m\", drain = \"10s\" }\n";

    /// What the edge is told in an environment, with further lines in the manifest.
    fn told(environment: &str, more: &str) -> Snapshot {
        let manifest = Manifest::parse(Path::new("/srv/shop/mana.toml"), &format!("{MANIFEST}{more}")).expect("TOML");
        let overrides = Overrides { environment: Some(environment.into()), ..Overrides::default() };
        build(&manifest.plan(&overrides, &Facts::assumed()).expect("a plan"), &BTreeMap::new())
    }

    #[test]
    fn production_speaks_tls_with_certificates_by_acme_and_keeps_abuse_out() {
        let snapshot = told("production", "[environments.production]\nacme = { email = \"a@shop.example\" }\n");
        assert_eq!(snapshot.listeners[0], Listener::secure("0.0.0.0:443".parse().expect("an address")));
        assert_eq!(snapshot.listeners[1], Listener::to_https("0.0.0.0:80".parse().expect("an address"), 443));
        let tls = snapshot.tls.as_ref().expect("TLS");
        assert!(tls.strict_transport);
        let Some(Issuer::Acme(acme)) = &tls.issuer else { panic!("{tls:?}") };
        assert_eq!((acme.email.as_deref(), acme.challenge), (Some("a@shop.example"), Challenge::Http01));
        assert_eq!(acme.folder, Path::new("/srv/shop/.mana/production/certificates"));
        let policies = &snapshot.routes[0].policies;
        assert!(policies.security_headers);
        let limits: Vec<_> =
            policies.rate_limits.iter().map(|limit| (limit.key, limit.requests, limit.per_ms)).collect();
        assert_eq!(limits, [(RateKey::Address, 600, 60_000), (RateKey::Token, 60, 1_000)]);
        let limits = &snapshot.routes[0].limits;
        assert_eq!((limits.request_timeout_ms, limits.drain_timeout_ms), (300_000, 10_000));
        snapshot.compile().expect("the edge takes it");
    }

    #[test]
    fn what_the_manifest_says_of_access_reaches_the_edge() {
        let digest = "a".repeat(64);
        let more = format!(
            "instances = 2\nprotocol = \"h2c\"\nmaintenance = \"20s\"\ncompress = false\n\
             access = {{ allow = [\"10.0.0.0/8\"], deny = [\"10.0.0.1\"], basic_auth = [\"{digest}\"] }}\n\
             cors = {{ origins = [\"https://app.example\"], methods = [\"PUT\"], credentials = true }}\n\
             [environments.staging]\nhttp3 = true\ntraces = \"http://127.0.0.1:4318/v1/traces\"\n\
             [environments.production]\nproxy_protocol = true\ntrusted_proxies = [\"10.9.0.0/16\"]\n"
        );
        let snapshot = told("staging", &more);
        snapshot.compile().expect("the edge takes it");
        assert!(snapshot.listeners[0].http3 && !snapshot.listeners[1].http3);
        assert_eq!(snapshot.traces.as_ref().map(|traces| traces.ratio), Some(1.0));
        let route = &snapshot.routes[0];
        assert_eq!(route.probe.as_ref().map(|probe| probe.path.as_str()), Some("/api/health/ready"));
        let policies = &route.policies;
        assert_eq!(
            (&policies.allow[..], &policies.deny[..]),
            (&["10.0.0.0/8".to_owned()][..], &["10.0.0.1".to_owned()][..])
        );
        assert_eq!(policies.basic_auth.as_ref().map(|people| &people.sha256[..]), Some(&[digest][..]));
        assert_eq!(policies.compress, Some(false));
        assert_eq!(policies.maintenance.as_ref().map(|closed| closed.hold_ms), Some(20_000));
        assert!(policies.cors.as_ref().is_some_and(|cors| cors.credentials && cors.methods == ["PUT"]));
        let behind = told("production", &more);
        behind.compile().expect("the edge takes it");
        assert!(behind.listeners[..2].iter().all(|listener| listener.proxy_protocol));
        assert!(behind.listeners[2..].iter().all(|listener| !listener.proxy_protocol));
        let ready = Ready { id: "shop-backend-1".into(), port: 20_000, release: "r".into() };
        let manifest = Manifest::parse(Path::new("/srv/shop/mana.toml"), &format!("{MANIFEST}{more}")).expect("TOML");
        let plan = manifest.plan(&Overrides::default(), &Facts::assumed()).expect("a plan");
        let deployed =
            Deployed { slot: slot::Slot::Blue, weight: 100, leased: false, ready: vec![ready], folder: None };
        let snapshot = build(&plan, &BTreeMap::from([("shop-backend".to_owned(), vec![deployed])]));
        let Target::Slots(slots) = &snapshot.routes[0].target else { panic!("{snapshot:?}") };
        assert_eq!(slots[0].instances[0].protocol, Protocol::H2c);
    }

    #[test]
    fn the_promise_of_tls_is_made_in_production_only_and_behind_a_proxy_by_header() {
        assert!(!told("staging", "").tls.expect("TLS").strict_transport);
        assert_eq!(told("development", "").tls, None);
        let behind = told("production", "[environments.production]\ntls = \"off\"\nlisten = \"127.0.0.1:8080\"\n");
        assert_eq!((behind.listeners[0].tls, behind.tls), (false, None));
        assert!(behind.routes[0].response_headers.contains_key("strict-transport-security"));
    }
}
