//! What a scan found, and whether it stops the release.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::advisories::Read;
use super::advisory::Advisory;
use super::secrets::Found;
use super::severity::Severity;
use crate::job;
use crate::sbom::Package;

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Id of the release.
    pub release: String,
    /// When.
    pub at: Timestamp,
    /// Whether the release is stopped.
    pub stops: bool,
    /// Which advisories were asked; `None`: none.
    pub database: Option<Database>,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// What a person should know about the manifest's own words.
    pub warnings: Vec<String>,
}

/// The advisories that were asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Where they lie.
    pub folders: Vec<PathBuf>,
    /// How many there are.
    pub advisories: u64,
    /// When the newest one was changed, or the folder was fetched last.
    pub newest: Option<Timestamp>,
    /// How long that is ago.
    pub age_s: Option<u64>,
    /// How long it may be ago.
    pub max_age_s: u64,
    /// Advisories that cannot be understood.
    pub broken: u64,
    /// Some of them.
    pub broken_files: Vec<PathBuf>,
}

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A secret in a file.
    Secret,
    /// A package with a known vulnerability.
    Vulnerability,
    /// The advisories themselves are not what they should be.
    Database,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// By which it can be accepted.
    pub id: String,
    /// Other names of the same, by which it can be accepted too.
    pub aliases: Vec<String>,
    /// What kind of thing it is.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What it is. Never a secret.
    pub what: String,
    /// What to do about it.
    pub help: String,
    /// Why it is accepted, where it is.
    pub accepted: Option<String>,
    /// Whether it stops the release.
    pub stops: bool,
}

/// A finding that the manifest accepts for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The finding's id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Last day on which it counts, `2026-12-31`.
    pub until: String,
    /// Services it counts for; empty: all.
    pub services: Vec<String>,
}

impl Report {
    /// Judges what was found by what is accepted on that day.
    pub fn new(
        service: &str,
        release: &str,
        at: Timestamp,
        database: Option<Database>,
        mut findings: Vec<Finding>,
        accepted: &[Accepted],
    ) -> Self {
        let today = at.to_zoned_datetime(TimeZone::UTC).date().to_string();
        let here = |one: &&Accepted| one.services.is_empty() || one.services.iter().any(|name| name == service);
        let mut warnings = Vec::new();
        for one in accepted.iter().filter(here) {
            let matching =
                findings.iter_mut().filter(|finding| finding.id == one.id || finding.aliases.contains(&one.id));
            let mut matches = 0;
            for finding in matching {
                matches += 1;
                // Days as texts are in the order of the days.
                if one.until >= today {
                    finding.accepted = Some(format!("{} (until {})", one.reason, one.until));
                }
            }
            if matches == 0 {
                warnings.push(format!("{} is accepted and was not found in {service}: remove it", one.id));
            } else if one.until < today {
                warnings.push(format!("{} was accepted until {} and counts again", one.id, one.until));
            }
        }
        for finding in &mut findings {
            finding.stops = finding.accepted.is_none() && finding.severity >= Severity::STOPS;
        }
        findings.sort_by(|one, other| {
            let key = |finding: &Finding| (finding.stops, finding.severity);
            key(other)
                .cmp(&key(one))
                .then_with(|| (one.kind, &one.id, &one.what).cmp(&(other.kind, &other.id, &other.what)))
        });
        findings.dedup();
        let stops = findings.iter().any(|finding| finding.stops);
        Self { release: release.to_owned(), at, stops, database, findings, warnings }
    }
}

impl Database {
    pub(super) fn new(read: &Read, folders: &[PathBuf], max_age: Duration, now: Timestamp) -> Self {
        let age = read.newest.map(|newest| Duration::try_from(now.duration_since(newest)).unwrap_or(Duration::ZERO));
        Self {
            folders: folders.to_owned(),
            advisories: read.count,
            newest: read.newest,
            age_s: age.map(|age| age.as_secs()),
            max_age_s: max_age.as_secs(),
            broken: read.broken,
            broken_files: read.broken_files.clone(),
        }
    }

    /// What is wrong with it.
    pub(super) fn complaints(&self) -> Vec<Finding> {
        let finding = |id: &str, severity, what: String, help: &str| Finding {
            id: id.to_owned(),
            aliases: Vec::new(),
            kind: Kind::Database,
            severity,
            what,
            help: help.to_owned(),
            accepted: None,
            stops: false,
        };
        let mut complaints = Vec::new();
        let folders = self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
        if self.advisories == 0 {
            let help = "put OSV's JSON files or a checkout of RustSec's advisory-db there";
            complaints.push(finding(
                "empty-advisories",
                Severity::High,
                format!("there are no advisories in {folders}"),
                help,
            ));
        } else if self.age_s.is_none_or(|age| age > self.max_age_s) {
            let age = self.age_s.map_or("of unknown age".to_owned(), |age| format!("{} old", days(age)));
            let what = format!("the newest advisory is {age}; at most {} are allowed", days(self.max_age_s));
            let help = "bring them up to date, or accept this for as long as there is no network";
            complaints.push(finding("old-advisories", Severity::High, what, help));
        }
        if self.broken > 0 {
            let files = self.broken_files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
            let what = format!("{} advisories cannot be understood: {files}", self.broken);
            complaints.push(finding(
                "broken-advisories",
                Severity::Medium,
                what,
                "fetch them again; what they say is not known",
            ));
        }
        complaints
    }
}

fn days(seconds: u64) -> String {
    const DAY: u64 = 24 * 3600;
    if seconds < 2 * DAY { job::duration(Duration::from_secs(seconds)) } else { format!("{} days", seconds / DAY) }
}

impl Finding {
    pub(super) fn of_advisory(advisory: &Advisory, package: &Package) -> Self {
        let fixed = advisory.fixed();
        let help = if fixed.is_empty() {
            "there is no version without it: replace the package, or accept it with a reason".to_owned()
        } else {
            format!("put right in {}", fixed.join(", "))
        };
        Self {
            id: advisory.id.clone(),
            aliases: advisory.aliases.clone(),
            kind: Kind::Vulnerability,
            severity: advisory.severity,
            what: format!("{} {}: {}", package.name, package.version, advisory.title),
            help,
            accepted: None,
            stops: false,
        }
    }

    pub(super) fn of_secret(found: &Found) -> Self {
        Self {
            id: format!("secret:{}:{}", found.what.replace(' ', "-"), found.path.replace(char::is_whitespace, "%20")),
            aliases: Vec::new(),
            kind: Kind::Secret,
            severity: Severity::Critical,
            what: format!("{} in {}, at byte {}", found.what, found.path, found.offset),
            help: "take it out, and replace it where it is used: whoever has the artefact has it".into(),
            accepted: None,
            stops: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finding(id: &str, severity: Severity) -> Finding {
        Finding {
            id: id.into(),
            aliases: vec![format!("alias-{id}")],
            kind: Kind::Vulnerability,
            severity,
            what: String::new(),
            help: String::new(),
            accepted: None,
            stops: false,
        }
    }

    fn accepted(id: &str, until: &str, services: &[&str]) -> Accepted {
        let services = services.iter().map(|&name| name.to_owned()).collect();
        Accepted { id: id.into(), reason: "why".into(), until: until.into(), services }
    }

    fn report(findings: &[Finding], accepted: &[Accepted]) -> Report {
        let at = "2026-05-10T23:59:59Z".parse().expect("a time");
        Report::new("shop", "v1+a", at, None, findings.to_vec(), accepted)
    }

    #[test]
    fn high_and_above_stops_unless_accepted_today() {
        use Severity::{Critical, High, Low, Medium, Notice, Unknown};
        for (severity, stops) in
            [(Notice, false), (Low, false), (Medium, false), (High, true), (Unknown, true), (Critical, true)]
        {
            assert_eq!(report(&[finding("a", severity)], &[]).stops, stops, "{severity}");
        }
        let high = [finding("a", High)];
        for (one, stops, warning) in [
            (accepted("a", "2026-05-10", &[]), false, None),
            (accepted("alias-a", "2027-01-01", &["shop"]), false, None),
            (accepted("a", "2026-05-09", &[]), true, Some("counts again")),
            (accepted("a", "2027-01-01", &["other"]), true, None),
            (accepted("b", "2027-01-01", &[]), true, Some("was not found in shop")),
        ] {
            let report = report(&high, std::slice::from_ref(&one));
            assert_eq!(report.stops, stops, "{one:?}");
            assert_eq!(report.warnings.len(), usize::from(warning.is_some()), "{one:?}");
            assert!(warning.is_none_or(|warning| report.warnings[0].contains(warning)), "{report:?}");
        }
    }

    #[test]
    fn an_old_or_empty_database_stops() {
        let now: Timestamp = "2026-05-10T00:00:00Z".parse().expect("a time");
        let check = |count, newest: Option<&str>, expected: Option<&str>| {
            let newest = newest.map(|newest| newest.parse().expect("a time"));
            let read = Read { count, newest, ..Read::default() };
            let database = Database::new(&read, &["/db".into()], Duration::from_hours(7 * 24), now);
            let complaints = database.complaints();
            assert_eq!(complaints.first().map(|finding| finding.id.as_str()), expected, "{database:?}");
        };
        check(5, Some("2026-05-03T00:00:00Z"), None);
        check(5, Some("2026-05-02T23:59:59Z"), Some("old-advisories"));
        check(5, None, Some("old-advisories"));
        check(0, None, Some("empty-advisories"));
    }

    proptest! {
        #[test]
        fn it_stops_exactly_when_a_finding_does(severities in prop::collection::vec(0..6_usize, 0..6), taken in 0..6_usize) {
            use Severity::{Critical, High, Low, Medium, Notice, Unknown};
            let all = [Notice, Low, Medium, High, Unknown, Critical];
            let findings: Vec<Finding> =
                severities.iter().enumerate().map(|(index, severity)| finding(&index.to_string(), all[*severity])).collect();
            let report = report(&findings, &[accepted(&taken.to_string(), "2026-12-31", &[])]);
            let bad = findings.iter().any(|finding| finding.severity >= Severity::STOPS && finding.id != taken.to_string());
            prop_assert_eq!(report.stops, bad);
            prop_assert!(report.findings.is_sorted_by_key(|finding| std::cmp::Reverse(finding.stops)));
        }
    }
}
