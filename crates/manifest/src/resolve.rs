//! Document → plan for one environment: defaults filled in, references resolved, conflicts found. All problems at once.

mod access;
mod alerts;
mod hosts;
mod needs;
mod notifications;
mod ops;
mod releases;
mod rollout;
mod secrets;
mod service;
mod smoke;
mod status;
mod tls;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::document::{Document, EnvironmentTable, ServiceKeys, ServiceTable};
use crate::plan::{Environment, Plan, Project, Run, SecretRule, Service};
use crate::problem::Problem;
use crate::{Facts, Overrides, names, order};

/// Ports that services of the machine are used to; a service that took one would hide it.
const RESERVED: [(u16, &str); 6] = [
    (3306, "MySQL"),
    (5432, "PostgreSQL"),
    (6379, "Redis"),
    (9090, "Prometheus"),
    (11_211, "memcached"),
    (27_017, "MongoDB"),
];

const DEFAULT_INSTANCE_PORTS: (u16, u16) = (20_000, 29_999);

/// Staging's ports are moved by this, so that it can share a machine with production.
const STAGING_PORT_OFFSET: u16 = 1000;

/// Which environment is meant.
pub(crate) fn environment(overrides: &Overrides) -> Result<Environment, Problem> {
    let Some(name) = overrides.environment.as_deref() else { return Ok(Environment::Development) };
    Environment::from_name(name).ok_or_else(|| {
        let known = Environment::ALL.map(Environment::as_str);
        let problem = Problem::error(None, format!("--env is \"{name}\""));
        problem.suggest(name, known, &format!("there are {}", known.join(", ")))
    })
}

/// Where an environment's data is.
pub(crate) fn data(document: &Document, environment: Environment, overrides: &Overrides, root: &Path) -> PathBuf {
    let table = document.environments.get(&environment).and_then(|table| table.data.as_ref());
    let from_manifest =
        || table.map_or_else(|| Path::new(".mana").join(environment.as_str()), |data| PathBuf::from(&data.value));
    root.join(overrides.data.clone().unwrap_or_else(from_manifest))
}

/// The environment's own settings, with their defaults.
struct Setting {
    environment: Environment,
    domain: String,
    listen: SocketAddr,
    listen_span: Option<Range<usize>>,
    trusted_proxies: Vec<String>,
    proxy_protocol: bool,
    traces: Option<String>,
    tls: Option<crate::plan::Tls>,
    scheme: String,
    public_port: Option<u16>,
    port_offset: u16,
    instance_ports: (u16, u16),
    data: PathBuf,
    root: PathBuf,
    database: Option<crate::document::Text>,
    cache: Option<crate::document::Text>,
}

impl Setting {
    /// `https://HOST`, or with its port where that is not the scheme's own.
    fn origin(&self, host: &str) -> String {
        match self.public_port {
            Some(port) => format!("{}://{host}:{port}", self.scheme),
            None => format!("{}://{host}", self.scheme),
        }
    }
}

/// A service as it stands in this environment.
struct Candidate<'a> {
    table: &'a ServiceTable,
    keys: ServiceKeys,
    kind: crate::plan::Kind,
    project: String,
    hosts: Vec<(String, Option<Range<usize>>)>,
    internal: Option<SocketAddr>,
}

/// The plan, where one can be made, and everything found on the way.
pub(crate) fn plan(
    document: &Document,
    environment: Environment,
    overrides: &Overrides,
    facts: &Facts,
    root: &Path,
) -> (Option<Plan>, Vec<Problem>) {
    let mut problems = Vec::new();
    require_basics(document, &mut problems);
    let setting = setting(document, environment, overrides, root, &mut problems);
    let secrets = secrets(document, environment);
    let candidates: Vec<Candidate> = document
        .services
        .iter()
        .filter(|table| exists_in(table.environments.as_deref(), environment))
        .filter_map(|table| service::candidate(table, &setting, &mut problems))
        .collect();
    conflicts(&candidates, &setting, &mut problems);
    check_projects(document, &mut problems);
    let context = service::Context { document, setting: &setting, candidates: &candidates, secrets: &secrets, facts };
    let services: Vec<Service> =
        candidates.iter().map(|candidate| service::resolve(candidate, &context, &mut problems)).collect();
    let services = in_order(services, &candidates, &mut problems);
    let Some(services) = services else { return (None, problems) };
    let projects = services
        .iter()
        .map(|service| {
            let about = document.projects.iter().find(|(name, _)| name.value == service.project);
            let about = about.and_then(|(_, about)| about.as_ref()).map(|about| about.value.clone());
            (service.project.clone(), Project { about })
        })
        .collect();
    let releases = releases::releases(document, root, &setting.data, &mut problems);
    let (ops, staging_server) = (ops::door(&context, &mut problems), ops::staging_server(&context, &mut problems));
    let status = status::page(&context, &services, &mut problems);
    let told = notifications::Context { environment, domain: &setting.domain, secrets: &secrets };
    let notifications = notifications::notifications(document, &told, &mut problems);
    let alerts = alerts::alerts(document, environment, &mut problems);
    let dependencies = watch::dependencies(document, &told, &mut problems);
    let watch = watch::watch(document, &told, &mut problems);
    let plan = Plan {
        ecosystem: document.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
        domain: setting.domain,
        environment,
        root: setting.root,
        data: setting.data,
        listen: setting.listen,
        trusted_proxies: setting.trusted_proxies,
        proxy_protocol: setting.proxy_protocol,
        traces: setting.traces,
        ops,
        status,
        staging_server,
        tls: setting.tls,
        public_scheme: setting.scheme,
        public_port: setting.public_port,
        instance_ports: setting.instance_ports,
        secrets,
        projects,
        services,
        releases,
        notifications,
        alerts,
        dependencies,
        watch,
    };
    (Some(plan), problems)
}

fn require_basics(document: &Document, problems: &mut Vec<Problem>) {
    let start = Some(0..0);
    match &document.name {
        None => problems.push(
            Problem::error(start.clone(), "name is missing")
                .help("write name = \"…\" at the top: what the ecosystem is called"),
        ),
        Some(name) if !names::is_name(&name.value) => {
            let problem = Problem::error(name.span.clone(), format!("name is \"{}\"", name.value));
            problems.push(problem.help(format!("use {}", names::NAME)));
        }
        Some(_) => {}
    }
    if document.domain.is_none() {
        problems
            .push(Problem::error(start.clone(), "domain is missing").help("write domain = \"example.com\" at the top"));
    }
    if document.services.is_empty() {
        problems.push(
            Problem::error(start, "there is no service")
                .help("add one: [services.NAME-backend] with a command and a port"),
        );
    }
}

fn setting(
    document: &Document,
    environment: Environment,
    overrides: &Overrides,
    root: &Path,
    problems: &mut Vec<Problem>,
) -> Setting {
    let none = EnvironmentTable::default();
    let table = document.environments.get(&environment).unwrap_or(&none);
    let development = environment == Environment::Development;
    let port = |number: i64| u16::try_from(number).unwrap_or(u16::MAX);
    let own_offset = if environment == Environment::Staging { STAGING_PORT_OFFSET } else { 0 };
    let own_offset = table.port_offset.as_ref().map_or(own_offset, |offset| port(offset.value));
    let extra_offset = overrides.port_offset.unwrap_or(0);
    let port_offset = own_offset.saturating_add(extra_offset);
    let default_listen = match environment {
        Environment::Development => SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        Environment::Staging => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8081)),
        Environment::Production => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)),
    };
    let mut listen = table.listen.as_ref().map_or(default_listen, |listen| listen.value);
    match listen.port().checked_add(extra_offset) {
        Some(port) => listen.set_port(port),
        None => problems.push(flag(
            "--port-offset",
            &extra_offset.to_string(),
            "a smaller offset: the public port would be beyond 65535",
        )),
    }
    if let Some(text) = &overrides.listen {
        match text.parse() {
            Ok(address) => listen = address,
            Err(_) => problems.push(flag("--listen", text, "an address and a port, such as 127.0.0.1:8080")),
        }
    }
    let mut tls = tls::resolve(table, environment, listen, extra_offset, root, problems);
    let scheme = match (&tls, &table.scheme) {
        (None, Some(scheme)) => &scheme.value,
        (None, None) if development => "http",
        _ => "https",
    };
    let plain_port = if scheme == "https" { 443 } else { 80 };
    let public_port = match (&table.public_port, &tls) {
        (Some(public), _) => port(public.value),
        (None, Some(tls)) => tls.listen.port(),
        // Behind https something in front terminates TLS on its own port.
        (None, None) if scheme == "https" => plain_port,
        (None, None) => listen.port(),
    };
    if let Some(tls) = &mut tls {
        tls.public_port = public_port;
    }
    let domain = table.domain.as_ref().map(|domain| domain.value.clone());
    let default_domain = || {
        let domain = document.domain.as_ref().map(|domain| domain.value.clone()).unwrap_or_default();
        if development { "localhost".to_owned() } else { domain }
    };
    Setting {
        environment,
        domain: domain.unwrap_or_else(default_domain),
        listen,
        listen_span: table.listen.as_ref().and_then(|listen| listen.span.clone()),
        trusted_proxies: table.trusted_proxies.iter().flatten().map(|range| range.value.clone()).collect(),
        proxy_protocol: proxy_protocol(table, problems),
        traces: traces(table, problems),
        tls,
        scheme: scheme.to_owned(),
        public_port: (public_port != plain_port).then_some(public_port),
        port_offset,
        instance_ports: table.instance_ports.as_ref().map_or(DEFAULT_INSTANCE_PORTS, |range| range.value),
        data: data(document, environment, overrides, root),
        root: root.to_owned(),
        database: table.database.clone(),
        cache: table.cache.clone(),
    }
}

fn proxy_protocol(table: &EnvironmentTable, problems: &mut Vec<Problem>) -> bool {
    let Some(asked) = table.proxy_protocol.as_ref().filter(|asked| asked.value) else { return false };
    if table.trusted_proxies.as_ref().is_none_or(Vec::is_empty) {
        problems.push(
            Problem::error(asked.span.clone(), "proxy_protocol is believed of nobody")
                .help("write the load balancer's address in trusted_proxies"),
        );
    }
    if table.http3.as_ref().is_some_and(|http3| http3.value) {
        problems.push(
            Problem::error(asked.span.clone(), "proxy_protocol and http3 exclude each other")
                .help("keep one: QUIC has no PROXY header"),
        );
    }
    true
}

fn traces(table: &EnvironmentTable, problems: &mut Vec<Problem>) -> Option<String> {
    let endpoint = table.traces.as_ref()?;
    if !endpoint.value.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        problems.push(
            Problem::error(endpoint.span.clone(), format!("traces go to \"{}\"", endpoint.value))
                .help("write an http:// address, such as \"http://127.0.0.1:4318/v1/traces\""),
        );
    }
    Some(endpoint.value.clone())
}

fn flag(name: &str, value: &str, allowed: &str) -> Problem {
    Problem::error(None, format!("{name} is \"{value}\"")).help(format!("give {allowed}"))
}

fn exists_in(environments: Option<&[crate::document::Text]>, environment: Environment) -> bool {
    environments.is_none_or(|list| list.iter().any(|name| name.value == environment.as_str()))
}

fn secrets(document: &Document, environment: Environment) -> BTreeMap<String, SecretRule> {
    let here = document.secrets.iter().filter(|(_, table)| exists_in(table.environments.as_deref(), environment));
    here.map(|(name, table)| {
        let generate_bytes = table.generate.as_ref().and_then(|bytes| u16::try_from(bytes.value).ok());
        let about = table.about.as_ref().map(|about| about.value.clone());
        (name.value.clone(), SecretRule { generate_bytes, about })
    })
    .collect()
}

/// A project without a service is a name misspelt somewhere.
fn check_projects(document: &Document, problems: &mut Vec<Problem>) {
    let used: BTreeSet<String> = document.services.iter().filter_map(service::project_of).collect();
    for (name, _) in &document.projects {
        if !used.contains(&name.value) {
            let problem = Problem::error(name.span.clone(), format!("project \"{}\" has no service", name.value));
            let otherwise = "remove it, or add a service to it";
            problems.push(problem.suggest(&name.value, used.iter().map(String::as_str), otherwise));
        }
    }
}

/// Ports and hosts that two want, or nobody may have.
fn conflicts(candidates: &[Candidate], setting: &Setting, problems: &mut Vec<Problem>) {
    let mut ports: BTreeMap<u16, &str> = BTreeMap::new();
    let mut hosts: BTreeMap<&str, &str> = BTreeMap::new();
    for candidate in candidates {
        let name = candidate.table.name.value.as_str();
        if let Some(address) = candidate.internal {
            let span = candidate.keys.port.as_ref().and_then(|port| port.span.clone());
            problems.extend(
                port_conflict(address.port(), setting, &ports)
                    .map(|(message, help)| Problem::error(span, message).help(help)),
            );
            ports.entry(address.port()).or_insert(name);
        }
        for (host, span) in &candidate.hosts {
            if let Some(other) = hosts.insert(host, name) {
                let span = span.clone().or_else(|| candidate.table.name.span.clone());
                let problem = Problem::error(span, format!("host \"{host}\" belongs to {other} already"));
                problems.push(problem.help(format!("give {name} another one with host = \"…\"")));
            }
        }
    }
}

fn port_conflict(port: u16, setting: &Setting, taken: &BTreeMap<u16, &str>) -> Option<(String, String)> {
    // What the file says is another number where an offset moves it.
    let shown = match setting.port_offset {
        0 => port.to_string(),
        offset => format!("{port} ({} moved by {offset})", port.saturating_sub(offset)),
    };
    let free = || {
        format!(
            "write another port, such as {}",
            (port..=u16::MAX)
                .find(|port| !taken.contains_key(port))
                .map_or(port, |free| free.saturating_sub(setting.port_offset))
        )
    };
    if let Some(other) = taken.get(&port) {
        return Some((format!("port {shown} belongs to {other} already"), free()));
    }
    if port == setting.listen.port() {
        let where_ = if setting.listen_span.is_some() { "listen" } else { "the default of listen" };
        let message = format!("port {shown} is the public port of {}", setting.environment.as_str());
        return Some((message, format!("write another port, or change {where_}")));
    }
    let (first, last) = setting.instance_ports;
    if (first..=last).contains(&port) {
        let message = format!("port {shown} is among those that instances get ({first}-{last})");
        return Some((message, "write a port outside of instance_ports".to_owned()));
    }
    let (_, owner) = RESERVED.iter().find(|(reserved, _)| *reserved == port)?;
    let other =
        if setting.port_offset == 0 { "write another port" } else { "write another port, or choose another offset" };
    Some((format!("port {shown} is reserved for {owner}"), other.to_owned()))
}

/// The services in start order; `None` where there is none.
fn in_order(services: Vec<Service>, candidates: &[Candidate], problems: &mut Vec<Problem>) -> Option<Vec<Service>> {
    let index = |name: &String| services.iter().position(|service| &service.name == name);
    let needs: Vec<Vec<usize>> =
        services.iter().map(|service| service.needs.iter().filter_map(index).collect()).collect();
    match order::order(&needs) {
        Ok(ordered) => {
            let mut services: Vec<Option<Service>> = services.into_iter().map(Some).collect();
            Some(ordered.into_iter().filter_map(|index| services[index].take()).collect())
        }
        Err(cycle) => {
            let names: Vec<&str> =
                cycle.iter().chain(cycle.first()).map(|&index| services[index].name.as_str()).collect();
            let keys = &candidates[cycle[0]];
            let span = keys.keys.needs.iter().flatten().find(|need| names.contains(&need.value.as_str()));
            let span = span.and_then(|need| need.span.clone());
            let problem = Problem::error(span, format!("services wait for each other: {}", names.join(" → ")));
            problems.push(problem.help("take one of these out of `needs`"));
            None
        }
    }
}

/// Whether a static folder is there.
fn folder_problem(run: &Run, facts: &Facts, span: Option<Range<usize>>) -> Option<Problem> {
    let Run::Static { folder, .. } = run else { return None };
    let missing = !(facts.exists)(folder);
    missing.then(|| {
        Problem::error(span, format!("the folder {} is not there", folder.display()))
            .help("create it, or correct `folder`")
    })
}
