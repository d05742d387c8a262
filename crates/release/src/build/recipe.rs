//! How a release of a service is made.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::job::Limits;

/// How a release of a service is made. All paths are relative to the folder that the commands run in.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The service.
    pub service: String,
    /// Program and arguments; empty: the artefact lies in the commit itself.
    pub command: Vec<String>,
    /// Files and folders that are the release.
    pub artefact: Vec<String>,
    /// Folder of SQL files.
    pub migrations: Option<String>,
    /// What has to succeed before a deployment, by name.
    pub checks: BTreeMap<String, Vec<String>>,
    /// Environment variables of command and checks.
    pub env: BTreeMap<String, String>,
    /// Folders kept from one build to the next.
    pub cache: Vec<String>,
    /// Lock files; `None`: those in the folder.
    pub lockfiles: Option<Vec<String>>,
    /// Package of `Cargo.lock`; `None`: the one called as a file of the artefact or the service, else all.
    pub package: Option<String>,
    /// What command and checks may use.
    pub limits: Limits,
    /// Longest time for the command.
    pub timeout: Duration,
    /// Longest time for each check.
    pub check_timeout: Duration,
}
