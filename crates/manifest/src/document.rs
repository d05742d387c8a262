//! What stands in a manifest, typed, each with its place. Reading is lenient: what does not conform is left out here and
//! reported by [`crate::conform`].

mod reading;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::plan::{Environment, Kind};

pub(crate) use reading::read;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Option<Range<usize>>,
}

pub(crate) type Text = Spanned<String>;

/// The whole file.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) name: Option<Text>,
    pub(crate) domain: Option<Text>,
    pub(crate) environments: BTreeMap<Environment, EnvironmentTable>,
    pub(crate) secrets: Vec<(Text, SecretTable)>,
    pub(crate) projects: Vec<(Text, Option<Text>)>,
    pub(crate) services: Vec<ServiceTable>,
    pub(crate) releases: ReleasesTable,
    pub(crate) notifications: Vec<(Text, NotificationTable)>,
    pub(crate) alerts: Vec<(Text, AlertTable)>,
    pub(crate) dependencies: Vec<(Text, DependencyTable)>,
    pub(crate) watch: Option<(Text, WatchTable)>,
    pub(crate) status: Option<StatusTable>,
}

/// `[dependencies.NAME]`.
#[derive(Debug, Default)]
pub(crate) struct DependencyTable {
    pub(crate) url: Option<Text>,
    pub(crate) status: Option<Spanned<i64>>,
    pub(crate) interval: Option<Spanned<Duration>>,
    pub(crate) timeout: Option<Spanned<Duration>>,
    pub(crate) environments: Option<Vec<Text>>,
}

/// `[watch]`.
#[derive(Debug, Default)]
pub(crate) struct WatchTable {
    pub(crate) remote_write: Option<RemoteWriteTable>,
    pub(crate) heartbeat: Option<HeartbeatTable>,
    pub(crate) environments: Option<Vec<Text>>,
}

#[derive(Debug, Default)]
pub(crate) struct RemoteWriteTable {
    pub(crate) url: Option<Text>,
    pub(crate) headers: Vec<(Text, Text)>,
}

#[derive(Debug, Default)]
pub(crate) struct HeartbeatTable {
    pub(crate) url: Option<Text>,
    pub(crate) every: Option<Spanned<Duration>>,
}

/// `[status]`.
#[derive(Debug, Default)]
pub(crate) struct StatusTable {
    pub(crate) title: Option<Text>,
    pub(crate) about: Option<Text>,
    pub(crate) host: Option<Text>,
    pub(crate) services: Option<Vec<Text>>,
    pub(crate) environments: Option<Vec<Text>>,
}

/// `[notifications.NAME]`.
#[derive(Debug, Default)]
pub(crate) struct NotificationTable {
    pub(crate) kind: Option<Text>,
    pub(crate) url: Option<Text>,
    pub(crate) secret: Option<Text>,
    pub(crate) server: Option<Text>,
    pub(crate) encryption: Option<Text>,
    pub(crate) user: Option<Text>,
    pub(crate) password: Option<Text>,
    pub(crate) from: Option<Text>,
    pub(crate) to: Option<Vec<Text>>,
    pub(crate) environments: Option<Vec<Text>>,
    pub(crate) services: Option<Vec<Text>>,
    pub(crate) events: Option<Vec<Text>>,
}

/// `[alerts.NAME]`.
#[derive(Debug, Default)]
pub(crate) struct AlertTable {
    pub(crate) expression: Option<Text>,
    pub(crate) hold: Option<Spanned<Duration>>,
    pub(crate) keep_firing_for: Option<Spanned<Duration>>,
    pub(crate) severity: Option<Text>,
    pub(crate) summary: Option<Text>,
    pub(crate) runbook: Option<Text>,
    pub(crate) group_by: Option<Vec<Text>>,
    pub(crate) path: Option<Text>,
    pub(crate) tell: Option<Vec<Text>>,
    pub(crate) environments: Option<Vec<Text>>,
}

/// `[services.NAME.slo]`.
#[derive(Debug, Default)]
pub(crate) struct SloTable {
    pub(crate) availability: Option<Spanned<u16>>,
    pub(crate) latency: Option<Spanned<u16>>,
    pub(crate) within: Option<Spanned<Duration>>,
    pub(crate) window: Option<Spanned<Duration>>,
}

/// How long releases are kept, and what stops one.
#[derive(Debug, Default)]
pub(crate) struct ReleasesTable {
    pub(crate) keep: Option<Spanned<i64>>,
    pub(crate) advisories: Option<Vec<Text>>,
    pub(crate) advisories_max_age: Option<Spanned<Duration>>,
    pub(crate) accepted: Vec<(Text, AcceptedTable)>,
}

/// A finding that stops nothing for a while.
#[derive(Debug, Default)]
pub(crate) struct AcceptedTable {
    pub(crate) reason: Option<Text>,
    pub(crate) until: Option<Text>,
    pub(crate) services: Option<Vec<Text>>,
}

/// How a release is made.
#[derive(Debug, Default)]
pub(crate) struct BuildTable {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) command: Option<Spanned<Vec<String>>>,
    pub(crate) artefact: Option<Vec<Text>>,
    pub(crate) artefact_span: Option<Range<usize>>,
    pub(crate) migrations: Option<Text>,
    pub(crate) checks: Vec<(Text, Spanned<Vec<String>>)>,
    pub(crate) env: Vec<(Text, Text)>,
    pub(crate) cache: Option<Vec<Text>>,
    pub(crate) lockfiles: Option<Vec<Text>>,
    pub(crate) package: Option<Text>,
    pub(crate) cpu: Option<Spanned<i64>>,
    pub(crate) memory: Option<Spanned<u64>>,
    pub(crate) timeout: Option<Spanned<Duration>>,
    pub(crate) check_timeout: Option<Spanned<Duration>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct EnvironmentTable {
    pub(crate) domain: Option<Text>,
    pub(crate) listen: Option<Spanned<SocketAddr>>,
    pub(crate) trusted_proxies: Option<Vec<Text>>,
    pub(crate) tls: Option<Text>,
    pub(crate) tls_listen: Option<Spanned<SocketAddr>>,
    pub(crate) http3: Option<Spanned<bool>>,
    pub(crate) proxy_protocol: Option<Spanned<bool>>,
    pub(crate) traces: Option<Text>,
    pub(crate) ops: Option<Text>,
    pub(crate) push_secret: Option<Text>,
    pub(crate) server: Option<Text>,
    pub(crate) server_token: Option<Text>,
    pub(crate) acme: AcmeTable,
    pub(crate) certificates: Vec<(Text, CertificateTable)>,
    pub(crate) scheme: Option<Text>,
    pub(crate) public_port: Option<Spanned<i64>>,
    pub(crate) data: Option<Text>,
    pub(crate) port_offset: Option<Spanned<i64>>,
    pub(crate) instance_ports: Option<Spanned<(u16, u16)>>,
    pub(crate) database: Option<Text>,
    pub(crate) cache: Option<Text>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct AcmeTable {
    pub(crate) email: Option<Text>,
    pub(crate) directory: Option<Text>,
    pub(crate) challenge: Option<Text>,
    pub(crate) roots: Option<Text>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CertificateTable {
    pub(crate) certificate: Option<Text>,
    pub(crate) key: Option<Text>,
}

#[derive(Debug, Default)]
pub(crate) struct SecretTable {
    pub(crate) generate: Option<Spanned<i64>>,
    pub(crate) environments: Option<Vec<Text>>,
    pub(crate) about: Option<Text>,
}

#[derive(Debug)]
pub(crate) struct ServiceTable {
    pub(crate) name: Text,
    pub(crate) kind: Option<Spanned<Kind>>,
    pub(crate) project: Option<Text>,
    pub(crate) environments: Option<Vec<Text>>,
    pub(crate) build: Option<BuildTable>,
    pub(crate) smoke: Vec<SmokeTable>,
    pub(crate) slo: Option<SloTable>,
    pub(crate) keys: ServiceKeys,
    pub(crate) in_environment: BTreeMap<Environment, ServiceKeys>,
}

/// `[services.NAME.rollout]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RolloutTable {
    pub(crate) canary: Option<Vec<Text>>,
    pub(crate) warm: Option<Spanned<Duration>>,
    pub(crate) guard: Option<Spanned<Duration>>,
    pub(crate) errors: Option<Spanned<u16>>,
    pub(crate) slow: Option<Spanned<Duration>>,
    pub(crate) slow_share: Option<Spanned<u16>>,
    pub(crate) requests: Option<Spanned<i64>>,
    pub(crate) longest: Option<Spanned<Duration>>,
    pub(crate) strict: Option<Spanned<bool>>,
    pub(crate) gates: Option<Vec<GateTable>>,
    pub(crate) on_breach: Option<Text>,
    pub(crate) approvers: Option<Vec<Text>>,
    pub(crate) approval_expiry: Option<Spanned<Duration>>,
    pub(crate) starter_may_approve: Option<Spanned<bool>>,
    pub(crate) staging: Option<Spanned<bool>>,
    pub(crate) on_push: Option<Text>,
}

impl RolloutTable {
    fn with(self, over: Self) -> Self {
        Self {
            canary: over.canary.or(self.canary),
            warm: over.warm.or(self.warm),
            guard: over.guard.or(self.guard),
            errors: over.errors.or(self.errors),
            slow: over.slow.or(self.slow),
            slow_share: over.slow_share.or(self.slow_share),
            requests: over.requests.or(self.requests),
            longest: over.longest.or(self.longest),
            strict: over.strict.or(self.strict),
            gates: over.gates.or(self.gates),
            on_breach: over.on_breach.or(self.on_breach),
            approvers: over.approvers.or(self.approvers),
            approval_expiry: over.approval_expiry.or(self.approval_expiry),
            starter_may_approve: over.starter_may_approve.or(self.starter_may_approve),
            staging: over.staging.or(self.staging),
            on_push: over.on_push.or(self.on_push),
        }
    }
}

/// `[services.NAME.rollout.gates.GATE]`.
#[derive(Debug, Clone)]
pub(crate) struct GateTable {
    pub(crate) name: Text,
    pub(crate) query: Option<Text>,
    pub(crate) max: Option<Spanned<f64>>,
    pub(crate) min: Option<Spanned<f64>>,
}

/// `[services.NAME.smoke.TEST]`.
#[derive(Debug, Clone)]
pub(crate) struct SmokeTable {
    pub(crate) name: Text,
    pub(crate) request: Option<Text>,
    pub(crate) service: Option<Text>,
    pub(crate) send: Vec<(Text, Text)>,
    pub(crate) body: Option<Text>,
    pub(crate) status: Option<Spanned<i64>>,
    pub(crate) headers: Vec<(Text, Text)>,
    pub(crate) json: Vec<(Text, Text)>,
    pub(crate) within: Option<Spanned<Duration>>,
    pub(crate) save: Vec<(Text, Text)>,
}

/// What a service's table and its tables per environment have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceKeys {
    pub(crate) command: Option<Spanned<Vec<String>>>,
    pub(crate) cwd: Option<Text>,
    pub(crate) folder: Option<Text>,
    pub(crate) not_found: Option<Text>,
    pub(crate) port: Option<Spanned<i64>>,
    pub(crate) database: Option<Text>,
    pub(crate) cache: Option<Spanned<bool>>,
    pub(crate) needs: Option<Vec<Text>>,
    pub(crate) env: Vec<(Text, Text)>,
    pub(crate) secrets: Option<Vec<Text>>,
    pub(crate) migrate: Option<Vec<Text>>,
    pub(crate) instances: Option<Spanned<i64>>,
    pub(crate) start_timeout: Option<Spanned<Duration>>,
    pub(crate) stop_timeout: Option<Spanned<Duration>>,
    pub(crate) live: Option<Text>,
    pub(crate) ready: Option<Text>,
    pub(crate) memory: Option<Spanned<u64>>,
    pub(crate) body: Option<Spanned<u64>>,
    pub(crate) response_timeout: Option<Spanned<Duration>>,
    pub(crate) request_timeout: Option<Spanned<Duration>>,
    pub(crate) drain: Option<Spanned<Duration>>,
    pub(crate) rate: Option<Spanned<(u32, Duration)>>,
    pub(crate) rate_per_token: Option<Spanned<(u32, Duration)>>,
    pub(crate) protocol: Option<Text>,
    pub(crate) access: AccessTable,
    pub(crate) rollout: RolloutTable,
    pub(crate) cors: Option<CorsTable>,
    pub(crate) maintenance: Option<Spanned<Duration>>,
    pub(crate) compress: Option<Spanned<bool>>,
    pub(crate) public: Option<Spanned<bool>>,
    pub(crate) hosts: Option<Vec<Text>>,
    pub(crate) redirects: Vec<(Text, Text)>,
}

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccessTable {
    pub(crate) allow: Option<Vec<Text>>,
    pub(crate) deny: Option<Vec<Text>>,
    pub(crate) basic_auth: Option<Vec<Text>>,
}

/// Pages of other sites. One table replaces another: half of each would be nobody's intention.
#[derive(Debug, Clone)]
pub(crate) struct CorsTable {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) origins: Vec<Text>,
    pub(crate) methods: Vec<Text>,
    pub(crate) headers: Vec<Text>,
    pub(crate) expose: Vec<Text>,
    pub(crate) credentials: bool,
}

impl ServiceKeys {
    /// These keys with those of an environment over them. Variables and redirects are merged by name.
    pub(crate) fn with(&self, over: Option<&Self>) -> Self {
        let Some(over) = over else { return self.clone() };
        let (mut base, over) = (self.clone(), over.clone());
        // A command replaces a folder and the other way round.
        if over.command.is_some() {
            base.folder = None;
        } else if over.folder.is_some() {
            base.command = None;
        }
        Self {
            command: over.command.or(base.command),
            cwd: over.cwd.or(base.cwd),
            folder: over.folder.or(base.folder),
            not_found: over.not_found.or(base.not_found),
            port: over.port.or(base.port),
            database: over.database.or(base.database),
            cache: over.cache.or(base.cache),
            needs: over.needs.or(base.needs),
            env: merged(base.env, over.env),
            secrets: over.secrets.or(base.secrets),
            migrate: over.migrate.or(base.migrate),
            instances: over.instances.or(base.instances),
            start_timeout: over.start_timeout.or(base.start_timeout),
            stop_timeout: over.stop_timeout.or(base.stop_timeout),
            live: over.live.or(base.live),
            ready: over.ready.or(base.ready),
            memory: over.memory.or(base.memory),
            body: over.body.or(base.body),
            response_timeout: over.response_timeout.or(base.response_timeout),
            request_timeout: over.request_timeout.or(base.request_timeout),
            drain: over.drain.or(base.drain),
            rate: over.rate.or(base.rate),
            rate_per_token: over.rate_per_token.or(base.rate_per_token),
            protocol: over.protocol.or(base.protocol),
            access: AccessTable {
                allow: over.access.allow.or(base.access.allow),
                deny: over.access.deny.or(base.access.deny),
                basic_auth: over.access.basic_auth.or(base.access.basic_auth),
            },
            rollout: base.rollout.with(over.rollout),
            cors: over.cors.or(base.cors),
            maintenance: over.maintenance.or(base.maintenance),
            compress: over.compress.or(base.compress),
            public: over.public.or(base.public),
            hosts: over.hosts.or(base.hosts),
            redirects: merged(base.redirects, over.redirects),
        }
    }
}

fn merged(base: Vec<(Text, Text)>, over: Vec<(Text, Text)>) -> Vec<(Text, Text)> {
    let replaced = |name: &str| over.iter().any(|(other, _)| other.value == name);
    let kept: Vec<_> = base.into_iter().filter(|(name, _)| !replaced(&name.value)).collect();
    kept.into_iter().chain(over).collect()
}
