//! Failures on standard error, drawn by miette.

use std::io::{self, IsTerminal, Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, ThemeStyles};

use crate::failure::Failure;
use crate::show::style::Style;
use crate::terminal::{self, Abilities, ColorChoice};

/// Width of messages where nobody's terminal tells one.
const PLAIN_WIDTH: usize = 120;
/// Wider lines are hard to read, however wide the screen.
const MAX_WIDTH: usize = 120;

/// The diagnostic as text, for a stream with these abilities.
pub(crate) fn render(diagnostic: &dyn Diagnostic, painted: bool, width: usize) -> String {
    let mut theme = GraphicalTheme::unicode_nocolor();
    if painted {
        theme.styles = ThemeStyles::ansi();
    }
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false).with_break_words(false);
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        // Drawing fails only on a span outside its source; the message itself must not be lost with it.
        Err(_) => format!("{diagnostic}\n"),
    }
}

/// Shows a failure on standard error, its details before it.
pub(crate) fn show(failure: &Failure, choice: ColorChoice) {
    details(failure.details().into_iter(), choice);
    one(failure, choice);
}

/// Shows diagnostics on standard error, an empty line after each.
pub(crate) fn details<'a>(diagnostics: impl Iterator<Item = &'a (dyn Diagnostic + Send + Sync)>, choice: ColorChoice) {
    for diagnostic in diagnostics {
        one(diagnostic, choice);
        write("\n");
    }
}

fn one(diagnostic: &dyn Diagnostic, choice: ColorChoice) {
    let painted = Abilities::of(&io::stderr(), choice).painted;
    let width = io::stderr().is_terminal().then(|| terminal::size(io::stderr())).flatten();
    let width = width.map_or(PLAIN_WIDTH, |(columns, _)| columns.min(MAX_WIDTH));
    write(render(diagnostic, painted, width).trim_start_matches('\n'));
}

/// Shows lines on standard error, an empty one before them.
pub(crate) fn lines(lines: impl FnOnce(Style) -> Vec<String>, choice: ColorChoice) {
    let style = Style::new(Abilities::of(&io::stderr(), choice).painted);
    write(&format!("\n{}\n", lines(style).join("\n")));
}

/// One line on standard error.
pub(crate) fn note(line: &str) {
    write(&format!("{line}\n"));
}

fn write(text: &str) {
    // Nothing is left to report to when standard error itself is gone; `eprint` would panic then.
    let _ = io::stderr().write_all(text.as_bytes());
}
