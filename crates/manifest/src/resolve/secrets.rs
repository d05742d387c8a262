//! The secrets of a service: those that it names, and those that its variables mention.

use std::ops::Range;

use super::Candidate;
use super::service::Context;
use crate::interpolate::{self, Reference};
use crate::plan::Part;
use crate::problem::Problem;

/// Those that it is given.
pub(super) fn of(candidate: &Candidate, context: &Context, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut secrets = Vec::new();
    for secret in candidate.keys.secrets.iter().flatten() {
        if let Some(problem) = unknown(&secret.value, secret.span.clone(), context) {
            problems.push(problem);
        } else if !secrets.contains(&secret.value) {
            secrets.push(secret.value.clone());
        }
    }
    // Secrets that reach a variable by way of `${secret.NAME}` are as necessary as those that are named.
    for (_, text) in &candidate.keys.env {
        let mentioned = interpolate::fill(&text.value, |reference| {
            Ok(if let Reference::Secret(name) = reference {
                Part::Secret(name.to_owned())
            } else {
                Part::Text(String::new())
            })
        });
        add_mentioned(&mut secrets, mentioned, context);
    }
    let templates = [
        candidate.keys.database.as_ref().and(context.setting.database.as_ref()),
        candidate.keys.cache.as_ref().filter(|cache| cache.value).and(context.setting.cache.as_ref()),
    ];
    for template in templates.into_iter().flatten() {
        let mentioned = interpolate::fill(&template.value, |reference| {
            Ok(if let Reference::Secret(name) = reference {
                Part::Secret(name.to_owned())
            } else {
                Part::Text(String::new())
            })
        });
        add_mentioned(&mut secrets, mentioned, context);
    }
    secrets
}

fn add_mentioned(secrets: &mut Vec<String>, parts: Result<Vec<Part>, String>, context: &Context) {
    for part in parts.into_iter().flatten() {
        if let Part::Secret(name) = part
            && context.secrets.contains_key(&name)
            && !secrets.contains(&name)
        {
            secrets.push(name);
        }
    }
}

/// What is wrong with a name, if anything.
pub(super) fn unknown(name: &str, span: Option<Range<usize>>, context: &Context) -> Option<Problem> {
    if context.secrets.contains_key(name) {
        return None;
    }
    let elsewhere = context.document.secrets.iter().any(|(secret, _)| secret.value == name);
    if elsewhere {
        let environment = context.setting.environment.as_str();
        let problem = Problem::error(span, format!("secret {name} does not exist in {environment}"));
        return Some(problem.help(format!(
            "add \"{environment}\" to its `environments`, or ask for it in [services.NAME.ENVIRONMENT] only"
        )));
    }
    let known = context.document.secrets.iter().map(|(secret, _)| secret.value.as_str());
    let problem = Problem::error(span, format!("there is no secret {name}"));
    let otherwise =
        format!("declare it: [secrets] {name} = {{ generate = 32 }} (generated), or {{}} (a person provides it)");
    let nearest = problem.suggest(name, known, &otherwise);
    Some(nearest)
}
