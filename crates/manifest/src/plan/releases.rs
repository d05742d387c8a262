//! How releases are made and kept. All paths but those of advisories are relative to the manifest's folder, since a build
//! runs in a checkout of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::as_millis;

/// How a release of a service is made of a commit. The same for every environment: what passed staging goes to production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
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
    /// Lock files that say what it depends on; `None`: those that lie in the manifest's folder.
    pub lockfiles: Option<Vec<String>>,
    /// The package of `Cargo.lock` it is built of; `None`: the one called as its program, else all.
    pub package: Option<String>,
    /// Processors; `None`: all.
    pub cpu: Option<u16>,
    /// Memory; `None`: three quarters of the machine's.
    pub memory_bytes: Option<u64>,
    /// Longest time for the command.
    #[serde(serialize_with = "as_millis")]
    pub timeout: Duration,
    /// Longest time for each check.
    #[serde(serialize_with = "as_millis")]
    pub check_timeout: Duration,
}

/// How long releases are kept, and what stops one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Releases {
    /// How many of each service, beside those in use.
    pub keep: u16,
    /// Folders of known vulnerabilities, absolute. `None`: nobody has said; empty: said to be none.
    pub advisories: Option<Vec<PathBuf>>,
    /// Those of them that are git repositories, with the folder of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<(String, PathBuf)>,
    /// Oldest that the newest of them may be.
    #[serde(serialize_with = "as_millis")]
    pub advisories_max_age: Duration,
    /// Findings that stop nothing for a while.
    pub accepted: Vec<Accepted>,
}

/// A finding that stops nothing for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The finding's id.
    pub id: String,
    /// Why it does no harm here.
    pub reason: String,
    /// Last day on which it counts, `2026-12-31`.
    pub until: String,
    /// Services it counts for; empty: all.
    pub services: Vec<String>,
}
