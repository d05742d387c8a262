//! How a release comes to be, line by line.

use std::time::Duration;

use mana_release::event::Event;

use super::style::{Style, Tone};
use super::units;

/// The event for a person.
pub(crate) fn line(event: &Event, style: Style) -> String {
    match event {
        Event::Started { step, what } => {
            format!("{} {} {}", style.paint(Tone::Faint, "▸"), style.paint(Tone::Strong, step), plain(what))
        }
        Event::Line { step, text } => format!("{} {text}", style.paint(Tone::Faint, &format!("{step} │"))),
        Event::Ended { step, ok, detail, took } => ended(step, *ok, detail, *took, style),
        Event::Note { text } => format!("  {}", style.paint(Tone::Faint, text)),
    }
}

fn ended(step: &str, ok: bool, detail: &str, took: Duration, style: Style) -> String {
    let mark = if ok { style.paint(Tone::Good, "✓") } else { style.paint(Tone::Bad, "✗") };
    let detail = if detail.is_empty() { String::new() } else { format!(": {}", plain(detail)) };
    format!("{mark} {step}{detail} {}", style.paint(Tone::Faint, &format!("({})", units::duration(took))))
}

fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_like_a_story() {
        let events = [
            Event::Started { step: "checkout".into(), what: "main-abc1234".into() },
            Event::Ended { step: "checkout".into(), ok: true, detail: String::new(), took: Duration::from_millis(340) },
            Event::Note { text: "2 processors".into() },
            Event::Started { step: "build".into(), what: "cargo build\u{1b}[31m".into() },
            Event::Line { step: "build".into(), text: "   Compiling shop".into() },
            Event::Ended {
                step: "build".into(),
                ok: false,
                detail: "exit code 101".into(),
                took: Duration::from_secs(125),
            },
        ];
        let lines: Vec<String> = events.iter().map(|event| line(event, Style::PLAIN)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
