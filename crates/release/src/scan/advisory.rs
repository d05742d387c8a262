//! What is known about a package, whatever format it came in; and whether a version is concerned.

use jiff::Timestamp;
use semver::{Version, VersionReq};

use super::severity::Severity;
use crate::sbom::{Ecosystem, Package};

/// A known vulnerability of a package.
#[derive(Debug, Clone, PartialEq)]
pub struct Advisory {
    /// `RUSTSEC-2024-0001`, `GHSA-…`.
    pub id: String,
    /// Other names of the same.
    pub aliases: Vec<String>,
    /// Where the package comes from.
    pub ecosystem: Ecosystem,
    /// Its name there.
    pub package: String,
    /// One line.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// Which versions are concerned.
    pub affected: Affected,
    /// When it was changed last.
    pub modified: Option<Timestamp>,
}

/// Which versions are concerned.
#[derive(Debug, Clone, PartialEq)]
pub enum Affected {
    /// Those of the ranges, and those that are named.
    Ranges(Vec<Range>, Vec<String>),
    /// All that none of these matches (RustSec).
    AllBut(Vec<VersionReq>),
    /// It cannot be told: all.
    All,
}

/// Versions between events, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range(pub Vec<Event>);

/// Where a range begins or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first version that is concerned.
    Introduced(Version),
    /// The first that is not any more.
    Fixed(Version),
    /// The last that is concerned.
    LastAffected(Version),
}

impl Event {
    fn version(&self) -> &Version {
        match self {
            Self::Introduced(version) | Self::Fixed(version) | Self::LastAffected(version) => version,
        }
    }
}

impl Range {
    fn holds(&self, version: &Version) -> bool {
        let mut events: Vec<&Event> = self.0.iter().collect();
        events.sort_by(|one, other| one.version().cmp_precedence(other.version()));
        events.into_iter().fold(false, |inside, event| match event {
            Event::Introduced(first) if version.cmp_precedence(first).is_ge() => true,
            Event::Fixed(first) if version.cmp_precedence(first).is_ge() => false,
            Event::LastAffected(last) if version.cmp_precedence(last).is_gt() => false,
            _ => inside,
        })
    }
}

impl Advisory {
    /// Whether a package is concerned. A version that cannot be understood is: what cannot be judged is no pass.
    pub fn affects(&self, package: &Package) -> bool {
        if self.ecosystem != package.ecosystem || self.package != package.name {
            return false;
        }
        let Ok(version) = Version::parse(&package.version) else { return true };
        match &self.affected {
            Affected::All => true,
            Affected::Ranges(ranges, versions) => {
                versions.contains(&package.version) || ranges.iter().any(|range| range.holds(&version))
            }
            Affected::AllBut(others) => !others.iter().any(|other| other.matches(&version)),
        }
    }

    /// The versions in which it is put right, for people.
    pub fn fixed(&self) -> Vec<String> {
        match &self.affected {
            Affected::Ranges(ranges, _) => {
                let events = ranges.iter().flat_map(|range| &range.0);
                let fixed = events.filter_map(|event| match event {
                    Event::Fixed(version) => Some(version.to_string()),
                    _ => None,
                });
                fixed.collect()
            }
            Affected::AllBut(others) => others.iter().map(ToString::to_string).collect(),
            Affected::All => Vec::new(),
        }
    }
}

/// Gives advisories that nobody has judged the severity of the same vulnerability elsewhere: RustSec often has none where GitHub
/// has.
pub(super) fn borrow_severities(advisories: &mut [Advisory]) {
    let judged: Vec<(String, Vec<String>, Severity)> = advisories
        .iter()
        // That something is only a notice to one is no judgement of what another calls a vulnerability.
        .filter(|advisory| !matches!(advisory.severity, Severity::Unknown | Severity::Notice))
        .map(|advisory| (advisory.id.clone(), advisory.aliases.clone(), advisory.severity))
        .collect();
    for advisory in advisories.iter_mut().filter(|advisory| advisory.severity == Severity::Unknown) {
        let same = |id: &String| *id == advisory.id || advisory.aliases.contains(id);
        let found = judged.iter().filter(|(id, aliases, _)| same(id) || aliases.iter().any(same));
        advisory.severity = found.map(|(_, _, severity)| *severity).max().unwrap_or(Severity::Unknown);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    fn advisory(affected: Affected) -> Advisory {
        Advisory {
            id: "RUSTSEC-2024-0001".into(),
            aliases: Vec::new(),
            ecosystem: Ecosystem::Cargo,
            package: "dep".into(),
            title: "it breaks".into(),
            severity: Severity::High,
            affected,
            modified: None,
        }
    }

    fn package(version: &str) -> Package {
        Package { ecosystem: Ecosystem::Cargo, name: "dep".into(), version: version.into() }
    }

    #[test]
    fn ranges_are_evaluated_event_by_event() {
        let (introduced, fixed) = (|text| Event::Introduced(version(text)), |text| Event::Fixed(version(text)));
        let last = |text| Event::LastAffected(version(text));
        let cases: [(Vec<Event>, &[&str], &[&str]); 4] = [
            (vec![introduced("0.0.0-0"), fixed("1.2.0")], &["0.0.1", "1.1.9", "1.2.0-rc.1"], &["1.2.0", "2.0.0"]),
            (
                vec![introduced("2.0.0"), fixed("2.1.0"), introduced("1.0.0"), fixed("1.0.5")],
                &["1.0.4", "2.0.0"],
                &["0.9.0", "1.0.5", "1.9.0", "2.1.0"],
            ),
            (vec![introduced("1.0.0"), last("1.3.0")], &["1.0.0", "1.3.0"], &["1.3.1", "0.9.9"]),
            (vec![introduced("1.0.0")], &["1.0.0", "99.0.0", "1.0.0+build"], &["1.0.0-alpha"]),
        ];
        for (events, concerned, others) in cases {
            let advisory = advisory(Affected::Ranges(vec![Range(events)], vec!["7.7.7".into()]));
            for text in concerned {
                assert!(advisory.affects(&package(text)), "{text} {advisory:?}");
            }
            for text in others {
                assert!(!advisory.affects(&package(text)), "{text} {advisory:?}");
            }
        }
    }

    #[test]
    fn named_versions_count_and_so_do_those_that_are_not_understood() {
        let by_name = advisory(Affected::Ranges(Vec::new(), vec!["7.7.7".into()]));
        assert!(by_name.affects(&package("7.7.7")) && !by_name.affects(&package("7.7.8")));
        assert!(by_name.affects(&package("not a version")));
        let other = Package { ecosystem: Ecosystem::Npm, ..package("7.7.7") };
        assert!(!by_name.affects(&other));
        let but =
            advisory(Affected::AllBut(vec![">=1.2.0".parse().expect("a requirement"), "<0.5".parse().expect("one")]));
        assert!(but.affects(&package("1.0.0")) && !but.affects(&package("1.2.0")) && !but.affects(&package("0.4.9")));
    }

    #[test]
    fn a_severity_is_taken_from_the_same_vulnerability_elsewhere() {
        let named = |id: &str, alias: &str, severity| Advisory {
            id: id.into(),
            aliases: vec![alias.into()],
            severity,
            ..advisory(Affected::All)
        };
        let mut all = [
            named("RUSTSEC-1", "CVE-1", Severity::Unknown),
            named("GHSA-1", "CVE-1", Severity::Medium),
            named("RUSTSEC-2", "GHSA-2", Severity::Unknown),
            named("GHSA-2", "CVE-2", Severity::Low),
            named("RUSTSEC-3", "CVE-3", Severity::Unknown),
        ];
        borrow_severities(&mut all);
        let severities = all.map(|advisory| advisory.severity);
        assert_eq!(severities, [Severity::Medium, Severity::Medium, Severity::Low, Severity::Low, Severity::Unknown]);
    }

    proptest! {
        #[test]
        fn one_range_is_between_its_events(first in 0..20_u64, length in 1..20_u64, at in 0..60_u64) {
            let events = vec![Event::Fixed(Version::new(first + length, 0, 0)), Event::Introduced(Version::new(first, 0, 0))];
            let holds = Range(events).holds(&Version::new(at, 0, 0));
            prop_assert_eq!(holds, (first..first + length).contains(&at));
        }
    }
}
