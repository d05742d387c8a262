//! What is watched beside the services, and who is told what was measured.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::exists_in;
use super::notifications::{Context, filled};
use crate::document::{DependencyTable, Document, Spanned, Text};
use crate::plan::{Dependency, Heartbeat, Part, RemoteWrite, Value, Watch};
use crate::problem::Problem;

/// A series of which there was nothing for five minutes has ended: a sample that was lost must not look like that.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_mins(2);
const INTERVAL: Duration = Duration::from_secs(10);
/// A turn ends before the next one.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(8);
const TIMEOUT: Duration = Duration::from_secs(5);
const BEATS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(1);
const BEAT: Duration = Duration::from_mins(1);

const SCHEMES: [&str; 7] = ["http", "https", "tcp", "postgres", "postgresql", "redis", "rediss"];
const HTTP: [&str; 2] = ["http", "https"];

/// Those of this environment.
pub(super) fn dependencies(document: &Document, context: &Context, problems: &mut Vec<Problem>) -> Vec<Dependency> {
    let here = |table: &DependencyTable| exists_in(table.environments.as_deref(), context.environment);
    document
        .dependencies
        .iter()
        .filter(|(_, table)| here(table))
        .filter_map(|(name, table)| {
            if document.services.iter().any(|service| service.name.value == name.value) {
                let message = format!("\"{}\" is a service already", name.value);
                problems.push(Problem::error(name.span.clone(), message).help("give the dependency another name"));
            }
            let of = format!("the dependency {}", name.value);
            let interval = within(table.interval.as_ref(), &INTERVALS, INTERVAL, "10s to 2m", problems);
            let timeout = within(table.timeout.as_ref(), &TIMEOUTS, TIMEOUT, "100ms to 8s", problems);
            let url = address(table.url.as_ref(), (name, &of), &SCHEMES, context, problems)?;
            let status = table.status.as_ref().and_then(|status| u16::try_from(status.value).ok());
            Some(Dependency { name: name.value.clone(), url, status, interval, timeout })
        })
        .collect()
}

/// What is told elsewhere in this environment.
pub(super) fn watch(document: &Document, context: &Context, problems: &mut Vec<Problem>) -> Watch {
    let Some((at, table)) = &document.watch else { return Watch::default() };
    if !exists_in(table.environments.as_deref(), context.environment) {
        return Watch::default();
    }
    let remote_write = table.remote_write.as_ref().and_then(|table| {
        let url = address(table.url.as_ref(), (at, "remote_write"), &HTTP, context, problems)?;
        let headers = table
            .headers
            .iter()
            .filter_map(|(name, text)| Some((name.value.clone(), filled(text, context, problems)?)))
            .collect();
        Some(RemoteWrite { url, headers })
    });
    let heartbeat = table.heartbeat.as_ref().and_then(|table| {
        let url = address(table.url.as_ref(), (at, "the heartbeat"), &HTTP, context, problems)?;
        Some(Heartbeat { url, every: within(table.every.as_ref(), &BEATS, BEAT, "10s to 1h", problems) })
    });
    Watch { remote_write, heartbeat }
}

fn within(
    said: Option<&Spanned<Duration>>,
    bounds: &RangeInclusive<Duration>,
    absent: Duration,
    allowed: &str,
    problems: &mut Vec<Problem>,
) -> Duration {
    let Some(said) = said else { return absent };
    if !bounds.contains(&said.value) {
        let problem = Problem::error(said.span.clone(), format!("{:?} is not possible here", said.value));
        problems.push(problem.help(format!("write {allowed}")));
    }
    said.value
}

fn address(
    said: Option<&Text>,
    (place, of): (&Text, &str),
    schemes: &[&str],
    context: &Context,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    let allowed = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ");
    let Some(text) = said else {
        let problem = Problem::error(place.span.clone(), format!("url of {of} is missing"));
        problems.push(problem.help(format!("write url = \"…\" with an address that begins with {allowed}")));
        return None;
    };
    let url = filled(text, context, problems)?;
    // What begins with a secret shows only when it is asked.
    if let Some(Part::Text(start)) = url.0.first() {
        let scheme = start.split_once("://").filter(|(scheme, _)| schemes.contains(scheme));
        let only_text = url.0.len() == 1;
        let without_port = |rest: &str| {
            only_text
                && rest.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        };
        let help = match scheme {
            Some(("tcp", rest)) if without_port(rest) => {
                "write its host and port, such as tcp://db.example.com:3306".to_owned()
            }
            Some((_, rest)) if !rest.is_empty() || !only_text => return Some(url),
            _ => format!("write an address that begins with {allowed}"),
        };
        problems.push(Problem::error(text.span.clone(), format!("url of {of} is \"{}\"", url.redacted())).help(help));
        return None;
    }
    Some(url)
}
