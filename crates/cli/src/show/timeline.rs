//! A rollout that goes on, as a picture that is redrawn: its stages with their times, who gets what, what the gate saw. Pure.

use std::time::Duration;

use mana_control::api::{RolloutView, StepState, StepView};

use super::rollout;
use super::style::{Style, Tone};
use super::units;

/// The picture. `said`: the last lines of what its checks and its build said.
pub(crate) fn lines(view: &RolloutView, said: &[String], style: Style, width: Option<usize>) -> Vec<String> {
    let from = view.old.version.as_deref().unwrap_or("nothing");
    let head = format!("{} {from} → {}", style.paint(Tone::Strong, &view.service), view.version);
    let mut lines = vec![format!("{head}  {}", style.paint(Tone::Faint, &format!("rollout {}", view.number)))];
    let longest = view.steps.iter().map(|step| step.stage.len()).max().unwrap_or_default();
    for one in &view.steps {
        lines.push(step(one, longest, view, style));
        if one.state == StepState::Now {
            lines.extend(details(view, style));
        }
    }
    if let Some(why) = &view.why {
        lines.push(format!("  {}", style.paint(Tone::Bad, why)));
    }
    lines.extend(said.iter().map(|line| cut(line, width)));
    lines
}

fn step(step: &StepView, longest: usize, view: &RolloutView, style: Style) -> String {
    let name = format!("{:longest$}", step.stage);
    let time = |ms: u64| units::duration(Duration::from_millis(ms));
    match step.state {
        StepState::Over => {
            let (mark, tone) = match step.stage.as_str() {
                "aborted" | "rolled-back" | "superseded" => ("✗", Tone::Bad),
                _ => ("✓", Tone::Good),
            };
            let took = step.took_ms.map(time).unwrap_or_default();
            format!("{} {name}  {}", style.paint(tone, mark), style.paint(Tone::Faint, &took))
        }
        StepState::Now => {
            let took = step.took_ms.map(time).unwrap_or_default();
            let of = step.expected_ms.map(|ms| format!(" of {}", time(ms))).unwrap_or_default();
            let name = style.paint(rollout::tone(view), &name);
            format!("{} {name}  {took}{of}", style.paint(rollout::tone(view), "▸"))
        }
        StepState::Ahead => {
            let of = step.expected_ms.map(|ms| format!("  {}", time(ms))).unwrap_or_default();
            style.paint(Tone::Faint, &format!("  {name}{of}"))
        }
    }
}

/// Who gets what, what the gate saw, and who is waited for.
fn details(view: &RolloutView, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    if view.old.version.is_some() && (view.new.percent > 0 || view.stage == "canary") {
        lines.push(format!("    {}", rollout::shares(view)));
    }
    if let Some(look) = view.look.as_ref().filter(|_| matches!(view.stage.as_str(), "canary" | "window" | "held")) {
        lines.push(format!("    {}", style.paint(Tone::Faint, &rollout::figures(view).unwrap_or_default())));
        lines.extend(look.judgement.findings.iter().map(|finding| {
            let text = format!("    {} {:.4} against {:.4}", finding.figure, finding.value, finding.limit);
            style.paint(if finding.met { Tone::Faint } else { Tone::Bad }, &text)
        }));
    }
    if !view.waits_for.is_empty() {
        lines.push(format!("    {}", style.paint(Tone::Care, &format!("waits for {}", view.waits_for.join(", ")))));
    }
    lines
}

/// What does not fit would move everything after it. Lines that are painted are short.
fn cut(line: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return line.to_owned() };
    match line.char_indices().nth(width.saturating_sub(1)) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mana_control::api::SlotView;

    use super::*;

    #[test]
    fn a_rollout_is_a_picture() {
        let slot = |slot: &str, version: &str, percent| SlotView {
            slot: slot.into(),
            version: Some(version.into()),
            digest: None,
            percent,
        };
        let step =
            |stage: &str, state, took_ms, expected_ms| StepView { stage: stage.into(), state, took_ms, expected_ms };
        let view = RolloutView {
            number: 17,
            service: "chat-backend".into(),
            version: "v1.6.0".into(),
            stage: "canary".into(),
            about: String::new(),
            attempt: 1,
            over: false,
            started_by: "ada".into(),
            begun_at: "2026-01-01T00:00:00Z".into(),
            old: slot("blue", "v1.5.2", 90),
            new: slot("green", "v1.6.0", 10),
            waits_for: vec![],
            why: None,
            look: None,
            steps: vec![
                step("checking", StepState::Over, Some(12_300), Some(10_000)),
                step("building", StepState::Over, Some(100_000), None),
                step("canary", StepState::Now, Some(130_000), Some(600_000)),
                step("cutting-over", StepState::Ahead, None, None),
                step("window", StepState::Ahead, None, Some(3_600_000)),
            ],
        };
        let said = ["build │ a line that is longer than the screen".to_owned()];
        insta::assert_snapshot!(lines(&view, &said, Style::PLAIN, Some(30)).join("\n"));
    }
}
