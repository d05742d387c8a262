//! Which public hosts a service has.

use std::ops::Range;

use super::Setting;
use crate::document::{ServiceKeys, Text};
use crate::names;
use crate::plan::{Environment, Kind};
use crate::problem::Problem;

/// Its hosts with their places (none for a default). The first one is the main one.
pub(super) fn hosts(
    service: &Text,
    keys: &ServiceKeys,
    kind: Kind,
    project: &str,
    setting: &Setting,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Option<Range<usize>>)> {
    if keys.public.as_ref().is_some_and(|public| !public.value) {
        return Vec::new();
    }
    let prefix = if setting.environment == Environment::Staging { "staging-" } else { "" };
    let below = |label: &str| format!("{prefix}{label}.{}", setting.domain);
    let hosts = match &keys.hosts {
        // A name with a dot is a whole host name already.
        Some(given) => given
            .iter()
            .map(|host| {
                let whole = if host.value.contains('.') { host.value.clone() } else { below(&host.value) };
                (whole, host.span.clone())
            })
            .collect(),
        None => vec![(below(&label(kind, project)), None)],
    };
    for (host, span) in &hosts {
        if !names::is_host(host) && names::is_host(&setting.domain) {
            let span = span.clone().or_else(|| service.span.clone());
            let problem = Problem::error(span, format!("\"{host}\" is no host name"));
            problems
                .push(problem.help("write host = \"…\" with a shorter name: a label has at most 63 bytes, a host 253"));
        }
    }
    hosts
}

fn label(kind: Kind, project: &str) -> String {
    match kind {
        Kind::Auth => "auth".to_owned(),
        Kind::Status => "status".to_owned(),
        Kind::Backend => format!("api-{project}"),
        Kind::Web => format!("app-{project}"),
        Kind::Landing => project.to_owned(),
    }
}
