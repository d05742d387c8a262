//! What a service needs: other services, and what nobody here runs.

use super::Candidate;
use super::service::Context;
use crate::document::DependencyTable;
use crate::problem::Problem;

/// The services that have to be there before it starts.
pub(super) fn services(candidate: &Candidate, context: &Context, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut needs = Vec::new();
    for need in candidate.keys.needs.iter().flatten() {
        let known = context.document.services.iter().find(|table| table.name.value == need.value);
        let here = context.candidates.iter().find(|other| other.table.name.value == need.value);
        match (known, here) {
            // What nobody here runs is not waited for.
            (None, _) if declared(context, &need.value).is_some() => {}
            (None, _) => {
                let all = context.document.services.iter().map(|table| table.name.value.as_str());
                let problem = Problem::error(need.span.clone(), format!("there is no service \"{}\"", need.value));
                problems.push(problem.suggest(&need.value, all, "correct the name, or add the service"));
            }
            (Some(_), Some(other)) if other.keys.folder.is_some() && other.keys.command.is_none() => {
                let problem = Problem::error(
                    need.span.clone(),
                    format!("{} is a folder: there is nothing to wait for", need.value),
                );
                problems.push(problem.help("take it out of `needs`; ${services.NAME.public_url} gives its address"));
            }
            // What does not exist in this environment is not waited for here.
            (Some(_), None) => {}
            (Some(_), Some(_)) => {
                if !needs.contains(&need.value) {
                    needs.push(need.value.clone());
                }
            }
        }
    }
    needs
}

/// What it needs and nobody here runs, in this environment.
pub(super) fn outside(candidate: &Candidate, context: &Context) -> Vec<String> {
    let here = |name: &str| {
        let table = declared(context, name)?;
        super::exists_in(table.environments.as_deref(), context.setting.environment).then(|| name.to_owned())
    };
    let mut outside: Vec<String> = candidate.keys.needs.iter().flatten().filter_map(|need| here(&need.value)).collect();
    outside.sort_unstable();
    outside.dedup();
    outside
}

fn declared<'a>(context: &'a Context, name: &str) -> Option<&'a DependencyTable> {
    context.document.dependencies.iter().find(|(known, _)| known.value == name).map(|(_, table)| table)
}
