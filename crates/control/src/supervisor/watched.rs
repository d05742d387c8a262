//! What there is to watch at this moment.

use mana_delivery::rollout::Stage;
use mana_manifest::plan::{self, Plan, Run, Value};
use secrecy::ExposeSecret;

use super::Supervisor;
use super::place::Place;
use crate::desired::EDGE;
use crate::rules;
use crate::secrets::Secrets;
use crate::status_page::{self, Component};
use crate::watching::address::Address;
use crate::watching::elsewhere::{Beat, Elsewhere, Receiver};
use crate::watching::outside::{self, Found};
use crate::watching::subjects::{Asked, ByName, Endings, Instance, Service, Subjects};

impl Supervisor {
    pub(super) fn subjects(&self) -> Subjects {
        let Some(desired) = self.desired.as_ref().filter(|_| self.running) else { return Subjects::default() };
        let plan = &desired.plan;
        let secrets = self.known_secrets();
        // One failure may be chance; from the second on it is the channel's.
        let refusing = |channel: &str| self.outbox.refusing(channel, 2).map(str::to_owned);
        let Found { all: outside, needs } = outside::found(plan, &secrets, refusing, outside::has_proxy());
        let services = plan.services.iter().map(|service| {
            let mut watched = self.watched_service(service, plan);
            watched.needs.extend(needs.get(&service.name).into_iter().flatten().cloned());
            watched
        });
        let instances = self.places.values().filter(|place| !place.retiring && place.instance.is_some());
        Subjects {
            // They were looked at when the manifest was applied; one that is not understood any more is not watched.
            rules: rules::rules(plan).unwrap_or_default(),
            objectives: rules::objectives(plan),
            services: services.collect(),
            instances: instances.map(instance).collect(),
            endings: self.endings(plan),
            unheard: self.unheard_alerts(plan),
            outside,
            elsewhere: elsewhere(plan, &secrets),
            public: Some(public(plan)),
            edge: self.places.values().any(|place| place.service == EDGE && place.life.ready()),
        }
    }

    fn endings(&self, plan: &Plan) -> Vec<Endings> {
        let is_there = |service: &str| service == EDGE || plan.services.iter().any(|own| own.name == service);
        let of = |(service, instance, by_reason): (&str, String, Vec<(&'static str, u32)>)| {
            is_there(service).then(|| Endings { service: service.to_owned(), instance, by_reason })
        };
        self.endings.all().filter_map(of).collect()
    }

    /// Where they cannot be read, whoever has one in its address is left out.
    fn known_secrets(&self) -> Secrets {
        Secrets::load(&self.data).unwrap_or_else(|error| {
            tracing::warn!(%error, "what has a secret in its address is not watched");
            Secrets::default()
        })
    }

    /// What the status page shows.
    pub(super) fn status_page(&self) -> Option<status_page::Shown> {
        let plan = &self.desired.as_ref()?.plan;
        let page = plan.status.clone()?;
        let shown = plan.services.iter().filter(|service| page.services.contains(&service.name));
        let component = |service: &plan::Service| Component {
            name: service.name.clone(),
            project: service.project.clone(),
            kind: service.kind.as_str(),
            state: self.state_of(&service.name),
            // As it is probed: see `watched_service`.
            via: if service.hosts.is_empty() || plan.proxy_protocol { "direct" } else { "public" },
        };
        let components = shown.map(component).collect();
        Some((page, components))
    }

    fn watched_service(&self, service: &plan::Service, plan: &Plan) -> Service {
        let slots = self.desired.iter().flat_map(|desired| desired.slots(&service.name));
        let wanted = slots.filter(|wanted| wanted.weight > 0).map(|wanted| wanted.count).sum();
        let ready = self.places.values().filter(|place| place.service == service.name && place.routable()).count();
        let (direct, path) = match &service.run {
            Run::Command(command) => {
                let (address, path) = (command.internal, command.ready.clone());
                let host = address.ip().to_string();
                (Some(Asked { address, tls: false, host, path, by_name: None }), command.live.clone())
            }
            Run::Static { .. } => (None, "/".to_owned()),
        };
        let (address, tls) = public(plan);
        // Behind a balancer whose word is asked for on each connection, nobody gets in from here.
        let hosts = service.hosts.iter().filter(|_| !plan.proxy_protocol);
        let asked = |host: &String| {
            let (host, path) = (host.clone(), path.clone());
            Asked { address, tls, by_name: by_name(&host, plan), host, path }
        };
        Service {
            name: service.name.clone(),
            project: service.project.clone(),
            kind: service.kind.as_str(),
            needs: service.needs.clone(),
            wanted,
            ready: u16::try_from(ready).unwrap_or(u16::MAX),
            memory_bytes: service.limits.memory_bytes,
            rollout_failed: self.last_rollout_failed(&service.name),
            direct: direct.filter(|_| wanted > 0),
            public: hosts.map(asked).collect(),
        }
    }

    fn last_rollout_failed(&self, service: &str) -> bool {
        let last = self.rollouts.last(service);
        last.is_some_and(|stage| matches!(stage, Stage::Aborted | Stage::RolledBack | Stage::Stuck))
    }
}

/// Who is told what was measured; nobody where a secret has no value.
fn elsewhere(plan: &Plan, secrets: &Secrets) -> Elsewhere {
    let revealed = |value: &Value| {
        let lookup = |name: &str| secrets.get(name).map(|secret| secret.expose_secret().to_owned());
        value.reveal(lookup).ok().map(Address::new)
    };
    let remote_write = plan.watch.remote_write.as_ref().and_then(|told| {
        let headers = told.headers.iter().map(|(name, value)| Some((name.clone(), revealed(value)?)));
        let (url, headers) = (revealed(&told.url)?, headers.collect::<Option<_>>()?);
        let labels = vec![("ecosystem", plan.ecosystem.clone()), ("environment", plan.environment.as_str().to_owned())];
        Some(Receiver { url, headers, labels })
    });
    let heartbeat = plan.watch.heartbeat.as_ref();
    let heartbeat = heartbeat.and_then(|beat| Some(Beat { url: revealed(&beat.url)?, every: beat.every }));
    Elsewhere { is_told: plan.watch.remote_write.is_some(), remote_write, heartbeat }
}

fn public(plan: &Plan) -> (std::net::SocketAddr, bool) {
    plan.tls.as_ref().map_or((plan.listen, false), |tls| (tls.listen, true))
}

/// How everybody else comes to a host, where anybody does.
fn by_name(host: &str, plan: &Plan) -> Option<ByName> {
    let tls = plan.public_scheme == "https";
    let port = plan.public_port.unwrap_or(if tls { 443 } else { 80 });
    is_everybodys(host).then_some(ByName { tls, port })
}

/// Whether a host's name may lead somewhere on the internet: not one that is kept from it (RFC 2606, 6761, 6762, 8375, 9476), nor an address.
fn is_everybodys(host: &str) -> bool {
    const NOBODYS: [&str; 10] = [
        "localhost",
        "test",
        "internal",
        "local",
        "home.arpa",
        "example",
        "invalid",
        "example.com",
        "example.net",
        "example.org",
    ];
    let is_below = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    host.contains('.') && host.parse::<std::net::IpAddr>().is_err() && !NOBODYS.into_iter().any(is_below)
}

fn instance(place: &Place) -> Instance {
    let instance = place.instance.as_ref();
    let identity = instance.and_then(|instance| instance.handle.as_ref()).map(|handle| handle.identity());
    // A migration listens nowhere, and whoever speaks HTTP/2 alone is not asked in HTTP/1.
    let port = instance.filter(|instance| !instance.migration && !place.facts.h2c).and_then(|instance| instance.port);
    Instance {
        service: place.service.clone(),
        name: format!("{}-{}", place.slot, place.ordinal),
        slot: place.slot.to_string(),
        release: place.label.clone(),
        process: identity.map(|identity| (identity.pid, identity.start_time_ticks)),
        port,
        ready: place.routable(),
        restarts: place.life.restarts(),
        usage: place.usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_kept_from_the_internet_are_asked_at_our_own_edge_alone() {
        for host in [
            "chat.localhost",
            "localhost",
            "chat.example.com",
            "bench.example",
            "shop.test",
            "nas.local",
            "192.0.2.1",
            "box",
        ] {
            assert!(!is_everybodys(host), "{host}");
        }
        for host in ["chat.manacore.app", "localhost.dev", "mylocal.org", "testexample.com"] {
            assert!(is_everybodys(host), "{host}");
        }
    }
}
