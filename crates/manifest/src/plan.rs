//! What a manifest means in one environment: every default filled in, every reference resolved, every conflict refused.
//!
//! A [`Plan`] is what the other rooms work from. It holds no file positions and no unresolved text; secrets stand in it as
//! *names* inside [`Value`], so a plan can be printed, stored and compared without holding one.

mod alerts;
mod gates;
mod notifications;
mod ops;
mod releases;
mod rollout;
mod smoke;
mod status;
mod tls;
mod value;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use alerts::{Alert, Objective};
pub use gates::{Gate, Limit, fill_in};
pub use notifications::{MailEncryption, Notification, Target};
pub use ops::{Ops, Server};
pub use releases::{Accepted, Build, Releases};
pub use rollout::{Approval, CanaryStep, Rollout};
pub use smoke::Smoke;
pub use status::StatusPage;
pub use tls::{Acme, Issuer, Tls};
pub use value::{Part, Value};
pub use watch::{Dependency, Heartbeat, RemoteWrite, Watch};

/// The ecosystem in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Name of the ecosystem.
    pub ecosystem: String,
    /// Domain under which this environment's hosts live (`localhost` in development).
    pub domain: String,
    /// Which environment this is.
    pub environment: Environment,
    /// Folder of the manifest; relative paths start here.
    pub root: PathBuf,
    /// Data folder (`.mana` by default), absolute.
    pub data: PathBuf,
    /// Where the edge accepts public traffic.
    pub listen: SocketAddr,
    /// Addresses and ranges in front of the edge whose forwarded headers are believed.
    pub trusted_proxies: Vec<String>,
    /// Whether connections begin with a PROXY header.
    #[serde(skip_serializing_if = "is_false")]
    pub proxy_protocol: bool,
    /// Where the edge posts traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<String>,
    /// The operators' door; `None`: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops: Option<Ops>,
    /// The page that tells everybody how things are; `None`: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusPage>,
    /// The machine that staging runs on, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staging_server: Option<Server>,
    /// How the edge speaks TLS; `None`: it does not.
    pub tls: Option<Tls>,
    /// Scheme and port as seen from outside: `http://HOST:8080`. Appended to a host to make an origin.
    pub public_scheme: String,
    /// Port as seen from outside; `None` where it is the scheme's own.
    pub public_port: Option<u16>,
    /// Ports that instances get, inclusive.
    pub instance_ports: (u16, u16),
    /// Secrets of this environment, by name.
    pub secrets: BTreeMap<String, SecretRule>,
    /// Projects, by name.
    pub projects: BTreeMap<String, Project>,
    /// Services in start order: each one after all it needs.
    pub services: Vec<Service>,
    /// How long releases are kept, and what stops one.
    pub releases: Releases,
    /// Channels through which people are told what happens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<Notification>,
    /// Rules of one's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// What services need and nobody here runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// Who is told what was measured.
    #[serde(skip_serializing_if = "Watch::is_none")]
    pub watch: Watch,
}

/// One of the three environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// A person's own machine; hosts below `localhost`.
    Development,
    /// The rehearsal; hosts carry the prefix `staging-`.
    Staging,
    /// The real thing.
    Production,
}

impl Environment {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Development, Self::Staging, Self::Production];

    /// Its name, as written in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// The environment of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|environment| environment.as_str() == name)
    }
}

/// How a secret comes to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretRule {
    /// `Some(n)`: n random bytes, generated at first start. `None`: a person provides it.
    pub generate_bytes: Option<u16>,
    /// What it is for, shown when it is missing.
    pub about: Option<String>,
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Project {
    /// One line for people.
    pub about: Option<String>,
}

/// One deployable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Unique name, as typed: `chat-backend`.
    pub name: String,
    /// The project it belongs to.
    pub project: String,
    /// What it is.
    pub kind: Kind,
    /// Public host names, in lower case, without port. Empty: internal only.
    pub hosts: Vec<String>,
    /// Origin as seen from outside (`http://app-chat.localhost:8080`), of the first host.
    pub public_url: Option<String>,
    /// Path prefix → absolute URL, answered by the edge with 308.
    pub redirects: BTreeMap<String, String>,
    /// What runs.
    pub run: Run,
    /// Services that must be up before this one, by name.
    pub needs: Vec<String>,
    /// What it needs besides and nobody here runs, by name. Nothing waits for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Secrets without which it is never started.
    pub secrets: Vec<String>,
    /// How a release of it is made; `None`: the manifest does not say.
    pub build: Option<Build>,
    /// Bounds at the edge and on the machine.
    pub limits: ServiceLimits,
    /// How a release of it takes over.
    pub rollout: Rollout,
    /// Requests that have to be answered well after it was brought into staging, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub smoke: Vec<Smoke>,
    /// What it promises its users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<Objective>,
    /// What the edge does with requests from outside.
    #[serde(skip_serializing_if = "Access::is_none")]
    pub access: Access,
}

/// Who may ask a service from outside, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Only clients in these ranges of addresses; empty: everyone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// No client in these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// SHA-256 of `NAME:PASSWORD` in hexadecimal, one a person; empty: nobody is asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub basic_auth: Vec<String>,
    /// Pages of other sites that may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// It is closed; requests wait this long.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_as_millis")]
    pub maintenance: Option<Duration>,
    /// Its answers are never compressed by the edge.
    #[serde(skip_serializing_if = "is_false")]
    pub uncompressed: bool,
}

impl Access {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Pages of other sites that may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cors {
    /// Their origins, or `*`.
    pub origins: Vec<String>,
    /// Methods; empty: GET, HEAD and POST.
    pub methods: Vec<String>,
    /// Request headers.
    pub headers: Vec<String>,
    /// Headers of answers that scripts may read.
    pub expose: Vec<String>,
    /// Whether with cookies.
    pub credentials: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn maybe_as_millis<S: serde::Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| u64::try_from(value.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
}

/// What a service is; brings its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The shared identity service, host `auth.DOMAIN`.
    Auth,
    /// An API, host `api-PROJECT.DOMAIN`.
    Backend,
    /// A web app, host `app-PROJECT.DOMAIN`.
    Web,
    /// A static page, host `PROJECT.DOMAIN`.
    Landing,
    /// The public status page, host `status.DOMAIN`.
    Status,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Auth, Self::Backend, Self::Web, Self::Landing, Self::Status];

    /// Its name, as written in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Backend => "backend",
            Self::Web => "web",
            Self::Landing => "landing",
            Self::Status => "status",
        }
    }
}

/// How a service answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// A program that listens on `$PORT`.
    Command(Command),
    /// A folder served by the edge.
    Static {
        /// The folder, absolute.
        folder: PathBuf,
        /// File answered with 404.
        not_found: Option<String>,
    },
}

/// A program and its surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    /// Program (absolute where it names a path) and arguments.
    pub argv: Vec<String>,
    /// Folder it starts in, absolute.
    pub cwd: PathBuf,
    /// Arguments after `argv[0]` that bring its database up to date, run before the first start. Empty: none.
    pub migrate: Vec<String>,
    /// Stable internal address, answered by the edge.
    pub internal: SocketAddr,
    /// Environment in full but for `PORT`, which each instance gets at its start.
    pub env: BTreeMap<String, Value>,
    /// Path of the `live` probe.
    pub live: String,
    /// Path of the `ready` probe.
    pub ready: String,
    /// Whether they speak HTTP/2 without TLS, as gRPC does.
    #[serde(skip_serializing_if = "is_false")]
    pub h2c: bool,
    /// Running instances wanted.
    pub instances: u16,
    /// Longest time from start to the first `ready` answer.
    #[serde(serialize_with = "as_millis")]
    pub start_timeout: Duration,
    /// Longest time from the stop signal to the kill.
    #[serde(serialize_with = "as_millis")]
    pub stop_timeout: Duration,
}

fn as_millis<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
}

/// Bounds of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceLimits {
    /// Resident memory an instance may take before it is restarted; `None`: unbounded.
    pub memory_bytes: Option<u64>,
    /// Largest request body at the edge.
    pub max_body_bytes: u64,
    /// From the request to the answer's headers.
    #[serde(serialize_with = "as_millis")]
    pub response_timeout: Duration,
    /// How long what is in flight may go on with an instance that was replaced.
    #[serde(serialize_with = "as_millis")]
    pub drain: Duration,
    /// How often one client address may ask from outside; `None`: unbounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How often one token may be used from outside; `None`: unbounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_token: Option<Rate>,
    /// From an instance being asked to its answer's last byte; `None`: for ever.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_as_millis")]
    pub request_timeout: Option<Duration>,
}

/// Requests in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// So many…
    pub requests: u32,
    /// …in this time.
    #[serde(serialize_with = "as_millis")]
    pub per: Duration,
}
