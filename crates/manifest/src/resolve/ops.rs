//! What operators reach from elsewhere.

use super::service::{Context, filled};
use crate::document::EnvironmentTable;
use crate::names;
use crate::plan::{Environment, Ops, Server, Value};
use crate::problem::Problem;

const DEFAULT_HOST: &str = "ops.localhost";

/// The door of this environment.
pub(super) fn door(context: &Context, problems: &mut Vec<Problem>) -> Option<Ops> {
    let environment = context.setting.environment;
    let table = context.document.environments.get(&environment);
    let said = table.and_then(|table| table.ops.as_ref());
    let push_secret = table.and_then(|table| table.push_secret.as_ref());
    if let Some(secret) = push_secret.filter(|_| said.is_none() && environment != Environment::Development) {
        let problem = Problem::error(secret.span.clone(), "nobody can push to where there is no door");
        problems.push(problem.help("write ops = \"ops.example.com\": the host that pushes are sent to"));
    }
    let host = match said {
        Some(host) => host.value.clone(),
        None if environment == Environment::Development => DEFAULT_HOST.to_owned(),
        None => return None,
    };
    let taken = context.candidates.iter().find(|other| other.hosts.iter().any(|(other, _)| *other == host));
    if let Some(other) = taken {
        // Where nobody asked for the door, the service keeps its host.
        let said = said?;
        let name = &other.table.name.value;
        let problem = Problem::error(said.span.clone(), format!("host \"{host}\" belongs to {name} already"));
        problems.push(problem.help("give `ops` another one"));
    }
    let push_secret = push_secret.and_then(|secret| filled(secret, context, problems)).map(Value);
    Some(Ops { host, push_secret })
}

/// The door of the machine that staging runs on, as production sees it.
pub(super) fn staging_server(context: &Context, problems: &mut Vec<Problem>) -> Option<Server> {
    if context.setting.environment != Environment::Production {
        return None;
    }
    let EnvironmentTable { server, server_token, .. } = context.document.environments.get(&Environment::Staging)?;
    let url = server.as_ref()?;
    // A token must not go over an open wire; on the machine itself there is none.
    if !names::keeps_secrets(&url.value) {
        let problem = Problem::error(url.span.clone(), format!("staging's server is \"{}\"", url.value));
        problems.push(problem.help("write an https:// address, such as \"https://ops.staging.example.com\""));
    }
    let Some(token) = server_token else {
        let problem = Problem::error(url.span.clone(), "staging's server lets nobody in without a token");
        problems.push(problem.help("write server_token = \"${secret.STAGING_TOKEN}\", and declare that secret"));
        return None;
    };
    let token = filled(token, context, problems).map(Value)?;
    Some(Server { url: url.value.trim_end_matches('/').to_owned(), token })
}
