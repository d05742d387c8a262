//! The page that tells everybody how things are.

use super::exists_in;
use super::service::Context;
use crate::document::StatusTable;
use crate::names;
use crate::plan::{Environment, Service, StatusPage};
use crate::problem::Problem;

const LABEL: &str = "status";

/// That of this environment. Who writes a service of that host has one of their own.
pub(super) fn page(context: &Context, services: &[Service], problems: &mut Vec<Problem>) -> Option<StatusPage> {
    let (document, setting) = (context.document, context.setting);
    let none = StatusTable::default();
    let said = document.status.as_ref();
    let table = said.unwrap_or(&none);
    let wanted = match said {
        Some(table) => exists_in(table.environments.as_deref(), setting.environment),
        None => setting.environment == Environment::Development,
    };
    if !wanted {
        return None;
    }
    let prefix = if setting.environment == Environment::Staging { "staging-" } else { "" };
    let label = table.host.as_ref().map_or(LABEL, |host| host.value.as_str());
    let host = if label.contains('.') { label.to_owned() } else { format!("{prefix}{label}.{}", setting.domain) };
    if !names::is_host(&host) && names::is_host(&setting.domain) {
        let span = table.host.as_ref().and_then(|host| host.span.clone());
        let problem = Problem::error(span, format!("\"{host}\" is no host name"));
        problems.push(problem.help("write host = \"…\" with a shorter name"));
    }
    let taken = context.candidates.iter().find(|other| other.hosts.iter().any(|(other, _)| *other == host));
    if let Some(other) = taken {
        // Where nobody asked for this host, the service keeps it.
        let asked = table.host.as_ref()?;
        let name = &other.table.name.value;
        let problem = Problem::error(asked.span.clone(), format!("host \"{host}\" belongs to {name} already"));
        problems.push(problem.help("give the status page another one"));
    }
    for name in table.services.iter().flatten() {
        let known = document.services.iter().map(|table| table.name.value.as_str());
        if !known.clone().any(|known| known == name.value) {
            let problem = Problem::error(name.span.clone(), format!("there is no service \"{}\"", name.value));
            problems.push(problem.suggest(&name.value, known, "correct the name"));
        }
    }
    let shows = |service: &&Service| match &table.services {
        Some(named) => named.iter().any(|name| name.value == service.name),
        None => !service.hosts.is_empty(),
    };
    let title = table.title.as_ref().or(document.name.as_ref()).map(|title| title.value.clone()).unwrap_or_default();
    Some(StatusPage {
        url: setting.origin(&host),
        host,
        title,
        about: table.about.as_ref().map(|about| about.value.clone()),
        services: services.iter().filter(shows).map(|service| service.name.clone()).collect(),
    })
}
