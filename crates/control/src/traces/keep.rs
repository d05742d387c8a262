//! Writes spans, a line each. Bounded: a file is put aside when it is [`MOST_BYTES`] large or a day old, and so many of them are kept; one
//! whose last line is older than [`MOST_AGE`] is deleted. What is there of spans is then 256 MiB, and about a week, at most.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use mana_runtime::logs::rotated;
use mana_watch::trace::Span;
use mana_watch::trace::otlp::{self, Form};
use tokio::sync::oneshot;

use crate::clock;

/// Size at which a file is put aside.
const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// Files, the one that is written included.
pub(super) const FILES: usize = 8;
/// Age at which a file is put aside, counted from its first line.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);
/// Age at which a file is deleted, counted from its last line.
const MOST_AGE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How often ages are looked at while nothing comes.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// Bodies that may wait: with those that are being received, 80 MiB at the very most, some hundred kilobytes usually.
const BACKLOG: usize = 16;

/// A body, and where to say what became of it.
pub(super) struct Batch {
    pub(super) service: String,
    pub(super) form: Form,
    pub(super) body: Bytes,
    pub(super) reply: oneshot::Sender<Outcome>,
}

pub(super) enum Outcome {
    Kept { refused: usize },
    Unreadable(otlp::Error),
    Unwritten,
}

/// Begins to write.
pub(super) fn start(path: PathBuf) -> io::Result<SyncSender<Batch>> {
    let (sender, batches) = sync_channel(BACKLOG);
    std::thread::Builder::new().name("spans".to_owned()).spawn(move || run(path, &batches))?;
    Ok(sender)
}

fn run(path: PathBuf, batches: &Receiver<Batch>) {
    let mut keeper = Keeper::new(path);
    let mut told = false;
    loop {
        let batch = match batches.recv_timeout(LOOK_EVERY) {
            Ok(batch) => Some(batch),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = clock::timestamp();
        let Some(Batch { service, form, body, reply }) = batch else {
            keeper.forget(now);
            continue;
        };
        let outcome = match otlp::read(&service, form, &body) {
            Err(error) => Outcome::Unreadable(error),
            Ok(taken) => match keeper.write(&taken.spans, now) {
                Ok(()) => {
                    told = false;
                    Outcome::Kept { refused: taken.refused }
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "spans cannot be written; they are lost until they can");
                    }
                    Outcome::Unwritten
                }
            },
        };
        // Whoever sent it may have gone.
        let _ = reply.send(outcome);
    }
}

/// The file that is written.
struct Keeper {
    path: PathBuf,
    open: Option<Open>,
    most_bytes: u64,
}

struct Open {
    file: File,
    bytes: u64,
    /// When its first line was written.
    since: Timestamp,
    /// It may end within a line.
    torn: bool,
}

impl Keeper {
    fn new(path: PathBuf) -> Self {
        Self { path, open: None, most_bytes: MOST_BYTES }
    }

    fn write(&mut self, spans: &[Span], now: Timestamp) -> io::Result<()> {
        let full = |open: &Open| open.bytes >= self.most_bytes || now.duration_since(open.since) >= A_DAY;
        if self.open.as_ref().is_some_and(full) {
            self.open = None;
            put_aside(&self.path)?;
            self.forget(now);
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(open(&self.path, now)?),
        };
        let mut text = if open.torn { "\n".to_owned() } else { String::new() };
        for span in spans {
            text.push_str(&span.line());
            text.push('\n');
        }
        open.torn = true;
        open.file.write_all(text.as_bytes())?;
        open.torn = false;
        open.bytes += text.len() as u64;
        Ok(())
    }

    /// Deletes what is too old.
    fn forget(&mut self, now: Timestamp) {
        for number in 0..FILES {
            let path = if number == 0 { self.path.clone() } else { rotated(&self.path, number) };
            let written = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            let written = written.and_then(|time| Timestamp::try_from(time).ok());
            if written.is_none_or(|written| now.duration_since(written) < MOST_AGE) {
                continue;
            }
            if number == 0 {
                self.open = None;
            }
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "spans that are too old cannot be deleted");
            }
        }
    }
}

fn open(path: &Path, now: Timestamp) -> io::Result<Open> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    let mut first = String::new();
    // A file that does not say since when it is written is as new as what is written now.
    let since = BufReader::new(File::open(path)?).read_line(&mut first).ok().and_then(|_| Span::read(&first));
    Ok(Open { file, bytes, since: since.map_or(now, |span| span.began), torn: bytes > 0 && !ends_line(path)? })
}

fn ends_line(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The file becomes the newest of those put aside; the oldest one makes room.
fn put_aside(path: &Path) -> io::Result<()> {
    for number in (0..FILES - 1).rev() {
        let from = if number == 0 { path.to_owned() } else { rotated(path, number) };
        match fs::rename(from, rotated(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use mana_watch::trace::Kind;

    use super::super::find::find_in;
    use super::*;

    fn span(number: u64) -> Span {
        Span {
            began: Timestamp::UNIX_EPOCH,
            took_us: 1,
            service: "chat".into(),
            name: "GET /".into(),
            kind: Kind::Server,
            trace_id: format!("{:032x}", number / 3 + 1),
            span_id: format!("{:016x}", number + 1),
            parent_span_id: None,
            failed: None,
            attributes: BTreeMap::new(),
        }
    }

    fn keeper(folder: &Path, most_bytes: u64) -> Keeper {
        Keeper { most_bytes, ..Keeper::new(folder.join("1-spans.log")) }
    }

    fn held(folder: &Path) -> (usize, u64) {
        let sizes: Vec<u64> = fs::read_dir(folder)
            .expect("read")
            .map(|entry| entry.and_then(|entry| entry.metadata()).expect("there").len())
            .collect();
        (sizes.len(), sizes.iter().sum())
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_newest_of_it_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut keeper = keeper(folder.path(), 2_000);
        let now = Timestamp::UNIX_EPOCH;
        for number in 0..900 {
            keeper.write(&[span(number)], now).expect("written");
            let (files, bytes) = held(folder.path());
            assert!(files <= FILES && bytes <= FILES as u64 * 2_300, "{files} files, {bytes} bytes");
        }
        let found = |trace: u64| find_in(&keeper.path, &BTreeSet::from([format!("{trace:032x}")]));
        assert_eq!(found(300).len(), 3, "the last trace is whole");
        assert_eq!(found(290).len(), 3, "one of a file that was put aside, too");
        assert_eq!(found(1).len(), 0, "the first one made room");
    }

    #[test]
    fn a_day_makes_another_file_and_a_week_deletes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut keeper = keeper(folder.path(), MOST_BYTES);
        let now = clock::timestamp();
        let today = Span { began: now, ..span(0) };
        keeper.write(std::slice::from_ref(&today), now).expect("written");
        let later = |hours| now.checked_add(SignedDuration::from_hours(hours)).expect("a time");
        keeper.write(std::slice::from_ref(&today), later(23)).expect("written");
        assert_eq!(held(folder.path()).0, 1);
        keeper.write(std::slice::from_ref(&today), later(25)).expect("written");
        assert_eq!(held(folder.path()).0, 2);
        keeper.forget(later(6 * 24));
        assert_eq!(held(folder.path()).0, 2);
        keeper.forget(later(7 * 24 + 1));
        assert_eq!(held(folder.path()).0, 0, "nothing was written for a week");
        keeper.write(&[today], later(7 * 24 + 2)).expect("written anew");
        assert_eq!(held(folder.path()).0, 1);
    }

    #[test]
    fn a_line_that_a_kill_has_torn_costs_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("1-spans.log");
        let whole = span(0).line();
        fs::write(&path, format!("{whole}\n{}", &whole[..40])).expect("written");
        keeper(folder.path(), MOST_BYTES).write(&[span(1)], Timestamp::UNIX_EPOCH).expect("written");
        let found = find_in(&path, &BTreeSet::from([format!("{:032x}", 1)]));
        assert_eq!(found, [span(0), span(1)]);
    }
}
