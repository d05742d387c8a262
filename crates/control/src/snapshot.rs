//! The edge's snapshot, built purely from the plan and the instances that are ready.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mana_edge::snapshot::{
    Acme, CertificateFiles, Challenge, Instance, Issuer, Limits, Listener, LocalAuthority, Policies, Redirect, Route,
    RouteLimits, Slot, Snapshot, StaticSite, Target, Tls, lets_encrypt,
};
use mana_manifest::plan::{self, Environment, Plan, Run, Service};

use crate::paths;

/// The one slot there is until rollouts come.
pub(crate) const SLOT: &str = "blue";
/// All of a route's traffic.
const FULL_WEIGHT: u32 = 100;
/// Longest time the edge lets requests finish when it is stopped. Short, since nothing accepts new ones meanwhile.
pub(crate) const EDGE_DRAIN: Duration = Duration::from_secs(5);

/// Where the outside speaks TLS.
const TRANSPORT_SECURITY: (&str, &str) = ("strict-transport-security", "max-age=31536000; includeSubDomains; preload");

/// An instance that takes traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) id: String,
    pub(crate) port: u16,
    pub(crate) release: String,
}

/// The snapshot of this moment. Its generation is 0: whoever puts it gives it one.
pub(crate) fn build(plan: &Plan, ready: &BTreeMap<String, Vec<Ready>>) -> Snapshot {
    let mut listeners = match &plan.tls {
        None => vec![Listener::public(plan.listen)],
        Some(tls) => vec![Listener::secure(tls.listen), Listener::to_https(plan.listen, tls.public_port)],
    };
    let mut routes = Vec::new();
    for service in &plan.services {
        let target = match &service.run {
            Run::Command(command) => {
                listeners.push(Listener::internal(command.internal, service.name.clone()));
                Target::Slots(vec![slot(ready.get(&service.name).map_or(&[], Vec::as_slice))])
            }
            Run::Static { folder, not_found } => {
                Target::Static(StaticSite { root: folder.clone(), not_found: not_found.clone() })
            }
        };
        routes.push(route(plan, service, service.name.clone(), "/", target));
        // Nobody could reach a redirect of a service without hosts.
        for (path, to) in service.redirects.iter().filter(|_| !service.hosts.is_empty()) {
            let target = Target::Redirect(Redirect { to: to.clone(), status: 308, keep_path: true });
            routes.push(route(plan, service, format!("{}{path}", service.name), path, target));
        }
    }
    let limits = Limits { drain_timeout_ms: millis(EDGE_DRAIN), ..Limits::default() };
    Snapshot { generation: 0, listeners, routes, limits, trusted_proxies: plan.trusted_proxies.clone(), tls: tls(plan) }
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

fn slot(ready: &[Ready]) -> Slot {
    Slot {
        name: SLOT.to_owned(),
        // While a service is being replaced, both versions are in the slot; the newest names it.
        release: ready.last().map_or_else(|| "none".to_owned(), |ready| ready.release.clone()),
        weight: FULL_WEIGHT,
        instances: ready
            .iter()
            .map(|ready| Instance {
                id: ready.id.clone(),
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, ready.port)),
            })
            .collect(),
    }
}

fn route(plan: &Plan, service: &Service, name: String, path: &str, target: Target) -> Route {
    // Where the edge itself speaks TLS, it says so on every answer, whatever route it belongs to.
    let secure = (plan.public_scheme == "https" && plan.tls.is_none()).then_some(TRANSPORT_SECURITY);
    let is_public = !service.hosts.is_empty();
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
            ..RouteLimits::default()
        },
        // A content security policy is the service's own business, and so is whatever it says of these itself.
        policies: Policies { security_headers: is_public, ..Policies::default() },
    }
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
