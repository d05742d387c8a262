//! Which log files are meant.

use std::io;
use std::path::{Path, PathBuf};

use mana_control::{logs, paths};

use super::unreadable;
use crate::context::Context;
use crate::failure::Failure;

/// One log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The service.
    pub(super) service: String,
    /// What its lines are prefixed with: the service, and the instance's number where there are several.
    pub(super) label: String,
    /// The file.
    pub(super) path: PathBuf,
    /// Which colour its label has: a running number.
    pub(super) colour: usize,
}

/// The logs of these services, of all where none is named.
pub(super) fn find(data: &Path, services: &[String], context: &Context) -> Result<Vec<Source>, Failure> {
    if services.is_empty() {
        return list(data, &usual(data).map_err(unreadable(&paths::logs(data)))?);
    }
    let written = logs::written(data).map_err(unreadable(&paths::logs(data)))?;
    for service in services {
        if written.contains(service) || ["edge", logs::CONTROL, logs::ACCESS].contains(&service.as_str()) {
            continue;
        }
        // Something that never ran has no log; only the manifest knows whether it exists at all.
        let planned: Vec<String> = match context.plan() {
            Ok(plan) => plan.services.iter().map(|service| service.name.clone()).collect(),
            Err(_) => Vec::new(),
        };
        if !planned.contains(service) {
            let mut known: Vec<&str> =
                planned.iter().chain(&written).map(String::as_str).chain([logs::CONTROL, logs::ACCESS]).collect();
            known.sort_unstable();
            known.dedup();
            return Err(Failure::unknown("service", service, known));
        }
    }
    list(data, services)
}

/// The files of these services, numbered where one has several.
pub(super) fn list(data: &Path, services: &[String]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for service in services {
        let files = logs::files(data, service).map_err(unreadable(&paths::logs(data)))?;
        for (number, path) in (1..).zip(&files) {
            let label = if files.len() > 1 { format!("{service}.{number}") } else { service.clone() };
            sources.push(Source { service: service.clone(), label, path: path.clone(), colour: sources.len() });
        }
    }
    Ok(sources)
}

/// Names of the logs that are meant where none is named: spans are shown with their request.
pub(super) fn usual(data: &Path) -> io::Result<Vec<String>> {
    let mut names = logs::written(data)?;
    names.retain(|name| name != logs::SPANS);
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_stands_once_and_its_instances_are_numbered() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let logs = paths::logs(folder.path());
        std::fs::create_dir(&logs).expect("made");
        for name in [
            "1-a.log",
            "2-a.log",
            "10-a.log",
            "1-a.log.1",
            "1-b-c.log",
            "1-spans.log",
            "control.log",
            "notes.txt",
            "x-y.log",
        ] {
            std::fs::write(logs.join(name), "").expect("written");
        }
        let names = usual(folder.path()).expect("readable");
        assert_eq!(names, ["a", "b-c", "control"]);
        let sources = list(folder.path(), &names).expect("readable");
        let labels: Vec<&str> = sources.iter().map(|source| source.label.as_str()).collect();
        assert_eq!(labels, ["a.1", "a.2", "a.3", "b-c", "control"]);
        assert!(sources[2].path.ends_with("10-a.log"));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_empty() {
        assert_eq!(usual(Path::new("/nowhere/at/all")).expect("no error"), Vec::<String>::new());
    }
}
