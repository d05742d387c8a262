//! The Open Source Vulnerability format: <https://ossf.github.io/osv-schema/>.

use jiff::Timestamp;
use semver::Version;
use serde::Deserialize;
use serde_json::Value;

use super::Parsed;
use crate::sbom::Ecosystem;
use crate::scan::advisory::{Advisory, Affected, Event, Range};
use crate::scan::severity::Severity;

#[derive(Deserialize)]
struct Entry {
    id: String,
    modified: Option<Timestamp>,
    withdrawn: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    severity: Vec<Score>,
    affected: Vec<About>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Deserialize)]
struct Score {
    score: String,
}

#[derive(Deserialize)]
struct About {
    package: Option<Named>,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    ranges: Vec<Value>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    database_specific: Value,
}

#[derive(Deserialize)]
struct Named {
    ecosystem: String,
    name: String,
}

/// Reads one file.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else { return Parsed::Broken };
    // Folders hold other JSON as well.
    if !json["id"].is_string() || !json["affected"].is_array() {
        return Parsed::Other;
    }
    let Ok(entry) = serde_json::from_value::<Entry>(json) else { return Parsed::Broken };
    if entry.withdrawn.is_some() {
        return Parsed::Advisories(Vec::new(), entry.modified);
    }
    let advisories = entry.affected.iter().filter_map(|about| advisory(&entry, about)).collect();
    Parsed::Advisories(advisories, entry.modified)
}

fn advisory(entry: &Entry, about: &About) -> Option<Advisory> {
    let package = about.package.as_ref()?;
    let ecosystem = match package.ecosystem.as_str() {
        "crates.io" => Ecosystem::Cargo,
        "npm" => Ecosystem::Npm,
        _ => return None,
    };
    let title =
        if entry.summary.is_empty() { entry.details.lines().next().unwrap_or_default() } else { &entry.summary };
    Some(Advisory {
        id: entry.id.clone(),
        aliases: entry.aliases.clone(),
        ecosystem,
        package: package.name.clone(),
        title: title.to_owned(),
        severity: severity(entry, about),
        affected: affected(about),
        modified: entry.modified,
    })
}

fn severity(entry: &Entry, about: &About) -> Severity {
    // RustSec's export: that nobody maintains a package is no vulnerability of it.
    if about.database_specific["informational"].is_string() {
        return Severity::Notice;
    }
    // Packages that were made to do harm have no vector.
    if entry.id.starts_with("MAL-") {
        return Severity::Critical;
    }
    let vectors = entry.severity.iter().chain(&about.severity).map(|score| score.score.as_str());
    let vectors = vectors.chain(about.database_specific["cvss"].as_str());
    let words = [&entry.database_specific["severity"], &about.database_specific["severity"]];
    let by_vector = vectors.filter_map(Severity::of_vector).max();
    let by_word = words.into_iter().filter_map(|word| Severity::of_word(word.as_str()?)).max();
    by_vector.max(by_word).unwrap_or(Severity::Unknown)
}

fn affected(about: &About) -> Affected {
    let mut ranges = Vec::new();
    for range in &about.ranges {
        // Commits say nothing about published versions.
        if range["type"] == "GIT" {
            continue;
        }
        let events = range["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        match events.iter().filter_map(event).collect::<Option<Vec<_>>>() {
            Some(events) if !events.is_empty() => ranges.push(Range(events)),
            _ => return Affected::All,
        }
    }
    if ranges.is_empty() && about.versions.is_empty() {
        return Affected::All;
    }
    Affected::Ranges(ranges, about.versions.clone())
}

/// An event; `None`: it says nothing here; `Some(None)`: its version is not understood.
#[expect(clippy::option_option, reason = "two kinds of nothing, told apart in the one place that calls")]
fn event(event: &Value) -> Option<Option<Event>> {
    let version = |text: &str| match text {
        "0" => Some(Version::new(0, 0, 0))
            .map(|zero| Version { pre: semver::Prerelease::new("0").unwrap_or_default(), ..zero }),
        text => Version::parse(text).ok(),
    };
    if let Some(text) = event["introduced"].as_str() {
        return Some(version(text).map(Event::Introduced));
    }
    if let Some(text) = event["fixed"].as_str() {
        return Some(version(text).map(Event::Fixed));
    }
    event["last_affected"].as_str().map(|text| version(text).map(Event::LastAffected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::Package;

    fn entry(more: &str, about: &str) -> String {
        format!(
            r#"{{"id": "GHSA-1", "modified": "2026-01-02T03:04:05.123Z", "summary": "it breaks", {more}
                "affected": [{{"package": {{"ecosystem": "npm", "name": "dep"}}, {about}}}]}}"#
        )
    }

    const RANGE: &str = r#""ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}]"#;

    fn one(text: &str) -> Advisory {
        match parse(text.as_bytes()) {
            Parsed::Advisories(mut advisories, Some(_)) => advisories.pop().expect("one"),
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn an_entry_is_read_with_the_worst_of_its_severities() {
        for (more, about, severity) in [
            (
                r#""severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"#,
                "",
                Severity::Critical,
            ),
            (r#""database_specific": {"severity": "MODERATE"},"#, "", Severity::Medium),
            ("", r#""database_specific": {"cvss": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"},"#, Severity::High),
            ("", r#""database_specific": {"informational": "unmaintained", "cvss": null},"#, Severity::Notice),
            ("", "", Severity::Unknown),
            (r#""severity": [{"type": "CVSS_V3", "score": "nonsense"}],"#, "", Severity::Unknown),
        ] {
            assert_eq!(one(&entry(more, &format!("{about} {RANGE}"))).severity, severity, "{more}{about}");
        }
        let advisory = one(&entry(r#""aliases": ["CVE-1"],"#, RANGE));
        let package =
            |version: &str| Package { ecosystem: Ecosystem::Npm, name: "dep".into(), version: version.into() };
        assert!(
            advisory.affects(&package("0.0.0"))
                && advisory.affects(&package("1.1.9"))
                && !advisory.affects(&package("1.2.0"))
        );
        assert_eq!((advisory.fixed(), advisory.aliases), (vec!["1.2.0".to_owned()], vec!["CVE-1".to_owned()]));
    }

    #[test]
    fn what_is_not_understood_concerns_all_versions() {
        for about in [
            r#""ranges": [{"type": "SEMVER", "events": [{"introduced": "one"}]}]"#,
            r#""ranges": [{"type": "SEMVER", "events": []}]"#,
            r#""ranges": []"#,
        ] {
            assert_eq!(one(&entry("", about)).affected, Affected::All, "{about}");
        }
        let by_version = r#""ranges": [{"type": "GIT", "events": [{"introduced": "abc"}]}], "versions": ["1.0.0"]"#;
        assert_eq!(one(&entry("", by_version)).affected, Affected::Ranges(Vec::new(), vec!["1.0.0".into()]));
    }

    #[test]
    fn other_files_are_told_apart_from_broken_ones() {
        assert!(matches!(parse(b"{\"name\": \"x\"}"), Parsed::Other));
        assert!(matches!(parse(b"{"), Parsed::Broken));
        assert!(matches!(parse(b"{\"id\": \"x\", \"affected\": [3]}"), Parsed::Broken));
        let withdrawn = entry(r#""withdrawn": "2026-01-01T00:00:00Z","#, RANGE);
        assert!(matches!(parse(withdrawn.as_bytes()), Parsed::Advisories(none, _) if none.is_empty()));
    }
}
