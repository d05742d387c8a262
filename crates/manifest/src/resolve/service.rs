//! One service of the plan.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Candidate, Setting, access, alerts, folder_problem, hosts, needs, releases, rollout, secrets, smoke};
use crate::document::{Document, ServiceKeys, ServiceTable, Spanned, Text};
use crate::interpolate::{self, Reference};
use crate::names::variable_of;
use crate::plan::{Command, Environment, Kind, Part, Rate, Rollout, Run, SecretRule, Service, ServiceLimits, Value};
use crate::problem::Problem;
use crate::{Facts, names};

const DEFAULT_LIVE: &str = "/api/health";
const DEFAULT_READY: &str = "/api/health/ready";
const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_BODY_BYTES: u64 = 10_000_000;
/// Above the longest model call, so that its own error is what users get.
const DEFAULT_RESPONSE_TIMEOUT: Duration = Duration::from_mins(1);
const DEFAULT_DRAIN: Duration = Duration::from_secs(30);
/// Longest of these that the edge takes.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);
const DEFAULT_MIGRATE: &str = "migrate";

/// Variables that the platform sets; a manifest that set them would be overruled.
const OWN_VARIABLES: [&str; 9] = [
    "PORT",
    "HOST",
    "PUBLIC_URL",
    "DATABASE_URL",
    "REDIS_URL",
    "MANA_ENVIRONMENT",
    "MANA_PROJECT",
    "MANA_SERVICE",
    "MANA_INSTANCE",
];

/// What a service is resolved against.
pub(super) struct Context<'a> {
    pub(super) document: &'a Document,
    pub(super) setting: &'a Setting,
    pub(super) candidates: &'a [Candidate<'a>],
    pub(super) secrets: &'a BTreeMap<String, SecretRule>,
    pub(super) facts: &'a Facts<'a>,
}

/// The project of a service: said, or told by its name.
pub(super) fn project_of(table: &ServiceTable) -> Option<String> {
    let by_name = kind_by_name(&table.name.value).map(|(project, _)| project.to_owned());
    table.project.as_ref().map(|project| project.value.clone()).or(by_name).or_else(|| Some(table.name.value.clone()))
}

fn kind_by_name(name: &str) -> Option<(&str, Kind)> {
    let (project, ending) = name.rsplit_once('-')?;
    let kind = [Kind::Backend, Kind::Web, Kind::Landing].into_iter().find(|kind| kind.as_str() == ending)?;
    Some((project, kind))
}

/// A service as it stands in this environment, before references are resolved; `None` where too little is known.
pub(super) fn candidate<'a>(
    table: &'a ServiceTable,
    setting: &Setting,
    problems: &mut Vec<Problem>,
) -> Option<Candidate<'a>> {
    let keys = table.keys.with(table.in_environment.get(&setting.environment));
    let kind =
        table.kind.as_ref().map(|kind| kind.value).or_else(|| kind_by_name(&table.name.value).map(|(_, kind)| kind));
    let Some(kind) = kind else {
        let problem = Problem::error(
            table.name.span.clone(),
            format!("what kind of service {} is cannot be told", table.name.value),
        );
        problems.push(problem.help("write kind = \"auth\", \"backend\", \"web\", \"landing\" or \"status\", or end its name in -backend, -web or -landing"));
        return None;
    };
    let project = project_of(table)?;
    if let Some(said) = &table.project
        && !names::is_name(&said.value)
    {
        let problem = Problem::error(said.span.clone(), format!("project is \"{}\"", said.value));
        problems.push(problem.help(format!("use {}", names::NAME)));
    }
    let hosts = hosts::hosts(&table.name, &keys, kind, &project, setting, problems);
    let internal = keys.port.as_ref().and_then(|port| internal(port, setting, problems));
    Some(Candidate { table, keys, kind, project, hosts, internal })
}

fn internal(port: &Spanned<i64>, setting: &Setting, problems: &mut Vec<Problem>) -> Option<SocketAddr> {
    let wanted = u16::try_from(port.value).ok().filter(|port| *port >= 1024)?;
    let Some(moved) = wanted.checked_add(setting.port_offset) else {
        let message = format!("port {wanted} moved by {} is beyond 65535", setting.port_offset);
        problems
            .push(Problem::error(port.span.clone(), message).help("write a smaller port, or a smaller port offset"));
        return None;
    };
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, moved)))
}

/// The service with everything filled in. What cannot be is reported and left at a default.
pub(super) fn resolve(candidate: &Candidate, context: &Context, problems: &mut Vec<Problem>) -> Service {
    let keys = &candidate.keys;
    let name = candidate.table.name.value.clone();
    let needed = needs::services(candidate, context, problems);
    let secrets = secrets::of(candidate, context, problems);
    let run = run(candidate, context, &needed, problems);
    let redirects = keys.redirects.iter().filter_map(|(path, target)| {
        let parts = filled(target, context, problems)?;
        let Ok(url) = Value(parts).reveal(|_| None).map_err(str::to_owned) else {
            let problem = Problem::error(target.span.clone(), "a redirect cannot hold a secret");
            problems.push(problem.help("everybody sees it"));
            return None;
        };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let problem = Problem::error(target.span.clone(), format!("a redirect goes to \"{url}\""));
            problems.push(problem.help("write a whole URL, such as \"${services.NAME.public_url}\""));
        }
        Some((path.value.clone(), url))
    });
    let redirects = redirects.collect();
    Service {
        name,
        project: candidate.project.clone(),
        kind: candidate.kind,
        hosts: candidate.hosts.iter().map(|(host, _)| host.clone()).collect(),
        public_url: candidate.hosts.first().map(|(host, _)| context.setting.origin(host)),
        redirects,
        run,
        needs: needed,
        dependencies: needs::outside(candidate, context),
        secrets,
        build: releases::build(candidate, problems),
        limits: limits(keys, problems),
        rollout: Rollout {
            staging: through_staging(candidate, context),
            ..rollout::resolve(&keys.rollout, context.setting.environment, problems)
        },
        smoke: smoke::resolve(candidate, context, problems),
        objectives: alerts::objectives(candidate.table.slo.as_ref()),
        access: access::resolve(keys, problems),
    }
}

fn limits(keys: &ServiceKeys, problems: &mut Vec<Problem>) -> ServiceLimits {
    let rate = |rate: &Option<Spanned<(u32, Duration)>>| {
        rate.as_ref().map(|rate| Rate { requests: rate.value.0, per: rate.value.1 })
    };
    let mut bounded = |name: &str, duration: &Option<Spanned<Duration>>| {
        let duration = duration.as_ref()?;
        if duration.value.is_zero() || duration.value > MAX_TIMEOUT {
            let problem = Problem::error(duration.span.clone(), format!("{name} is not between 1ms and a day"));
            problems.push(problem.help("write a duration such as \"30s\""));
        }
        Some(duration.value)
    };
    ServiceLimits {
        memory_bytes: keys.memory.as_ref().map(|memory| memory.value),
        max_body_bytes: keys.body.as_ref().map_or(DEFAULT_BODY_BYTES, |body| body.value),
        rate: rate(&keys.rate),
        rate_per_token: rate(&keys.rate_per_token),
        response_timeout: bounded("response_timeout", &keys.response_timeout).unwrap_or(DEFAULT_RESPONSE_TIMEOUT),
        request_timeout: bounded("request_timeout", &keys.request_timeout),
        drain: bounded("drain", &keys.drain).unwrap_or(DEFAULT_DRAIN),
    }
}

fn run(candidate: &Candidate, context: &Context, needs: &[String], problems: &mut Vec<Problem>) -> Run {
    let keys = &candidate.keys;
    let name = &candidate.table.name;
    let root = &context.setting.root;
    match (&keys.command, &keys.folder) {
        (Some(command), Some(folder)) => {
            let problem =
                Problem::error(folder.span.clone(), format!("{} has both a command and a folder", name.value));
            problems.push(problem.help("keep one: `command` for a program, `folder` for static files"));
            Run::Command(program(candidate, command, context, needs, problems))
        }
        (Some(command), None) => Run::Command(program(candidate, command, context, needs, problems)),
        (None, Some(folder)) => {
            if let Some(port) = &keys.port {
                let problem =
                    Problem::error(port.span.clone(), format!("{} is a folder and has no use for a port", name.value));
                problems.push(problem.help("remove `port`: the edge serves the files itself"));
            }
            let path = root.join(&folder.value);
            let not_found = keys.not_found.as_ref().map(|file| file.value.clone()).or_else(|| {
                let usual = "404.html";
                (context.facts.exists)(&path.join(usual)).then(|| usual.to_owned())
            });
            let run = Run::Static { folder: path, not_found };
            // What is built is there once it was built.
            if candidate.table.build.is_none() {
                problems.extend(folder_problem(&run, context.facts, folder.span.clone()));
            }
            run
        }
        (None, None) => {
            let problem =
                Problem::error(name.span.clone(), format!("{} has neither a command nor a folder", name.value));
            problems.push(problem.help("write command = \"…\" for a program, or folder = \"…\" for static files"));
            Run::Static { folder: root.clone(), not_found: None }
        }
    }
}

fn program(
    candidate: &Candidate,
    command: &Spanned<Vec<String>>,
    context: &Context,
    needs: &[String],
    problems: &mut Vec<Problem>,
) -> Command {
    let keys = &candidate.keys;
    let root = &context.setting.root;
    let mut argv = command.value.clone();
    if argv[0].contains('/') {
        let path = root.join(&argv[0]);
        if !(context.facts.exists)(&path) {
            let problem =
                Problem::warning(command.span.clone(), format!("the program {} is not there", path.display()));
            problems.push(problem.help("build it before `mana up`, or correct `command`"));
        }
        argv[0] = path.display().to_string();
    }
    if keys.port.is_none() {
        let name = &candidate.table.name;
        let problem = Problem::error(name.span.clone(), format!("{} has a command but no port", name.value));
        problems.push(problem.help("write port = …: its stable internal address; instances get ports of their own"));
    }
    let migrate = match &keys.migrate {
        Some(arguments) => arguments.iter().map(|argument| argument.value.clone()).collect(),
        None if keys.database.is_some() => vec![DEFAULT_MIGRATE.to_owned()],
        None => Vec::new(),
    };
    let path = |path: &Option<Text>, default: &str| path.as_ref().map_or(default.to_owned(), |path| path.value.clone());
    Command {
        argv,
        cwd: keys.cwd.as_ref().map_or_else(|| root.clone(), |cwd| root.join(&cwd.value)),
        migrate,
        internal: candidate.internal.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        env: env(candidate, context, needs, problems),
        live: path(&keys.live, DEFAULT_LIVE),
        ready: path(&keys.ready, DEFAULT_READY),
        h2c: keys.protocol.as_ref().is_some_and(|protocol| protocol.value == "h2c"),
        instances: keys.instances.as_ref().map_or(1, |count| u16::try_from(count.value).unwrap_or(1)),
        start_timeout: keys.start_timeout.as_ref().map_or(DEFAULT_START_TIMEOUT, |timeout| timeout.value),
        stop_timeout: keys.stop_timeout.as_ref().map_or(DEFAULT_STOP_TIMEOUT, |timeout| timeout.value),
    }
}

/// Everything in an instance's environment but what differs between instances.
fn env(
    candidate: &Candidate,
    context: &Context,
    needs: &[String],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Value> {
    let (keys, setting) = (&candidate.keys, context.setting);
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: Value| env.insert(name.to_owned(), value);
    set("HOST", Value::text(Ipv4Addr::LOCALHOST.to_string()));
    set("MANA_ENVIRONMENT", Value::text(setting.environment.as_str()));
    set("MANA_PROJECT", Value::text(&candidate.project));
    set("MANA_SERVICE", Value::text(&candidate.table.name.value));
    if let Some((host, _)) = candidate.hosts.first() {
        set("PUBLIC_URL", Value::text(setting.origin(host)));
    }
    if let Some(issuer) = issuer(candidate, context) {
        set("TOKEN_ISSUER", Value::text(issuer));
    }
    for other in context.candidates.iter().filter(|other| needs.contains(&other.table.name.value)) {
        let variable = variable_of(&other.table.name.value);
        if let Some(address) = other.internal {
            set(&format!("{variable}_URL"), Value::text(format!("http://{address}")));
        }
        if let Some((host, _)) = other.hosts.first() {
            set(&format!("{variable}_PUBLIC_URL"), Value::text(setting.origin(host)));
        }
    }
    for secret in keys.secrets.iter().flatten() {
        set(&secret.value, Value(vec![Part::Secret(secret.value.clone())]));
    }
    if let Some(database) = &keys.database {
        set("DATABASE_URL", database_url(&database.value, context, problems));
    }
    if keys.cache.as_ref().is_some_and(|cache| cache.value)
        && let Some(cache) = &setting.cache
    {
        set("REDIS_URL", Value(filled(cache, context, problems).unwrap_or_default()));
    }
    for (name, text) in &keys.env {
        if OWN_VARIABLES.contains(&name.value.as_str()) {
            let problem = Problem::error(name.span.clone(), format!("{} is set by mana itself", name.value));
            problems.push(problem.help("remove it, or use another name"));
        }
        if let Some(parts) = filled(text, context, problems) {
            env.insert(name.value.clone(), Value(parts));
        }
    }
    env
}

/// The origin of the auth service whose tokens count: its own, of one it needs, or of the only one there is.
fn issuer(candidate: &Candidate, context: &Context) -> Option<String> {
    let is_auth = |other: &&Candidate| other.kind == Kind::Auth;
    let needed =
        |other: &&Candidate| candidate.keys.needs.iter().flatten().any(|need| need.value == other.table.name.value);
    let all = context.candidates;
    let own = all.iter().filter(is_auth).find(|other| other.table.name == candidate.table.name);
    let by_need = || all.iter().filter(is_auth).find(needed);
    let auth = own.or_else(by_need)?;
    auth.hosts.first().map(|(host, _)| context.setting.origin(host))
}

fn database_url(name: &str, context: &Context, problems: &mut Vec<Problem>) -> Value {
    let setting = context.setting;
    let Some(template) = &setting.database else {
        let file: PathBuf = setting.data.join("data").join(format!("{name}.db"));
        return Value::text(format!("sqlite://{}", absolute(&file).display()));
    };
    if !template.value.contains("{database}") {
        let problem = Problem::error(template.span.clone(), "the database URL does not say where its name stands");
        problems.push(problem.help(
            "write {database} in it, such as \"postgres://mana:${secret.POSTGRES_PASSWORD}@127.0.0.1/{database}\"",
        ));
    }
    let named = Spanned { value: template.value.replace("{database}", name), span: template.span.clone() };
    Value(filled(&named, context, problems).unwrap_or_default())
}

/// SQLite's URL needs a whole path; a manifest given by a relative one is taken from the current folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What goes into production goes through staging first, where the manifest has one and the service is there.
fn through_staging(candidate: &Candidate, context: &Context) -> bool {
    let exists = candidate.table.environments.as_ref();
    context.setting.environment == Environment::Production
        && context.document.environments.contains_key(&Environment::Staging)
        && exists.is_none_or(|all| all.iter().any(|name| name.value == Environment::Staging.as_str()))
        && candidate.keys.rollout.staging.as_ref().is_none_or(|through| through.value)
}

/// A text with its references filled in; what is wrong with them is reported.
pub(super) fn filled(text: &Text, context: &Context, problems: &mut Vec<Problem>) -> Option<Vec<Part>> {
    let mut specific: Option<Problem> = None;
    let parts = interpolate::fill(&text.value, |reference| match reference {
        Reference::Environment => Ok(Part::Text(context.setting.environment.as_str().to_owned())),
        Reference::Domain => Ok(Part::Text(context.setting.domain.clone())),
        Reference::Secret(name) => match secrets::unknown(name, text.span.clone(), context) {
            None => Ok(Part::Secret(name.to_owned())),
            Some(problem) => {
                specific = Some(problem);
                Err(String::new())
            }
        },
        Reference::Url(name) => address(
            name,
            context,
            |other| other.internal.map(|address| format!("http://{address}")),
            "an internal address",
        ),
        Reference::PublicUrl(name) => address(
            name,
            context,
            |other| other.hosts.first().map(|(host, _)| context.setting.origin(host)),
            "a public host",
        ),
    });
    match parts {
        Ok(parts) => Some(parts),
        Err(message) => {
            problems
                .push(specific.unwrap_or_else(|| Problem::error(text.span.clone(), message).help(interpolate::KNOWN)));
            None
        }
    }
}

fn address(
    name: &str,
    context: &Context,
    of: impl Fn(&Candidate) -> Option<String>,
    what: &str,
) -> Result<Part, String> {
    let other = context.candidates.iter().find(|other| other.table.name.value == name);
    let environment = context.setting.environment.as_str();
    let other = other.ok_or_else(|| format!("there is no service \"{name}\" in {environment}"))?;
    of(other).map(Part::Text).ok_or_else(|| format!("{name} has not {what}"))
}
