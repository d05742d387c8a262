//! Which lines of a log are meant.

use std::io;

use jiff::{SignedDuration, Timestamp};
use mana_control::logs::{self, Asked, Line, Search};

use super::Args;
use super::sources::Source;
use crate::clock;
use crate::failure::Failure;

/// Lines of a log among which is looked for some.
const MOST_SEARCHED: usize = 20_000;

/// All of them, or those that are looked for.
pub(super) struct Wanted(Option<Search>);

impl Wanted {
    /// What the command line says.
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let since = args.since.as_deref().map(|since| begin(since, clock::now()).unwrap_or_else(|| since.to_owned()));
        let asked = Asked {
            level: args.level.clone().unwrap_or_default(),
            q: args.search.clone().unwrap_or_default(),
            // One that is over is looked for under all of its ids.
            request_id: args.request.clone().filter(|_| args.follow).unwrap_or_default(),
            from: since.unwrap_or_default(),
            ..Asked::default()
        };
        let help = || "`mana logs --help` has examples".to_owned();
        let search = asked.search().map_err(|what| Failure::Usage { what, help: help() })?;
        Ok(Self((search != Search::default()).then_some(search)))
    }

    /// How many lines have to be read for so many.
    pub(super) fn back(&self, lines: usize) -> usize {
        if self.0.is_some() && lines > 0 { MOST_SEARCHED } else { lines }
    }

    /// The last `lines` of a log.
    pub(super) fn tail(&self, source: &Source, lines: usize) -> io::Result<Vec<String>> {
        Ok(self.last(source, logs::tail(&source.path, self.back(lines))?, lines))
    }

    /// The last `lines` of these.
    pub(super) fn last(&self, source: &Source, read: Vec<String>, lines: usize) -> Vec<String> {
        let mut wanted = self.of(source, read);
        wanted.split_off(wanted.len().saturating_sub(lines))
    }

    /// Those of these.
    pub(super) fn of(&self, source: &Source, mut lines: Vec<String>) -> Vec<String> {
        if let Some(search) = &self.0 {
            // That something is missing is told whatever is looked for.
            lines.retain(|line| line == logs::ROTATED_AWAY || search.fits(&Line::read(&source.service, 1, line)));
        }
        lines
    }

    /// Whether a line that was read is one of them.
    pub(super) fn has(&self, line: &Line) -> bool {
        self.0.as_ref().is_none_or(|search| search.fits(line))
    }
}

/// So long ago, in the way that the search understands; `None`: it is no duration.
fn begin(ago: &str, now: Timestamp) -> Option<String> {
    let ago: SignedDuration = ago.parse().ok()?;
    Some(now.checked_sub(ago.abs()).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_as_such_or_by_how_long_ago_it_was() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        for (said, begins) in [
            ("15m", Some("2026-01-02T02:49:05Z")),
            ("1h 30m", Some("2026-01-02T01:34:05Z")),
            ("2026-01-02T03:04", None),
            ("yesterday", None),
        ] {
            assert_eq!(begin(said, now).as_deref(), begins, "{said}");
        }
    }
}
