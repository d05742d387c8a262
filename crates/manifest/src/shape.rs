//! Which keys a manifest has, of which shape, and what they mean: the one table from which checking and schema come.

mod alerts;
mod notifications;
mod releases;
mod rollout;
mod smoke;
mod status;
mod watch;

use crate::plan::{Environment, Kind};

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `256MB`.
    Size,
    /// `30s`.
    Duration,
    /// `600/1m`.
    Rate,
    /// `0.5%`.
    Share,
    /// `10% 10m`.
    Step,
    /// `127.0.0.1:8080`.
    Address,
    /// `10.0.0.0/8`, or one address.
    Network,
    /// `20000-29999`.
    PortRange,
    /// A host name.
    Host,
    /// A path that begins with `/`.
    UrlPath,
    /// The name of a database.
    Database,
    /// A file or folder inside of the manifest's folder.
    Inside,
    /// `2026-12-31`.
    Date,
    /// A whole number within bounds.
    Integer(i64, i64),
    /// A number, such as 0.5.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A program and its arguments, as one text or a list.
    Command,
    /// A list.
    List(&'static Shape),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table whose keys a person chooses.
    Map(Names, &'static Shape),
}

/// What the keys of a [`Shape::Map`] may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Names of services and projects.
    Name,
    /// Rules, one's own and those that are built in.
    Rule,
    /// Environment variables and secrets.
    Variable,
    /// Paths of a URL.
    UrlPath,
    /// Ids of findings.
    Finding,
    /// Header fields of HTTP, in small letters.
    Header,
}

/// A key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) about: &'static str,
}

const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, about }
}

const KINDS: &[&str] = &["auth", "backend", "web", "landing", "status"];
const ENVIRONMENTS: &[&str] = &["development", "staging", "production"];

// The lists above are constants of text, since the shapes are; these keep them true.
const _: () = assert!(KINDS.len() == Kind::ALL.len());
const _: () = assert!(ENVIRONMENTS.len() == Environment::ALL.len());

/// The whole file.
pub(crate) const ROOT: &[Key] = &[
    key("name", Shape::Text, "Name of the ecosystem."),
    key(
        "domain",
        Shape::Host,
        "Domain of production; staging prefixes hosts with `staging-`, development uses `localhost`.",
    ),
    key("environments", Shape::Table(ENVIRONMENT_TABLES), "What differs between environments."),
    key(
        "secrets",
        Shape::Map(Names::Variable, &Shape::Table(SECRET)),
        "Secrets by name; services ask for them with `secrets`.",
    ),
    key("projects", Shape::Map(Names::Name, &Shape::Table(PROJECT)), "Products, for people."),
    key(
        "services",
        Shape::Map(Names::Name, &Shape::Table(SERVICE)),
        "Everything that is deployed, by name. A name that ends in -backend, -web or -landing tells project and kind.",
    ),
    key("releases", Shape::Table(releases::RELEASES), "How long releases are kept, and what stops one."),
    key(
        "notifications",
        Shape::Map(Names::Name, &Shape::Table(notifications::NOTIFICATION)),
        "Channels through which people are told what happens, by any name.",
    ),
    key(
        "alerts",
        Shape::Map(Names::Rule, &Shape::Table(alerts::ALERT)),
        "Rules of one's own, by any name, besides those that are built in; one that is called like such a rule takes its place.",
    ),
    key(
        "dependencies",
        Shape::Map(Names::Name, &Shape::Table(watch::DEPENDENCY)),
        "What services need and nobody here runs, by any name: model providers, webhooks, databases. `needs` may name them.",
    ),
    key("watch", Shape::Table(watch::WATCH), "Who is told what was measured, and that it is."),
    key("status", Shape::Table(status::STATUS), "The page that tells everybody how things are."),
];

const ENVIRONMENT_TABLES: &[Key] = &[
    key("development", Shape::Table(ENVIRONMENT), "A person's own machine."),
    key("staging", Shape::Table(ENVIRONMENT), "The rehearsal."),
    key("production", Shape::Table(ENVIRONMENT), "The real thing."),
];

const ENVIRONMENT: &[Key] = &[
    key("domain", Shape::Host, "Domain of this environment's hosts."),
    key("listen", Shape::Address, "Where the edge accepts public traffic."),
    key(
        "trusted_proxies",
        Shape::List(&Shape::Network),
        "Addresses in front of the edge whose forwarded headers are believed; none where absent.",
    ),
    key(
        "tls",
        Shape::Word(TLS),
        "Where the edge's certificates come from: ordered from a public authority by ACME (`acme`, the default in staging and production), an authority of this machine's own (`local`, for development), or `files` alone; `off`: plain HTTP, as in development or behind a proxy that speaks TLS.",
    ),
    key(
        "tls_listen",
        Shape::Address,
        "Where the edge accepts TLS; beside `listen`, at 443 where that is at 80, else 363 ports above it.",
    ),
    key("http3", Shape::Boolean, "Whether the edge speaks HTTP/3 too, on the UDP port beside TLS; false where absent."),
    key(
        "proxy_protocol",
        Shape::Boolean,
        "Whether a load balancer among `trusted_proxies` begins each connection with a PROXY header; false where absent.",
    ),
    key(
        "traces",
        Shape::Text,
        "Where the edge posts a span of each request, as OTLP in JSON: http://127.0.0.1:4318/v1/traces. Nowhere where absent.",
    ),
    key(
        "ops",
        Shape::Host,
        "Host of the operators' door: their API for those with a token, and pushes of the repository. In development ops.localhost where absent, elsewhere none.",
    ),
    key(
        "push_secret",
        Shape::Text,
        "What pushes are signed with: \"${secret.NAME}\". They are not believed where absent.",
    ),
    key(
        "server",
        Shape::Text,
        "Of staging: the operators' door of the machine that it runs on, where that is another one: https://ops.staging.example.com.",
    ),
    key("server_token", Shape::Text, "The token for it: \"${secret.NAME}\"."),
    key("acme", Shape::Table(ACME), "How certificates are ordered."),
    key(
        "certificates",
        Shape::Map(Names::Name, &Shape::Table(CERTIFICATE)),
        "Certificates of one's own, by any name. Their hosts are not ordered.",
    ),
    key(
        "scheme",
        Shape::Word(&["http", "https"]),
        "Scheme as seen from outside where `tls` is `off`; http in development, else https.",
    ),
    key(
        "public_port",
        Shape::Integer(1, 65_535),
        "Port as seen from outside, where it is neither the scheme's own nor `listen`'s.",
    ),
    key("data", Shape::Text, "Data folder; `.mana/ENVIRONMENT` where absent."),
    key(
        "port_offset",
        Shape::Integer(0, 60_000),
        "Added to the port of every service; 1000 in staging, so that it can share a machine with production.",
    ),
    key("instance_ports", Shape::PortRange, "Ports that instances get; 20000-29999 where absent."),
    key(
        "database",
        Shape::Text,
        "DATABASE_URL of services with a `database`; `{database}` stands for its name. SQLite in the data folder where absent.",
    ),
    key("cache", Shape::Text, "REDIS_URL of services with `cache = true`. A cache in each process where absent."),
];

const TLS: &[&str] = &["acme", "local", "files", "off"];

const ACME: &[Key] = &[
    key("email", Shape::Text, "Whom the authority may write to."),
    key("directory", Shape::Text, "URL of the authority's directory; Let's Encrypt where absent."),
    key(
        "challenge",
        Shape::Word(&["http-01", "tls-alpn-01"]),
        "How a host is proven: over HTTP on port 80 (where absent), or in TLS on port 443.",
    ),
    key("roots", Shape::Text, "PEM file with the root of the authority's own HTTPS; the system's where absent."),
];

const CERTIFICATE: &[Key] = &[
    key("certificate", Shape::Text, "PEM file: the certificate, then the intermediate ones."),
    key("key", Shape::Text, "PEM file with its private key."),
];

const SECRET: &[Key] = &[
    key(
        "generate",
        Shape::Integer(16, 1024),
        "Random bytes to generate at first start (written in hexadecimal). Absent: a person provides it with `mana secret set`.",
    ),
    key("environments", Shape::List(&Shape::Word(ENVIRONMENTS)), "Where it exists; everywhere where absent."),
    key("about", Shape::Text, "What it is for, shown when it is missing."),
];

const PROJECT: &[Key] = &[key("about", Shape::Text, "One line for people.")];

const HEALTH: &[Key] = &[
    key("live", Shape::UrlPath, "Path of the live probe; /api/health where absent."),
    key("ready", Shape::UrlPath, "Path of the ready probe; /api/health/ready where absent."),
];

const LIMITS: &[Key] = &[
    key("memory", Shape::Size, "Resident memory an instance may take before it is restarted."),
    key("body", Shape::Size, "Largest request body; 10MB where absent."),
    key(
        "rate",
        Shape::Rate,
        "How often one client address may ask from outside; more is answered with 429. Unbounded where absent.",
    ),
    key(
        "rate_per_token",
        Shape::Rate,
        "How often one value of Authorization may be used from outside; more is answered with 429. Unbounded where absent.",
    ),
    key("response_timeout", Shape::Duration, "Longest time to the beginning of an answer; 60s where absent."),
    key(
        "request_timeout",
        Shape::Duration,
        "Longest time to the end of an answer, event streams included; for ever where absent.",
    ),
    key(
        "drain",
        Shape::Duration,
        "How long requests and WebSockets may go on with an instance that is replaced before it is stopped; 30s where absent.",
    ),
];

const ACCESS: &[Key] = &[
    key("allow", Shape::List(&Shape::Network), "Only clients with these addresses; everyone where absent."),
    key("deny", Shape::List(&Shape::Network), "No client with these addresses."),
    key(
        "basic_auth",
        Shape::List(&Shape::Text),
        "Only who knows a name and password: SHA-256 of NAME:PASSWORD in hexadecimal, one a person. For what is not public yet; choose long random passwords.",
    ),
];

const CORS: &[Key] = &[
    key("origins", Shape::List(&Shape::Text), "Sites whose pages may ask: https://app.example.org, or * alone."),
    key("methods", Shape::List(&Shape::Text), "Methods they may use; GET, HEAD and POST where absent."),
    key("headers", Shape::List(&Shape::Text), "Request headers they may send, beside the harmless ones."),
    key("expose", Shape::List(&Shape::Text), "Headers of answers that their scripts may read."),
    key("credentials", Shape::Boolean, "Whether they may send cookies; false where absent."),
];

/// A service's keys, and its tables per environment.
pub(crate) const SERVICE: &[Key] = &[
    KIND,
    PROJECT_NAME,
    EXISTS_IN,
    COMMAND,
    CWD,
    FOLDER,
    NOT_FOUND,
    PORT,
    DATABASE,
    CACHE,
    NEEDS,
    ENV,
    SECRETS,
    MIGRATE,
    INSTANCES,
    START_TIMEOUT,
    STOP_TIMEOUT,
    HEALTH_PATHS,
    LIMITS_TABLE,
    PROTOCOL,
    ACCESS_TABLE,
    ROLLOUT_TABLE,
    CORS_TABLE,
    MAINTENANCE,
    COMPRESS,
    PUBLIC,
    HOST,
    HOSTS,
    REDIRECTS,
    key(
        "smoke",
        Shape::Map(Names::Name, &Shape::Table(smoke::SMOKE)),
        "Requests that have to be answered well after it was brought into staging, in the order of the file.",
    ),
    key(
        "slo",
        Shape::Table(alerts::SLO),
        "What it promises its users; people are told when that is about to be broken.",
    ),
    key(
        "build",
        Shape::Table(releases::BUILD),
        "How a release is made of a commit; the same one for every environment.",
    ),
    key("development", Shape::Table(SERVICE_IN_ENVIRONMENT), "What is different in development."),
    key("staging", Shape::Table(SERVICE_IN_ENVIRONMENT), "What is different in staging."),
    key("production", Shape::Table(SERVICE_IN_ENVIRONMENT), "What is different in production."),
];

const SERVICE_IN_ENVIRONMENT: &[Key] = &[
    COMMAND,
    CWD,
    FOLDER,
    NOT_FOUND,
    PORT,
    DATABASE,
    CACHE,
    NEEDS,
    ENV,
    SECRETS,
    MIGRATE,
    INSTANCES,
    START_TIMEOUT,
    STOP_TIMEOUT,
    HEALTH_PATHS,
    LIMITS_TABLE,
    PROTOCOL,
    ACCESS_TABLE,
    ROLLOUT_TABLE,
    CORS_TABLE,
    MAINTENANCE,
    COMPRESS,
    PUBLIC,
    HOST,
    HOSTS,
    REDIRECTS,
];

const KIND: Key = key(
    "kind",
    Shape::Word(KINDS),
    "What it is; brings its host and other defaults. Told by the name's ending where absent.",
);
const PROJECT_NAME: Key = key("project", Shape::Text, "The project it belongs to. Told by the name where absent.");
const EXISTS_IN: Key =
    key("environments", Shape::List(&Shape::Word(ENVIRONMENTS)), "Where it exists; everywhere where absent.");
const COMMAND: Key =
    key("command", Shape::Command, "The program that listens on $PORT, and its arguments. Not run by a shell.");
const CWD: Key = key("cwd", Shape::Text, "Folder it starts in; the manifest's where absent.");
const FOLDER: Key = key("folder", Shape::Text, "Folder that the edge serves, in place of a command.");
const NOT_FOUND: Key =
    key("not_found", Shape::Text, "File of the folder answered with 404; 404.html where there is one.");
const PORT: Key = key(
    "port",
    Shape::Integer(1024, 65_535),
    "Stable internal address 127.0.0.1:PORT, answered by the edge. Instances get ports of their own.",
);
const DATABASE: Key = key("database", Shape::Database, "Name of its database; it gets DATABASE_URL.");
const CACHE: Key = key("cache", Shape::Boolean, "Whether it gets REDIS_URL where the environment has a cache.");
const NEEDS: Key =
    key("needs", Shape::List(&Shape::Text), "Services that must be up before it; it gets their addresses as NAME_URL.");
const ENV: Key = key(
    "env",
    Shape::Map(Names::Variable, &Shape::Text),
    "Environment variables. ${secret.NAME}, ${services.NAME.url}, ${services.NAME.public_url}, ${environment} and ${domain} are filled in.",
);
const SECRETS: Key = key(
    "secrets",
    Shape::List(&Shape::Text),
    "Secrets without which it is never started; it gets them as environment variables.",
);
const MIGRATE: Key = key(
    "migrate",
    Shape::List(&Shape::Text),
    "Arguments of the command that bring its database up to date; [\"migrate\"] where it has a database, [] for none.",
);
const INSTANCES: Key = key("instances", Shape::Integer(1, 64), "Instances that run; 1 where absent.");
const START_TIMEOUT: Key =
    key("start_timeout", Shape::Duration, "Longest time from its start to being ready; 30s where absent.");
const STOP_TIMEOUT: Key =
    key("stop_timeout", Shape::Duration, "Longest time from the stop signal to the kill; 30s where absent.");
const HEALTH_PATHS: Key = key("health", Shape::Table(HEALTH), "Paths of its probes.");
const LIMITS_TABLE: Key = key("limits", Shape::Table(LIMITS), "Bounds.");
const PROTOCOL: Key = key(
    "protocol",
    Shape::Word(&["http1", "h2c"]),
    "What its instances speak: HTTP/1.1 where absent, or HTTP/2 without TLS (`h2c`), as gRPC does.",
);
const ACCESS_TABLE: Key = key("access", Shape::Table(ACCESS), "Who may ask from outside.");
const ROLLOUT_TABLE: Key =
    key("rollout", Shape::Table(rollout::ROLLOUT), "How a release of it takes over; what `mana deploy` does.");
const CORS_TABLE: Key = key("cors", Shape::Table(CORS), "Pages of other sites that may ask.");
const MAINTENANCE: Key = key(
    "maintenance",
    Shape::Duration,
    "It is closed: requests from outside wait this long for it to open (at most 60s), and then get 503.",
);
const COMPRESS: Key = key(
    "compress",
    Shape::Boolean,
    "Whether the edge compresses its answers for clients that take it; true where absent. False where a page holds a secret and repeats what a request said.",
);
const PUBLIC: Key = key("public", Shape::Boolean, "Whether it has a public host; true where absent.");
const HOST: Key =
    key("host", Shape::Host, "Its public host: a name below the domain, or (with a dot) a whole host name.");
const HOSTS: Key = key("hosts", Shape::List(&Shape::Host), "Its public hosts, the first one the main one.");
const REDIRECTS: Key =
    key("redirects", Shape::Map(Names::UrlPath, &Shape::Text), "Path of its host → URL, answered with 308.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_plan() {
        assert_eq!(KINDS.to_vec(), Kind::ALL.map(Kind::as_str));
        assert_eq!(ENVIRONMENTS.to_vec(), Environment::ALL.map(Environment::as_str));
    }
}
