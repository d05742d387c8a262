//! Writes spans, a line each, into two rows of files. Bounded: a file is put aside when it is full or a day old, and so many of a row are kept;
//! one whose last line is older than [`MOST_AGE`] is deleted. What is there of spans is then 256 MiB, and about a week, at most.
//!
//! Nobody pushes out the others: of each file of the first row a service fills an eighth at most. What it says beyond that goes into the second
//! row, where those who say most are among themselves.

use std::collections::BTreeMap;
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

use crate::{clock, paths};

/// A row of files: what one holds until it is put aside, and how many there are, the one that is written included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    file_bytes: u64,
    pub(super) files: usize,
}

/// Of what everybody says within his share: days of it, up to a week.
pub(super) const SHARED: Size = Size { file_bytes: 16 * 1024 * 1024, files: 8 };
/// Of what some say beyond.
pub(super) const MORE: Size = Size { file_bytes: 32 * 1024 * 1024, files: 4 };
/// A service's share of a shared file is one of so many.
const SHARES: u64 = 8;
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
pub(super) fn start(data: &Path) -> io::Result<SyncSender<Batch>> {
    let (sender, batches) = sync_channel(BACKLOG);
    let (shared, more) = (Row::new(paths::spans(data), SHARED), Row::new(paths::more_spans(data), MORE));
    std::thread::Builder::new().name("spans".to_owned()).spawn(move || run(Keeper::new(shared, more), &batches))?;
    Ok(sender)
}

fn run(mut keeper: Keeper, batches: &Receiver<Batch>) {
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
            Ok(taken) => match keeper.write(&service, &taken.spans, now) {
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

/// Both rows, and how much of the shared file each service has.
struct Keeper {
    shared: Row,
    more: Row,
    shares: BTreeMap<String, u64>,
}

/// A row of files.
struct Row {
    path: PathBuf,
    size: Size,
    open: Option<Open>,
}

/// The file that is written.
struct Open {
    file: File,
    bytes: u64,
    /// When its first line was written.
    since: Timestamp,
    /// It may end within a line.
    torn: bool,
}

impl Keeper {
    /// What an earlier control plane wrote counts as well.
    fn new(shared: Row, more: Row) -> Self {
        let said = shares(&shared.path).unwrap_or_else(|error| {
            tracing::warn!(%error, "which service has said how much is not known");
            BTreeMap::new()
        });
        Self { shared, more, shares: said }
    }

    fn write(&mut self, service: &str, spans: &[Span], now: Timestamp) -> io::Result<()> {
        let mut text = String::new();
        for span in spans {
            text.push_str(&span.line());
            text.push('\n');
        }
        if self.shared.make_room(now)? {
            self.shares.clear();
        }
        let bytes = text.len() as u64;
        let had = self.shares.get(service).copied().unwrap_or_default();
        if had + bytes <= self.shared.size.file_bytes / SHARES {
            self.shared.write(&text, now)?;
            self.shares.insert(service.to_owned(), had + bytes);
            return Ok(());
        }
        self.more.make_room(now)?;
        self.more.write(&text, now)
    }

    /// Deletes what is too old.
    fn forget(&mut self, now: Timestamp) {
        self.shared.forget(now);
        self.more.forget(now);
        if self.shared.open.is_none() && !self.shared.path.exists() {
            self.shares.clear();
        }
    }
}

/// How much each service has of a file.
fn shares(path: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut shares = BTreeMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(shares),
        Err(error) => return Err(error),
    };
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some(span) = std::str::from_utf8(&line).ok().and_then(Span::read) {
            *shares.entry(span.service).or_default() += line.len() as u64;
        }
        line.clear();
    }
    Ok(shares)
}

impl Row {
    fn new(path: PathBuf, size: Size) -> Self {
        Self { path, size, open: None }
    }

    /// Puts the file aside where it is full or too old; whether it did.
    fn make_room(&mut self, now: Timestamp) -> io::Result<bool> {
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(open(&self.path, now)?),
        };
        if open.bytes < self.size.file_bytes && now.duration_since(open.since) < A_DAY {
            return Ok(false);
        }
        self.open = None;
        put_aside(&self.path, self.size.files)?;
        self.forget(now);
        Ok(true)
    }

    fn write(&mut self, text: &str, now: Timestamp) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(open(&self.path, now)?),
        };
        let text = if open.torn { format!("\n{text}") } else { text.to_owned() };
        open.torn = true;
        open.file.write_all(text.as_bytes())?;
        open.torn = false;
        open.bytes += text.len() as u64;
        Ok(())
    }

    fn forget(&mut self, now: Timestamp) {
        for number in 0..self.size.files {
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
fn put_aside(path: &Path, files: usize) -> io::Result<()> {
    for number in (0..files - 1).rev() {
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

    fn said(service: &str, number: u64) -> Span {
        Span { service: service.to_owned(), ..span(number) }
    }

    fn keeper(folder: &Path, shared: Size, more: Size) -> Keeper {
        Keeper::new(Row::new(folder.join("1-spans.log"), shared), Row::new(folder.join("2-spans.log"), more))
    }

    fn found(keeper: &Keeper, trace: u64) -> usize {
        let ids = BTreeSet::from([format!("{trace:032x}")]);
        let row = |row: &Row| find_in(&[(row.path.as_path(), row.size)], &ids).len();
        row(&keeper.shared) + row(&keeper.more)
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
        let size = Size { file_bytes: 2_000, files: 8 };
        let mut keeper = keeper(folder.path(), size, size);
        let now = Timestamp::UNIX_EPOCH;
        for number in 0..900 {
            keeper.write("chat", &[span(number)], now).expect("written");
            let (files, bytes) = held(folder.path());
            assert!(files <= 9 && bytes <= 9 * 2_300, "{files} files, {bytes} bytes");
        }
        assert_eq!(found(&keeper, 300), 3, "the last trace is whole");
        assert_eq!(found(&keeper, 290), 3, "one of a file that was put aside, too");
        assert_eq!(found(&keeper, 200), 0, "one before made room");
    }

    #[test]
    fn a_service_that_never_stops_pushes_out_no_other_and_has_its_own_newest_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (shared, more) = (Size { file_bytes: 8_000, files: 2 }, Size { file_bytes: 8_000, files: 2 });
        let now = Timestamp::UNIX_EPOCH;
        let mut first = keeper(folder.path(), shared, more);
        for number in 0..3 {
            first.write("chat", &[said("chat", number)], now).expect("written");
        }
        for number in 3..600 {
            first.write("loud", &[said("loud", number)], now).expect("written");
        }
        // Nor where the control plane begins anew again and again.
        let mut later = keeper(folder.path(), shared, more);
        for number in 600..900 {
            if number % 5 == 0 {
                later = keeper(folder.path(), shared, more);
            }
            later.write("loud", &[said("loud", number)], now).expect("written");
        }
        assert_eq!(found(&later, 1), 3, "what chat said is there");
        assert_eq!(found(&later, 300), 3, "the newest of what is loud, too");
        assert_eq!(found(&later, 100), 0, "it has pushed out itself");
    }

    #[test]
    fn a_day_makes_another_file_and_a_week_deletes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut keeper = keeper(folder.path(), SHARED, MORE);
        let now = clock::timestamp();
        let today = Span { began: now, ..span(0) };
        keeper.write("chat", std::slice::from_ref(&today), now).expect("written");
        let later = |hours| now.checked_add(SignedDuration::from_hours(hours)).expect("a time");
        keeper.write("chat", std::slice::from_ref(&today), later(23)).expect("written");
        assert_eq!(held(folder.path()).0, 1);
        keeper.write("chat", std::slice::from_ref(&today), later(25)).expect("written");
        assert_eq!(held(folder.path()).0, 2);
        keeper.forget(later(6 * 24));
        assert_eq!(held(folder.path()).0, 2);
        keeper.forget(later(7 * 24 + 1));
        assert_eq!(held(folder.path()).0, 0, "nothing was written for a week");
        keeper.write("chat", &[today], later(7 * 24 + 2)).expect("written anew");
        assert_eq!(held(folder.path()).0, 1);
    }

    #[test]
    fn a_line_that_a_kill_has_torn_costs_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("1-spans.log");
        let whole = span(0).line();
        fs::write(&path, format!("{whole}\n{}", &whole[..40])).expect("written");
        keeper(folder.path(), SHARED, MORE).write("chat", &[span(1)], Timestamp::UNIX_EPOCH).expect("written");
        let found = find_in(&[(path.as_path(), SHARED)], &BTreeSet::from([format!("{:032x}", 1)]));
        assert_eq!(found, [span(0), span(1)]);
    }
}
