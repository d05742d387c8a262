//! The texts of an incident: the reference's template for telling people, and the draft of a post-mortem.

use std::fmt::Write as _;

use super::model::{Entry, EntryKind, FOLLOW_UPS, Incident, Status};
use crate::alert::Span;

/// The reference's communication template, filled with what is known. Notes for those who work on it are not for everybody, nor is who did what.
pub fn announcement(incident: &Incident) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("Subject: [INCIDENT] {}", incident.title));
    line(format!("Status: {}", status(incident)));
    line(format!("Impact: {}", impact(incident)));
    line(format!("Affected Users: {}", affected(incident)));
    line(format!("Started: {}", minute(incident.began_at)));
    line(format!("Detected: {} (after {})", minute(incident.detected_at), incident.to_detect().spoken()));
    if let Some(at) = incident.resolved_at {
        line(format!("Resolved: {} ({})", minute(at), Span::between(incident.began_at, at).spoken()));
    }
    if let Some(span) = incident.to_recover().filter(|_| incident.status() == Status::Resolved) {
        line(format!("RTO: {}", span.spoken()));
    }
    line("Timeline:".to_owned());
    for entry in timeline(incident, |entry| entry.kind != EntryKind::Note, false) {
        line(format!("- {entry}"));
    }
    line(format!("Root Cause: {}", incident.cause.as_deref().unwrap_or("not known yet")));
    line("Action Items:".to_owned());
    if incident.actions.is_empty() {
        line("none yet".to_owned());
    }
    for (number, action) in incident.actions.iter().enumerate() {
        line(format!("{}. {action}", number + 1));
    }
    text
}

/// A draft in Markdown of what is talked about afterwards: all that was measured stands in it, all else is asked for.
pub fn post_mortem(incident: &Incident) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let mut part = |part: String| {
        let _ = write!(text, "{part}\n\n");
    };
    part(format!("# Post-mortem: {}", plain(&incident.title)));
    part(format!("Incident {}, {}, {}.", incident.number, incident.severity.as_str(), status(incident).to_lowercase()));
    let recovered = incident.to_recover().map_or_else(|| "not yet".to_owned(), Span::spoken);
    let resolved = incident.resolved_at.map_or_else(|| "not yet".to_owned(), minute);
    let about = incident.subjects.iter().map(|subject| plain(subject)).collect::<Vec<_>>().join(", ");
    part(
        [
            "| | |".to_owned(),
            "|---|---|".to_owned(),
            format!("| about | {} |", or(&about, "nothing that is named")),
            format!("| impact | {} |", plain(&impact(incident))),
            format!("| affected users | {} |", plain(&affected(incident))),
            format!("| started | {} |", minute(incident.began_at)),
            format!("| time to detect | {} |", incident.to_detect().spoken()),
            format!("| time to recover | {recovered} |"),
            format!("| resolved | {resolved} |"),
        ]
        .join("\n"),
    );
    part("## Timeline".to_owned());
    part(
        timeline(incident, |_| true, true)
            .iter()
            .map(|entry| format!("- {}", plain(entry)))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    part("## Alerts".to_owned());
    let alerts = incident.over.iter().chain(incident.firing.values()).map(|seen| {
        let took = seen.well_at.map_or_else(
            || "not known to be over".to_owned(),
            |at| format!("for {}", Span::between(seen.began_at, at).spoken()),
        );
        format!("- {} {} ({took})", seen.severity.as_str(), plain(&seen.summary))
    });
    let more = (incident.over_more > 0).then(|| format!("- … and {} more", incident.over_more));
    let alerts = alerts.chain(more).collect::<Vec<_>>().join("\n");
    part(or(&alerts, "None: a person said it.").to_owned());
    part("## Root cause".to_owned());
    part(
        incident
            .cause
            .as_deref()
            .map_or_else(|| "*To be found. What failed first, and why did nothing catch it?*".to_owned(), plain),
    );
    part("## What went well, what did not, where we were lucky".to_owned());
    part("*To be written.*".to_owned());
    part("## Action items".to_owned());
    let actions =
        incident.actions.iter().enumerate().map(|(number, action)| format!("{}. {}", number + 1, plain(action)));
    part(
        or(&actions.collect::<Vec<_>>().join("\n"), "*None yet. Each needs somebody who does it, and a day.*")
            .to_owned(),
    );
    part("## Follow-up".to_owned());
    let follow_ups = FOLLOW_UPS.iter().zip(&incident.follow_ups).enumerate().map(|(number, (point, done))| {
        let mark = if done.is_some() { "x" } else { " " };
        let who = done.as_ref().map_or_else(String::new, |done| {
            let by = done.by.as_deref().map_or_else(|| "by itself".to_owned(), |by| format!("by {}", plain(by)));
            format!(" ({by}, {})", minute(done.at))
        });
        format!("- [{mark}] {}. {point}{who}", number + 1)
    });
    part(follow_ups.collect::<Vec<_>>().join("\n"));
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn status(incident: &Incident) -> &'static str {
    match incident.status() {
        Status::Investigating => "INVESTIGATING",
        Status::Identified => "IDENTIFIED",
        Status::Monitoring => "MONITORING",
        Status::Resolved => "RESOLVED",
    }
}

fn impact(incident: &Incident) -> String {
    if let Some(impact) = &incident.impact {
        return impact.clone();
    }
    let worst = incident.firing.values().chain(&incident.over).min_by_key(|seen| (seen.severity, seen.began_at));
    worst.map_or_else(|| "not known yet".to_owned(), |seen| seen.summary.clone())
}

fn affected(incident: &Incident) -> String {
    incident
        .affected
        .as_ref()
        .map_or_else(|| "not counted".to_owned(), |known| format!("~{} {}", known.users, known.of))
}

/// Lines of the timeline, with who did what where that is told; where some are left out, that stands between.
fn timeline(incident: &Incident, stands: impl Fn(&Entry) -> bool, names: bool) -> Vec<String> {
    let stands = incident.timeline.iter().filter(|entry| stands(entry));
    let mut lines: Vec<String> = stands.map(|one| entry(one, names)).collect();
    if incident.left_out > 0 {
        lines.insert(lines.len() / 2, format!("… {} further entries …", incident.left_out));
    }
    lines
}

fn entry(entry: &Entry, names: bool) -> String {
    let Entry { at, kind, text, by, status: _ } = entry;
    let time = jiff::Timestamp::from_millisecond(*at)
        .map_or_else(|_| "?".to_owned(), |at| at.strftime("%H:%M UTC").to_string());
    let kind = match kind {
        EntryKind::Restart => "Restart: ",
        EntryKind::Deploy => "Deploy: ",
        EntryKind::Alert | EntryKind::Recovery | EntryKind::Note | EntryKind::Update | EntryKind::State => "",
    };
    let by = by.as_ref().filter(|_| names).map_or_else(String::new, |by| format!(" ({by})"));
    format!("{time}: {kind}{text}{by}")
}

fn minute(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// Text that is no Markdown, whatever people and labels hold.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#') {
            plain.push('\\');
        }
        plain.push(letter);
    }
    plain
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_no_markdown() {
        assert_eq!(plain("a|b <i> [x](y) `c`"), r"a\|b \<i\> \[x\](y) \`c\`");
    }
}
