//! The smoke tests of a service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Candidate;
use super::service::{Context, filled};
use crate::document::{SmokeTable, Text};
use crate::plan::{Smoke, Value};
use crate::problem::Problem;

const DEFAULT_WITHIN: Duration = Duration::from_secs(10);
/// Longer than this is no smoke test.
const MAX_WITHIN: Duration = Duration::from_mins(5);
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// What is another word in each run.
const UNIQUE: &str = "unique";

pub(super) fn resolve(candidate: &Candidate, context: &Context, problems: &mut Vec<Problem>) -> Vec<Smoke> {
    let mut saved = BTreeSet::from([UNIQUE.to_owned()]);
    let tests = candidate.table.smoke.iter().map(|table| {
        let test = test(table, candidate, context, problems);
        for (name, _) in &table.save {
            if !saved.insert(name.value.clone()) {
                let problem = Problem::error(name.span.clone(), format!("{} has a value already", name.value));
                problems.push(problem.help("give it another name"));
            }
        }
        test
    });
    tests.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn test(table: &SmokeTable, candidate: &Candidate, context: &Context, problems: &mut Vec<Problem>) -> Option<Smoke> {
    let own = &candidate.table.name.value;
    let service = table.service.as_ref().map_or_else(|| own.clone(), |service| service.value.clone());
    if let Some(said) = &table.service
        && !context.candidates.iter().any(|other| other.table.name.value == said.value)
    {
        // What does not exist in this environment cannot be asked there.
        if context.document.services.iter().any(|other| other.name.value == said.value) {
            return None;
        }
        let known = context.document.services.iter().map(|other| other.name.value.as_str());
        let problem = Problem::error(said.span.clone(), format!("there is no service \"{}\"", said.value));
        problems.push(problem.suggest(&said.value, known, "correct the name"));
    }
    let (method, path) = request(table, problems)?;
    let within = table.within.as_ref().map_or(DEFAULT_WITHIN, |within| within.value);
    if within.is_zero() || within > MAX_WITHIN {
        let span = table.within.as_ref().and_then(|within| within.span.clone());
        problems.push(
            Problem::error(span, "within is not between 1ms and 5 minutes").help("write a duration such as \"2s\""),
        );
    }
    let plain = |pairs: &[(Text, Text)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| (name.value.clone(), text.value.clone())).collect()
    };
    let mut value = |text: &Text| filled(text, context, problems).map(Value);
    let send = table.send.iter().filter_map(|(name, text)| Some((name.value.clone(), value(text)?))).collect();
    let body = table.body.as_ref().and_then(&mut value);
    Some(Smoke {
        name: table.name.value.clone(),
        service,
        method,
        path,
        send,
        body,
        status: table.status.as_ref().and_then(|status| u16::try_from(status.value).ok()).unwrap_or(200),
        headers: plain(&table.headers),
        json: plain(&table.json),
        within,
        save: plain(&table.save),
    })
}

/// `GET /api/health`.
fn request(table: &SmokeTable, problems: &mut Vec<Problem>) -> Option<(String, String)> {
    let said = table.request.as_ref();
    let parts = said.and_then(|request| request.value.split_once(' '));
    let good = parts.filter(|(method, path)| METHODS.contains(method) && path.starts_with('/') && !path.contains(' '));
    if good.is_none() {
        let (span, message) = match said {
            Some(request) => (request.span.clone(), format!("\"{}\" is no request", request.value)),
            None => (table.name.span.clone(), format!("smoke test {} asks nothing", table.name.value)),
        };
        let help = format!("write request = \"GET /path\"; methods are {}", METHODS.join(", "));
        problems.push(Problem::error(span, message).help(help));
    }
    good.map(|(method, path)| (method.to_owned(), path.to_owned()))
}
