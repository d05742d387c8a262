//! One request: its lines, and what services did for it.

use std::fmt::Write as _;
use std::path::Path;

use mana_control::logs::harmless;
use mana_control::requests;
use mana_watch::trace::Span;
use mana_watch::trace::tree::{self, Row};

use super::sources::Source;
use super::{Printer, Wanted};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;
use crate::show::style::{Style, Tone};

/// Characters of the picture of when a span was.
const WIDTH: u64 = 24;

/// Prints it, oldest line first.
pub(super) fn show(
    id: &str,
    wanted: &Wanted,
    data: &Path,
    sources: &[Source],
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let found = requests::find(data, id);
    let mut lines = 0;
    for line in found.lines.iter().filter(|line| wanted.has(line)) {
        // Of a service that is not meant there is none.
        if let Some(source) = sources.iter().find(|source| source.service == line.service) {
            printer.print(source, &line.text)?;
            lines += 1;
        }
    }
    if printer.pretty {
        let style = printer.output.style();
        if !found.spans.is_empty() && lines > 0 {
            printer.output.line("")?;
        }
        for line in picture(&found.spans, style) {
            printer.output.line(&line)?;
        }
    } else {
        for Row { span, .. } in tree::rows(&found.spans).0 {
            printer.output.line(&span.line())?;
        }
    }
    if lines == 0 && found.spans.is_empty() {
        report::note(&format!("no line and no span of {id} is among those that are kept"));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

/// When each span was, within the time of all, and what it was, below the one that it is within.
fn picture(spans: &[Span], style: Style) -> Vec<String> {
    let (rows, whole_us) = tree::rows(spans);
    let services = rows.iter().map(|row| row.span.service.chars().count()).max().unwrap_or(0);
    rows.iter().map(|row| drawn(row, whole_us.max(1), services, style)).collect()
}

fn drawn(row: &Row<'_>, whole_us: u64, services: usize, style: Style) -> String {
    let place = |micros: u64| usize::try_from(micros.saturating_mul(WIDTH) / whole_us).unwrap_or(0);
    let most = usize::try_from(WIDTH).unwrap_or(0);
    let before = place(row.after_us).min(most - 1);
    let long = place(row.span.took_us).clamp(1, most - before);
    let tone = if row.span.failed.is_some() { Tone::Bad } else { Tone::Good };
    let bar = style.paint(tone, &"█".repeat(long));
    let mut line = format!("{:>10} ", milliseconds(row.span.took_us));
    // Writing to a String cannot fail.
    let _ = write!(line, "{}{bar}{} ", "·".repeat(before), "·".repeat(most - before - long));
    let _ = write!(line, "{} ", style.paint(Tone::Name, &format!("{:<services$}", harmless(&row.span.service))));
    let _ = write!(line, "{}{}", "  ".repeat(row.depth), harmless(&row.span.name));
    if let Some(why) = &row.span.failed {
        let _ = write!(line, " {} {}", style.paint(Tone::Bad, "failed"), harmless(why));
    }
    line.truncate(line.trim_end().len());
    line
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use mana_watch::trace::Kind;

    use super::*;

    fn span(id: &str, parent: Option<&str>, name: &str, after_us: i64, took_us: u64) -> Span {
        Span {
            began: jiff::Timestamp::from_microsecond(after_us).expect("a time"),
            took_us,
            service: if parent.is_none() { "edge" } else { "chat" }.into(),
            name: name.into(),
            kind: Kind::Server,
            trace_id: "t".into(),
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            failed: (id == "c").then(|| "no\u{1b}[2Jbody".to_owned()),
            attributes: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn spans_are_drawn_where_they_lay_in_time_and_below_what_they_are_within() {
        let spans = [
            span("c", Some("b"), "store", 18_000, 6_000),
            span("b", Some("a"), "POST /ask", 6_000, 18_000),
            span("a", None, "POST chat", 0, 24_000),
        ];
        assert_eq!(
            picture(&spans, Style::PLAIN),
            [
                "  24.00 ms ████████████████████████ edge POST chat",
                "  18.00 ms ······██████████████████ chat   POST /ask",
                r"   6.00 ms ··················██████ chat     store failed no\u{1b}[2Jbody",
            ]
        );
        assert!(picture(&[], Style::PLAIN).is_empty());
        let short = picture(&[span("a", None, "x", 0, 0), span("b", None, "y", 1_000_000, 0)], Style::PLAIN);
        assert!(short.iter().all(|line| line.contains('█') && line.chars().count() < 50), "{short:?}");
    }
}
