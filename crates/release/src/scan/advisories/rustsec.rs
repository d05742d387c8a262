//! RustSec's advisory-db: Markdown that begins with TOML, or (in its early years) TOML alone.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use semver::VersionReq;
use serde::Deserialize;

use super::Parsed;
use crate::sbom::Ecosystem;
use crate::scan::advisory::{Advisory, Affected};
use crate::scan::severity::Severity;

#[derive(Deserialize)]
struct Entry {
    advisory: About,
    #[serde(default)]
    versions: Versions,
}

#[derive(Deserialize)]
struct About {
    id: String,
    package: String,
    date: String,
    title: Option<String>,
    withdrawn: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    cvss: Option<String>,
    informational: Option<String>,
    // The early years.
    patched_versions: Option<Vec<String>>,
    unaffected_versions: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
struct Versions {
    #[serde(default)]
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

/// Reads one file.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let Ok(text) = std::str::from_utf8(bytes) else { return Parsed::Other };
    let markdown = text.split_once("```toml").map(|(_, rest)| rest.split_once("```").unwrap_or((rest, "")));
    let (front, rest) = markdown.unwrap_or((text, ""));
    let is_one = front.lines().any(|line| line.trim() == "[advisory]") && front.contains("package");
    if !is_one {
        return Parsed::Other;
    }
    let Ok(entry) = toml::from_str::<Entry>(front) else { return Parsed::Broken };
    let about = entry.advisory;
    // The template that every new one begins as.
    if about.id == "RUSTSEC-0000-0000" {
        return Parsed::Other;
    }
    let modified = beginning_of(&about.date);
    if about.withdrawn.is_some() {
        return Parsed::Advisories(Vec::new(), modified);
    }
    let patched = about.patched_versions.unwrap_or(entry.versions.patched);
    let unaffected = about.unaffected_versions.unwrap_or(entry.versions.unaffected);
    let others: Result<Vec<VersionReq>, _> = patched.iter().chain(&unaffected).map(|text| text.parse()).collect();
    let heading = rest.lines().find_map(|line| line.strip_prefix("# ")).map(str::to_owned);
    let severity = match (&about.informational, &about.cvss) {
        (Some(_), _) => Severity::Notice,
        (None, vector) => vector.as_deref().and_then(Severity::of_vector).unwrap_or(Severity::Unknown),
    };
    let advisory = Advisory {
        id: about.id,
        aliases: about.aliases,
        ecosystem: Ecosystem::Cargo,
        package: about.package,
        title: heading.or(about.title).unwrap_or_default(),
        severity,
        affected: others.map_or(Affected::All, Affected::AllBut),
        modified,
    };
    Parsed::Advisories(vec![advisory], modified)
}

/// Only the day is said: its beginning, so that it never is a time still to come.
fn beginning_of(date: &str) -> Option<Timestamp> {
    let date: Date = date.parse().ok()?;
    date.to_zoned_datetime(TimeZone::UTC).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::Package;

    const TEXT: &str = "```toml\n[advisory]\nid = \"RUSTSEC-2021-0078\"\npackage = \"hyper\"\ndate = \"2021-07-07\"\n\
        aliases = [\"CVE-2021-32715\"]\ncvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:L/A:N\"\n\n[affected]\nos = [\"linux\"]\n\n\
        [versions]\npatched = [\">= 0.14.10\"]\nunaffected = [\"< 0.12\"]\n```\n\n# Lenient parsing\n\nDetails.\n";

    fn one(text: &str) -> Advisory {
        match parse(text.as_bytes()) {
            Parsed::Advisories(mut advisories, Some(_)) => advisories.pop().expect("one"),
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn an_advisory_is_read() {
        let advisory = one(TEXT);
        assert_eq!((advisory.title.as_str(), advisory.severity), ("Lenient parsing", Severity::Medium));
        let hyper =
            |version: &str| Package { ecosystem: Ecosystem::Cargo, name: "hyper".into(), version: version.into() };
        for (version, concerned) in [("0.14.9", true), ("0.14.10", false), ("1.0.0", false), ("0.11.3", false)] {
            assert_eq!(advisory.affects(&hyper(version)), concerned, "{version}");
        }
        assert_eq!(advisory.modified.expect("a time").to_string(), "2021-07-07T00:00:00Z");
    }

    #[test]
    fn notices_and_what_nobody_judged() {
        let notice = TEXT.replace("cvss =", "informational = \"unmaintained\"\nx =");
        assert_eq!(one(&notice).severity, Severity::Notice);
        assert_eq!(one(&TEXT.replace("cvss =", "x =")).severity, Severity::Unknown);
        assert_eq!(one(&TEXT.replace(">= 0.14.10", "newest")).affected, Affected::All);
    }

    #[test]
    fn other_files_are_told_apart() {
        assert!(matches!(parse(b"# How to report"), Parsed::Other));
        assert!(matches!(parse(TEXT.replace("2021-0078", "0000-0000").as_bytes()), Parsed::Other));
        assert!(matches!(parse(TEXT.replace("date =", "day =").as_bytes()), Parsed::Broken));
        let withdrawn = TEXT.replace("cvss =", "withdrawn = \"2022-01-01\"\nx =");
        assert!(matches!(parse(withdrawn.as_bytes()), Parsed::Advisories(none, _) if none.is_empty()));
    }
}
