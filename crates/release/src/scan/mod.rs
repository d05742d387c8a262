//! Known vulnerabilities in what a release is built of, and secrets that got into it.
//!
//! | module | what it is |
//! |---|---|
//! | [`advisory`] | what is known about a package, whatever format it came in |
//! | `advisories` | folders of advisories: OSV, RustSec |
//! | [`severity`] | how bad one is |
//! | [`secrets`] | patterns and values that must not be in an artefact |
//! | [`report`] | what was found, and whether it stops the release. Pure |
//!
//! What stops: HIGH and above, vulnerabilities of unknown severity, secrets, and no current database to ask. What does not: lower
//! ones, notices that nobody maintains a package, and findings that the manifest accepts until their day.

mod advisories;
pub mod advisory;
pub mod refresh;
pub mod report;
pub mod secrets;
pub mod severity;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::clock;
use crate::record::Release;
use crate::sbom;
use crate::store::{Store, StoreError};
use advisories::ReadError;
use report::{Accepted, Database, Finding, Kind, Report};
use secrets::SecretsError;
use severity::Severity;

/// What a scan goes by.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Folders of advisories; `None`: nobody has said whether there are any.
    pub advisories: Option<Vec<PathBuf>>,
    /// Whether a release may pass although nobody has said.
    pub silence_passes: bool,
    /// Oldest that the newest advisory may be.
    pub max_age: Duration,
    /// Findings that the manifest accepts.
    pub accepted: Vec<Accepted>,
    /// Secrets of the environment, by name: none of them may be in the artefact.
    pub secrets: Vec<(String, SecretString)>,
}

/// Why a scan could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The release cannot be read, or is not what it was.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Advisories cannot be read.
    #[error(transparent)]
    Advisories(#[from] ReadError),
    /// The artefact cannot be read.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The bill of materials cannot be understood.
    #[error("the bill of materials of {release} cannot be used: {what}")]
    Bill {
        /// Its id.
        release: String,
        /// Why.
        what: String,
    },
    /// The report cannot be written or read.
    #[error("the report of the scan cannot be used")]
    Report(#[source] serde_json::Error),
}

/// Scans a release and writes down what was found, in place of what the last scan did. It blocks: a large artefact is read as a
/// whole.
///
/// # Errors
/// Where something cannot be read. Findings are no error.
pub fn scan(store: &Store, release: &Release, policy: &Policy) -> Result<Report, ScanError> {
    store.verify(release)?;
    let now = clock::now();
    let mut findings = Vec::new();
    let database = dependencies(store, release, policy, now, &mut findings)?;
    let found = secrets::search(&store.root(&release.digest), &policy.secrets)?;
    findings.extend(found.iter().map(Finding::of_secret));
    let report = Report::new(&release.service, &release.id(), now, database, findings, &policy.accepted);
    let json = serde_json::to_string_pretty(&report).map_err(ScanError::Report)?;
    store.set_scan(release, &format!("{json}\n"))?;
    Ok(report)
}

/// What the last scan found; `None`: there was none.
///
/// # Errors
/// Where it cannot be read.
pub fn last(store: &Store, release: &Release) -> Result<Option<Report>, ScanError> {
    let text = store.scan(release)?;
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(ScanError::Report)
}

fn dependencies(
    store: &Store,
    release: &Release,
    policy: &Policy,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> Result<Option<Database>, ScanError> {
    // What names no packages has none to look up.
    let Some(bill) = store.sbom(release)? else { return Ok(None) };
    let packages = sbom::packages(&bill).map_err(|what| ScanError::Bill { release: release.id(), what })?;
    let folders = match &policy.advisories {
        Some(folders) if !folders.is_empty() => folders,
        said => {
            let passes = said.is_some() || policy.silence_passes;
            findings.push(no_database(packages.len(), passes));
            return Ok(None);
        }
    };
    let names: BTreeSet<_> = packages.iter().map(|package| (package.ecosystem, package.name.clone())).collect();
    let mut read = advisories::read(folders, &names, now)?;
    advisory::borrow_severities(&mut read.advisories);
    let database = Database::new(&read, folders, policy.max_age, now);
    findings.extend(database.complaints());
    for package in &packages {
        let about = read.advisories.iter().filter(|advisory| advisory.affects(package));
        findings.extend(about.map(|advisory| Finding::of_advisory(advisory, package)));
    }
    Ok(Some(database))
}

fn no_database(packages: usize, passes: bool) -> Finding {
    Finding {
        id: "no-advisories".into(),
        aliases: Vec::new(),
        kind: Kind::Database,
        severity: if passes { Severity::Low } else { Severity::High },
        what: format!(
            "there are no advisories to look {} up in",
            if packages == 1 { "its one package".to_owned() } else { format!("its {packages} packages") }
        ),
        help: "name folders with `advisories` in [releases]: OSV (JSON) or RustSec's advisory-db; [] if it is meant so"
            .into(),
        accepted: None,
        stops: false,
    }
}
