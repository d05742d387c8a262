//! A service that did not come up, told so that the next step is clear.

use super::log_line;
use super::progress::FailedService;
use super::style::{Style, Tone};

use jiff::tz::TimeZone;

/// What happened, its last log lines, and what to try next.
pub(crate) fn lines(failed: &FailedService, logs: &str, style: Style, zone: &TimeZone) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {} did not come up: {}",
        style.paint(Tone::Bad, "✗"),
        style.paint(Tone::Strong, &failed.name),
        failed.reason
    )];
    if failed.log_tail.is_empty() {
        lines.push("    it has written nothing to its log".to_owned());
    } else {
        lines.push("    its last log lines:".to_owned());
        let bar = style.paint(Tone::Faint, "│");
        lines.extend(failed.log_tail.iter().map(|line| format!("    {bar} {}", log_line::pretty(line, style, zone))));
    }
    if !failed.hint.is_empty() {
        lines.push(format!("    try next: {}", style.paint(Tone::Name, &failed.hint)));
    }
    lines.push(format!("    all of its log: {}", style.paint(Tone::Name, logs)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_service_its_log_and_the_next_thing_to_try() {
        let mut failed = FailedService {
            name: "chat-backend".into(),
            reason: "not ready within 3 s (503: schema: no migration was run)".into(),
            log_tail: vec![
                r#"{"timestamp":"2026-01-02T03:04:05.678Z","level":"ERROR","fields":{"message":"not ready","part":"schema"}}"#.into(),
                "plain words".into(),
            ],
            hint: "mana run chat-backend -- migrate".into(),
        };
        let show =
            |failed: &FailedService| lines(failed, "mana logs chat-backend", Style::PLAIN, &TimeZone::UTC).join("\n");
        insta::assert_snapshot!(show(&failed));
        failed.log_tail.clear();
        failed.hint.clear();
        insta::assert_snapshot!(show(&failed));
    }
}
