//! What a scan found.

use std::time::Duration;

use mana_release::scan::report::{Database, Finding, Report};
use mana_release::scan::severity::Severity;

use super::style::{Style, Tone};
use super::units;

/// The report for a person.
pub(crate) fn lines(report: &Report, style: Style) -> Vec<String> {
    let mut lines: Vec<String> = report.findings.iter().flat_map(|finding| of_finding(finding, style)).collect();
    lines.extend(report.warnings.iter().map(|warning| format!("{} {}", style.paint(Tone::Care, "!"), plain(warning))));
    lines.extend(
        report.database.as_ref().map(|database| format!("  {}", style.paint(Tone::Faint, &of_database(database)))),
    );
    lines.push(verdict(report, style));
    lines
}

/// One line for a table.
pub(crate) fn short(report: Option<&Report>) -> (Tone, String) {
    let Some(report) = report else { return (Tone::Faint, "not scanned".into()) };
    let count = |stops: bool| report.findings.iter().filter(|finding| finding.stops == stops).count();
    match (count(true), count(false)) {
        (0, 0) => (Tone::Good, "clean".into()),
        (0, others) => (Tone::Good, format!("passed, {}", units::count(others, "note"))),
        (stopping, _) => (Tone::Bad, format!("stopped by {stopping}")),
    }
}

fn of_finding(finding: &Finding, style: Style) -> Vec<String> {
    let (mark, tone) = match (finding.stops, finding.severity >= Severity::Medium) {
        (true, _) => ("✗", Tone::Bad),
        (false, true) => ("!", Tone::Care),
        (false, false) => ("·", Tone::Faint),
    };
    let severity = style.paint(tone, &finding.severity.to_string());
    let head = format!(
        "{} {severity} {} {}",
        style.paint(tone, mark),
        style.paint(Tone::Name, &finding.id),
        plain(&finding.what)
    );
    let accepted = finding.accepted.as_ref().map(|reason| format!("accepted: {reason}"));
    let more = accepted.unwrap_or_else(|| finding.help.clone());
    vec![head, format!("    {}", style.paint(Tone::Faint, &plain(&more)))]
}

fn of_database(database: &Database) -> String {
    let age = database.age_s.map_or("of unknown age".to_owned(), |age| {
        format!("the newest from {} ago", units::duration(Duration::from_secs(age)))
    });
    format!("{} advisories, {age}", database.advisories)
}

fn verdict(report: &Report, style: Style) -> String {
    let stopping = report.findings.iter().filter(|finding| finding.stops).count();
    if report.stops {
        let mark = style.paint(Tone::Bad, "✗");
        format!("{mark} {} is stopped by {}", report.release, units::count(stopping, "finding"))
    } else {
        format!("{} {} passes the scan", style.paint(Tone::Good, "✓"), report.release)
    }
}

/// Advisories are written by others: nothing in them reaches the terminal as a control sequence.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use mana_release::scan::report::{Accepted, Kind};

    use super::*;

    fn finding(id: &str, severity: Severity, what: &str) -> Finding {
        Finding {
            id: id.into(),
            aliases: Vec::new(),
            kind: Kind::Vulnerability,
            severity,
            what: what.into(),
            help: "put right in 1.2.0".into(),
            accepted: None,
            stops: false,
        }
    }

    #[test]
    fn a_report_says_what_stops_and_why() {
        let at = "2026-05-10T00:00:00Z".parse().expect("a time");
        let database = Database {
            folders: vec!["advisories".into()],
            advisories: 1200,
            newest: Some(at),
            age_s: Some(7200),
            max_age_s: 604_800,
            broken: 0,
            broken_files: Vec::new(),
        };
        let findings = vec![
            finding("RUSTSEC-2026-0001", Severity::Critical, "dep 1.1.0: it\u{1b}[31m breaks"),
            finding("RUSTSEC-2026-0002", Severity::Notice, "old 1.0.0: nobody maintains it"),
            finding("RUSTSEC-2026-0003", Severity::High, "other 1.0.0: it breaks too"),
        ];
        let accepted = |id: &str| Accepted {
            id: id.into(),
            reason: "only our own data gets there".into(),
            until: "2026-06-01".into(),
            services: Vec::new(),
        };
        let accepted = [accepted("RUSTSEC-2026-0003"), accepted("RUSTSEC-2020-0001")];
        let report = Report::new("shop", "v1.0.0+abc", at, Some(database), findings, &accepted);
        insta::assert_snapshot!(lines(&report, Style::PLAIN).join("\n"));
        assert_eq!(short(Some(&report)), (Tone::Bad, "stopped by 1".into()));
        let clean = Report::new("shop", "v1.0.0+abc", at, None, Vec::new(), &[]);
        insta::assert_snapshot!(lines(&clean, Style::PLAIN).join("\n"));
        assert_eq!((short(Some(&clean)).1, short(None).1), ("clean".into(), "not scanned".into()));
    }
}
