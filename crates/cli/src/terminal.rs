//! What the two output streams can do: colours, width, redrawing in place.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use clap::ValueEnum;
use serde::Serialize;

use crate::show::style::Style;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// Whether to paint; what a person asked for by flag goes over `NO_COLOR` (<https://no-color.org>).
    fn paints(self, terminal: bool, no_color: Option<&str>, term: Option<&str>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && no_color.is_none_or(str::is_empty) && term != Some("dumb"),
        }
    }
}

/// A stream's abilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Whether text is painted.
    pub(crate) painted: bool,
    /// Whether lines can be redrawn in place.
    pub(crate) live: bool,
    /// Whether a person is at the other end.
    pub(crate) terminal: bool,
}

impl Abilities {
    /// Asks the stream and the environment.
    pub(crate) fn of(stream: &impl IsTerminal, choice: ColorChoice) -> Self {
        let terminal = stream.is_terminal();
        let (no_color, term) = (env::var("NO_COLOR").ok(), env::var("TERM").ok());
        let paints = choice.paints(terminal, no_color.as_deref(), term.as_deref());
        Self { painted: paints, live: terminal && term.as_deref() != Some("dumb"), terminal }
    }
}

/// Columns and rows of the terminal behind a stream.
pub(crate) fn size(stream: impl AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// Standard output. A reader that went away (`mana status | head -1`) ends the writing and changes nothing else: the
/// command goes on to its own exit code.
#[derive(Debug)]
pub(crate) struct Output {
    /// What it can do.
    pub(crate) abilities: Abilities,
    closed: bool,
    /// Lines that the next [`Output::redraw`] replaces.
    drawn: usize,
}

impl Output {
    /// Standard output, painted as chosen.
    pub(crate) fn new(choice: ColorChoice) -> Self {
        Self { abilities: Abilities::of(&io::stdout(), choice), closed: false, drawn: 0 }
    }

    /// How text is painted.
    pub(crate) fn style(&self) -> Style {
        Style::new(self.abilities.painted)
    }

    /// Columns to fit text into; `None` where nobody's screen is at the other end.
    pub(crate) fn width(&self) -> Option<usize> {
        self.abilities.terminal.then(|| size(io::stdout()))?.map(|(columns, _)| columns)
    }

    /// Rows of the terminal.
    pub(crate) fn height(&self) -> Option<usize> {
        self.abilities.terminal.then(|| size(io::stdout()))?.map(|(_, rows)| rows)
    }

    /// Whether the reader went away.
    pub(crate) fn closed(&self) -> bool {
        self.closed
    }

    /// One line.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// Lines.
    pub(crate) fn lines(&mut self, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() { Ok(()) } else { self.line(&lines.join("\n")) }
    }

    /// A value as JSON on one line.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string(value)?)
    }

    /// A value as indented JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string_pretty(value)?)
    }

    /// Replaces what the last call drew by these lines. Only where [`Abilities::live`].
    pub(crate) fn redraw(&mut self, lines: &[String]) -> io::Result<()> {
        // Writing to a `String` cannot fail.
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\u{1b}[{}A", self.drawn);
        }
        for line in lines {
            let _ = writeln!(text, "\r{line}\u{1b}[K");
        }
        text.push_str("\u{1b}[J");
        self.drawn = lines.len();
        self.text(&text)
    }

    /// Leaves what was drawn as it is; the next [`Output::redraw`] starts below it.
    pub(crate) fn keep(&mut self) {
        self.drawn = 0;
    }

    /// Text as it is.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_flag_then_no_color_then_the_terminal() {
        let cases = [
            (ColorChoice::Auto, true, None, Some("xterm"), true),
            (ColorChoice::Auto, true, Some(""), Some("xterm"), true),
            (ColorChoice::Auto, true, Some("1"), Some("xterm"), false),
            (ColorChoice::Auto, true, None, Some("dumb"), false),
            (ColorChoice::Auto, false, None, Some("xterm"), false),
            (ColorChoice::Always, false, Some("1"), None, true),
            (ColorChoice::Never, true, None, Some("xterm"), false),
        ];
        for (choice, terminal, no_color, term, paints) in cases {
            assert_eq!(choice.paints(terminal, no_color, term), paints, "{choice:?} {terminal} {no_color:?} {term:?}");
        }
    }
}
