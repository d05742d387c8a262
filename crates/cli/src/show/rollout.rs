//! A rollout in words.

use mana_control::api::{RolloutView, SlotView};

use crate::show::style::{Style, Tone};

/// One line: where it is, who gets what, and what the gate saw last.
pub(crate) fn line(view: &RolloutView, style: Style) -> String {
    let stage = style.paint(tone(view), &view.stage);
    let what = format!("{} {} {stage}", style.paint(Tone::Strong, &view.service), view.version);
    let shares = (view.old.version.is_some() || view.new.percent > 0).then(|| shares(view));
    let waits = (!view.waits_for.is_empty())
        .then(|| style.paint(Tone::Care, &format!("waits for {}", view.waits_for.join(", "))));
    let figures = figures(view).map(|figures| style.paint(Tone::Faint, &figures));
    let why = view.why.as_ref().map(|why| style.paint(Tone::Bad, why));
    let parts = [Some(what), shares, figures, waits, why];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// How it stands.
pub(crate) fn tone(view: &RolloutView) -> Tone {
    match view.stage.as_str() {
        "done" | "window" => Tone::Good,
        "held" | "awaiting-approval" => Tone::Care,
        "stuck" | "aborted" | "rolled-back" | "reviving" | "returning" | "clearing" => Tone::Bad,
        _ => Tone::Name,
    }
}

/// Who gets what.
pub(crate) fn shares(view: &RolloutView) -> String {
    format!("{} | {}", share(&view.old), share(&view.new))
}

fn share(slot: &SlotView) -> String {
    format!("{} {} {} %", slot.slot, slot.version.as_deref().unwrap_or("nothing"), slot.percent)
}

/// What the gate saw at its last look, beside what it was held against.
pub(crate) fn figures(view: &RolloutView) -> Option<String> {
    let look = view.look.as_ref()?;
    let reading = &look.reading;
    let seconds = |duration: std::time::Duration| duration.as_secs();
    Some(format!(
        "{:?}: {} requests, {} errors, {} of {} slow, {} of {} s",
        look.judgement.verdict,
        reading.green.requests,
        reading.green.errors,
        reading.green.slow,
        reading.green.timed,
        seconds(reading.elapsed),
        seconds(reading.window)
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A canary of a tenth.
    pub(in crate::show) fn sample() -> RolloutView {
        let slot = |slot: &str, version: &str, percent| SlotView {
            slot: slot.into(),
            version: Some(version.into()),
            digest: None,
            percent,
        };
        RolloutView {
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
            steps: Vec::new(),
        }
    }

    #[test]
    fn a_line_says_where_it_is_who_gets_what_and_why() {
        let view = sample();
        assert_eq!(line(&view, Style::PLAIN), "chat-backend v1.6.0 canary  blue v1.5.2 90 % | green v1.6.0 10 %");
        let held = RolloutView {
            stage: "held".into(),
            waits_for: vec!["ada".into(), "bob".into()],
            why: Some("no data".into()),
            ..view
        };
        let expected = "chat-backend v1.6.0 held  blue v1.5.2 90 % | green v1.6.0 10 %  waits for ada, bob  no data";
        assert_eq!(line(&held, Style::PLAIN), expected);
    }
}
