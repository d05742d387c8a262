//! How releases are made and kept.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Candidate;
use crate::document::{BuildTable, Document, Spanned, Text};
use crate::plan::{Accepted, Build, Releases};
use crate::problem::Problem;

const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);
const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_mins(15);
/// Longest of these: whoever builds for longer than a day has another problem.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// No build gets along with less.
const MIN_MEMORY_BYTES: u64 = 16 << 20;
/// What Cargo and npm keep; a folder that is not there costs nothing.
const DEFAULT_CACHE: [&str; 2] = ["target", "node_modules"];
const DEFAULT_KEEP: u16 = 10;
/// RustSec and OSV are changed on most days; a week without a change is a refresh that fails.
const DEFAULT_MAX_AGE: Duration = Duration::from_hours(7 * 24);

/// How a release of a service is made; `None` where the manifest does not say and nothing follows from the rest.
pub(super) fn build(candidate: &Candidate, problems: &mut Vec<Problem>) -> Option<Build> {
    let none = BuildTable::default();
    let said = candidate.table.build.as_ref();
    // Without a word in the manifest, a folder below it is its own artefact; a program has to be built by something, and what lies
    // elsewhere is not this repository's.
    if said.is_none() && (candidate.keys.folder.is_none() || runs(candidate).is_none()) {
        return None;
    }
    let table = said.unwrap_or(&none);
    let values = |list: &[Text]| list.iter().map(|text| text.value.clone()).collect::<Vec<_>>();
    let artefact = artefact(candidate, table, problems);
    if let Some(memory) = table.memory.as_ref().filter(|memory| memory.value < MIN_MEMORY_BYTES) {
        let problem = Problem::error(memory.span.clone(), "nothing is built with so little memory");
        problems.push(problem.help("write at least \"16MiB\""));
    }
    let command = table.command.as_ref().map(|command| command.value.clone()).unwrap_or_default();
    Some(Build {
        command,
        artefact,
        migrations: table.migrations.as_ref().map(|folder| folder.value.clone()),
        checks: table.checks.iter().map(|(name, command)| (name.value.clone(), command.value.clone())).collect(),
        env: table.env.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect(),
        cache: table.cache.as_deref().map_or_else(|| DEFAULT_CACHE.map(str::to_owned).to_vec(), values),
        lockfiles: table.lockfiles.as_deref().map(values),
        package: table.package.as_ref().map(|package| package.value.clone()),
        cpu: table.cpu.as_ref().and_then(|cpu| u16::try_from(cpu.value).ok()),
        memory_bytes: table.memory.as_ref().map(|memory| memory.value),
        timeout: bounded("timeout", table.timeout.as_ref(), problems).unwrap_or(DEFAULT_TIMEOUT),
        check_timeout: bounded("check_timeout", table.check_timeout.as_ref(), problems)
            .unwrap_or(DEFAULT_CHECK_TIMEOUT),
    })
}

fn bounded(name: &str, timeout: Option<&Spanned<Duration>>, problems: &mut Vec<Problem>) -> Option<Duration> {
    let timeout = timeout?;
    if timeout.value < Duration::from_secs(1) || timeout.value > MAX_TIMEOUT {
        let problem = Problem::error(timeout.span.clone(), format!("{name} is not between a second and a day"));
        problems.push(problem.help("write a duration such as \"30m\""));
    }
    Some(timeout.value)
}

/// The files that are the release: said, or what runs.
fn artefact(candidate: &Candidate, table: &BuildTable, problems: &mut Vec<Problem>) -> Vec<String> {
    let name = &candidate.table.name.value;
    let runs = runs(candidate);
    let Some(said) = &table.artefact else {
        if runs.is_none() {
            let problem = Problem::error(
                table.span.clone().or_else(|| candidate.table.name.span.clone()),
                format!("what the artefact of {name} is cannot be told from its command"),
            );
            problems.push(problem.help("write artefact = [\"…\"]: the files and folders it runs from"));
        }
        return runs.map(|(path, _)| path).into_iter().collect();
    };
    if said.is_empty() {
        let problem = Problem::error(table.artefact_span.clone(), format!("the artefact of {name} holds nothing"));
        problems.push(problem.help("name the files and folders it runs from, or remove `artefact`"));
    }
    if let Some((path, span)) = runs
        && !said.is_empty()
        && !said.iter().any(|part| Path::new(&path).starts_with(&part.value))
    {
        let problem = Problem::error(span, format!("{path} is not in the artefact of {name}"));
        problems.push(problem.help(format!("add \"{path}\" to `artefact`: a release runs from its own files only")));
    }
    said.iter().map(|part| part.value.trim_end_matches('/').to_owned()).collect()
}

/// The program or folder, where it lies below the manifest's folder.
fn runs(candidate: &Candidate) -> Option<(String, Option<Range<usize>>)> {
    let keys = &candidate.keys;
    let (path, span) = match (&keys.command, &keys.folder) {
        (Some(command), _) if command.value[0].contains('/') => (&command.value[0], command.span.clone()),
        (None, Some(folder)) => (&folder.value, folder.span.clone()),
        _ => return None,
    };
    let path = path.strip_prefix("./").unwrap_or(path).trim_end_matches('/');
    crate::names::is_inside(path).then(|| (path.to_owned(), span))
}

/// What holds for the releases of all services.
pub(super) fn releases(document: &Document, root: &Path, data: &Path, problems: &mut Vec<Problem>) -> Releases {
    let table = &document.releases;
    let max_age = table.advisories_max_age.as_ref();
    if let Some(max_age) = max_age.filter(|max_age| max_age.value.is_zero()) {
        problems.push(
            Problem::error(max_age.span.clone(), "no database is that new").help("write a duration such as \"7d\""),
        );
    }
    let accepted = table.accepted.iter().map(|(id, finding)| {
        let mut missing = |name: &str, example: &str| {
            let problem = Problem::error(id.span.clone(), format!("{} is accepted without {name}", id.value));
            problems.push(problem.help(example.to_owned()));
            String::new()
        };
        let reason = finding.reason.as_ref().map(|reason| reason.value.clone());
        let reason = reason.unwrap_or_else(|| missing("a reason", "write reason = \"why it does no harm here\""));
        let until = finding.until.as_ref().map(|until| until.value.clone());
        let until = until.unwrap_or_else(|| missing("an end", "write until = \"2026-12-31\": the last day it counts"));
        let services = finding.services.iter().flatten();
        for service in services.clone() {
            let known = document.services.iter().map(|table| table.name.value.as_str());
            if !known.clone().any(|name| name == service.value) {
                let problem =
                    Problem::error(service.span.clone(), format!("there is no service \"{}\"", service.value));
                problems.push(problem.suggest(&service.value, known, "correct the name"));
            }
        }
        let services = services.map(|service| service.value.clone()).collect();
        Accepted { id: id.value.clone(), reason, until, services }
    });
    let accepted = accepted.collect();
    let fetched = |url: &str| data.join("advisories").join(folder_of(url));
    let place = |said: &Text| if is_url(&said.value) { fetched(&said.value) } else { root.join(&said.value) };
    let folders = |list: &Vec<Text>| list.iter().map(place).collect::<Vec<PathBuf>>();
    let urls = table.advisories.iter().flatten().filter(|said| is_url(&said.value));
    Releases {
        keep: table.keep.as_ref().and_then(|keep| u16::try_from(keep.value).ok()).unwrap_or(DEFAULT_KEEP),
        advisories: table.advisories.as_ref().map(folders),
        fetched: urls.map(|said| (said.value.clone(), place(said))).collect(),
        advisories_max_age: max_age.map_or(DEFAULT_MAX_AGE, |max_age| max_age.value),
        accepted,
    }
}

fn is_url(text: &str) -> bool {
    ["https://", "ssh://", "file://"].iter().any(|scheme| text.starts_with(scheme))
}

/// A name for it that is a folder's.
fn folder_of(url: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' };
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    rest.trim_matches('/').chars().map(plain).collect()
}
