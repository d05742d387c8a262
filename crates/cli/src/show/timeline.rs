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
            lines.extend(details(view, style, width));
        }
    }
    if let Some(why) = &view.why {
        lines.push(style.paint(Tone::Bad, &cut(&format!("  {why}"), width)));
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
fn details(view: &RolloutView, style: Style, width: Option<usize>) -> Vec<String> {
    let mut lines = Vec::new();
    let line = |tone, text: &str| style.paint(tone, &cut(&format!("    {text}"), width));
    if view.old.version.is_some() && (view.new.percent > 0 || view.stage == "canary") {
        lines.push(cut(&format!("    {}", rollout::shares(view)), width));
    }
    if let Some(look) = view.look.as_ref().filter(|_| matches!(view.stage.as_str(), "canary" | "window" | "held")) {
        lines.push(line(Tone::Faint, &rollout::figures(view).unwrap_or_default()));
        lines.extend(look.judgement.findings.iter().map(|finding| {
            let text = format!("{} {:.4} against {:.4}", finding.figure, finding.value, finding.limit);
            line(if finding.met { Tone::Faint } else { Tone::Bad }, &text)
        }));
    }
    if !view.waits_for.is_empty() {
        lines.push(line(Tone::Care, &format!("waits for {}", view.waits_for.join(", "))));
    }
    lines
}

/// A line that wraps would be two of what is redrawn. Cut before it is painted: colours have no width.
fn cut(line: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return line.to_owned() };
    match line.char_indices().nth(width.saturating_sub(1)) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::rollout::tests::sample;

    #[test]
    fn a_rollout_is_a_picture() {
        let step =
            |stage: &str, state, took_ms, expected_ms| StepView { stage: stage.into(), state, took_ms, expected_ms };
        let view = RolloutView {
            steps: vec![
                step("checking", StepState::Over, Some(12_300), Some(10_000)),
                step("building", StepState::Over, Some(100_000), None),
                step("canary", StepState::Now, Some(130_000), Some(600_000)),
                step("cutting-over", StepState::Ahead, None, None),
                step("window", StepState::Ahead, None, Some(3_600_000)),
            ],
            ..sample()
        };
        let said = ["build │ a line that is longer than the screen".to_owned()];
        insta::assert_snapshot!(lines(&view, &said, Style::PLAIN, Some(30)).join("\n"));
    }
}
