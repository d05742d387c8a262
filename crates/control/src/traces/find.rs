//! Spans out of the files: all lines are passed over, and only those with a wanted id are read.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use mana_runtime::logs::rotated;
use mana_watch::trace::Span;
use memchr::memmem::Finder;

use super::keep::{MORE, SHARED, Size};
use crate::paths;

/// Spans of a request that are shown.
const MOST_SPANS: usize = 1_000;
/// A search that takes longer gives what it has found until then.
const PATIENCE: Duration = Duration::from_secs(3);
/// Read at once.
const READ_BYTES: usize = 64 * 1024;

/// The spans of these traces, and those that name these requests.
pub(crate) fn find(data: &Path, ids: &BTreeSet<String>) -> Vec<Span> {
    let (shared, more) = (paths::spans(data), paths::more_spans(data));
    find_in(&[(shared.as_path(), SHARED), (more.as_path(), MORE)], ids)
}

/// In rows of files.
pub(super) fn find_in(rows: &[(&Path, Size)], ids: &BTreeSet<String>) -> Vec<Span> {
    let until = Instant::now() + PATIENCE;
    let finders: Vec<Finder<'_>> = ids.iter().map(|id| Finder::new(id.as_bytes())).collect();
    let mut spans = Vec::new();
    for (path, size) in rows {
        find_in_row(path, size.files, ids, &finders, until, &mut spans);
    }
    spans.truncate(MOST_SPANS);
    spans
}

fn find_in_row(
    path: &Path,
    files: usize,
    ids: &BTreeSet<String>,
    finders: &[Finder<'_>],
    until: Instant,
    spans: &mut Vec<Span>,
) {
    let begin = spans.len();
    // The newest first: opened before the others, it stays what it is even if it is put aside meanwhile. It may then be read
    // twice, which nobody sees: a span stands once in a tree.
    for number in 0..files {
        let path = if number == 0 { path.to_owned() } else { rotated(path, number) };
        let before = spans.len();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, path = %path.display(), "spans cannot be read");
                }
                break;
            }
        };
        if let Err(error) = read(file, ids, finders, until, spans) {
            tracing::warn!(%error, path = %path.display(), "spans cannot be read");
        }
        // A request is over in minutes: its spans are in one file, or in two that follow each other.
        if spans.len() >= MOST_SPANS || Instant::now() >= until || (before > begin && spans.len() == before) {
            break;
        }
    }
}

fn read(
    file: File,
    ids: &BTreeSet<String>,
    finders: &[Finder<'_>],
    until: Instant,
    spans: &mut Vec<Span>,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(READ_BYTES, file);
    let mut line = Vec::new();
    let mut lines = 0_u64;
    while spans.len() < MOST_SPANS && reader.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        if finders.iter().any(|finder| finder.find(&line).is_some())
            && let Some(span) = std::str::from_utf8(&line).ok().and_then(Span::read)
            && is_of(&span, ids)
        {
            spans.push(span);
        }
        line.clear();
        if lines.is_multiple_of(10_000) && Instant::now() >= until {
            break;
        }
    }
    Ok(())
}

/// What stands elsewhere in it, such as in a path that somebody asked for, is no id of it.
fn is_of(span: &Span, ids: &BTreeSet<String>) -> bool {
    ids.contains(&span.trace_id) || span.attributes.get(REQUEST_ID).is_some_and(|id| ids.contains(id))
}

/// The attribute in which spans of the edge and of `kit` name the request.
const REQUEST_ID: &str = "mana.request_id";
