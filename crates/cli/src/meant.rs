//! Services by their own name, or by that of their project.

use mana_control::api::Status;

use crate::failure::Failure;

/// The service of that name; else all services of the project of that name, in the order of their starts.
pub(crate) fn services(name: &str, status: &Status) -> Result<Vec<String>, Failure> {
    let all = &status.services;
    if all.iter().any(|service| service.name == name) {
        return Ok(vec![name.to_owned()]);
    }
    let of_project = all.iter().filter(|service| service.project == name);
    let found: Vec<String> = of_project.map(|service| service.name.clone()).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known = all.iter().flat_map(|service| [service.name.as_str(), service.project.as_str()]);
    Failure::unless_known("service or project", name, known.filter(|name| !name.is_empty())).map(|()| Vec::new())
}
