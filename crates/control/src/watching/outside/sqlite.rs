//! A file of SQLite: how large it and its journal are, and now and then whether it is whole.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::clock;

/// How often a file is read through.
const CHECK_EVERY: Duration = Duration::from_hours(6);
/// How long that may take: a file that is too large for it is not judged.
const CHECK_LONGEST: Duration = Duration::from_secs(4);
/// How often one that was not judged is tried again.
const TRY_AGAIN: Duration = Duration::from_mins(15);

/// What is known of a file's last check.
#[derive(Debug, Clone)]
pub(in super::super) struct Check {
    /// Seconds since 1970.
    pub(in super::super) at: f64,
    pub(in super::super) whole: bool,
}

/// What is kept from one round to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    check: Option<Check>,
    next: Option<Instant>,
}

/// A round.
#[derive(Debug)]
pub(in super::super) struct Read {
    pub(in super::super) bytes: f64,
    /// What is not in the file itself yet.
    pub(in super::super) wal_bytes: f64,
    pub(in super::super) check: Option<Check>,
}

/// Looks at a file. Blocks.
pub(super) fn look(file: &Path, kept: &mut Kept) -> Result<Read, String> {
    let bytes = size(file).map_err(|error| error.to_string())?;
    let mut wal = file.as_os_str().to_owned();
    wal.push("-wal");
    // There is none while nobody has it open.
    let wal_bytes = size(&PathBuf::from(wal)).unwrap_or(0.0);
    if kept.next.is_none_or(|next| Instant::now() >= next) {
        let judged = is_whole(file, CHECK_LONGEST);
        let wait = if judged.is_ok() { CHECK_EVERY } else { TRY_AGAIN };
        kept.next = Some(Instant::now() + wait);
        match judged {
            Ok(whole) => kept.check = Some(Check { at: now_seconds(), whole }),
            Err(why) => tracing::info!(file = %file.display(), why, "a database was not checked"),
        }
    }
    Ok(Read { bytes, wal_bytes, check: kept.check.clone() })
}

/// Reads the file through, without changing it.
fn is_whole(file: &Path, longest: Duration) -> Result<bool, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let damaged = |error: &rusqlite::Error| {
        matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    };
    let connection = Connection::open_with_flags(file, flags).map_err(|error| error.to_string())?;
    connection.busy_timeout(Duration::from_secs(1)).map_err(|error| error.to_string())?;
    let handle = connection.get_interrupt_handle();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let answer = std::thread::scope(|scope| {
        scope.spawn(move || {
            // It ends at once when the check does.
            if ended.recv_timeout(longest) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let answer = connection.query_row("pragma quick_check(1)", [], |row| row.get::<_, String>(0));
        drop(done);
        answer
    });
    match answer {
        Ok(text) => Ok(text == "ok"),
        Err(error) if damaged(&error) => Ok(false),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Err(format!("it takes longer than {} s to read", longest.as_secs()))
        }
        Err(error) => Err(error.to_string()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn size(file: &Path) -> std::io::Result<f64> {
    Ok(std::fs::metadata(file)?.len() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn now_seconds() -> f64 {
    clock::timestamp().as_second() as f64
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_whole_file_is_told_from_a_damaged_one_and_from_one_that_is_not_there() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("a.db");
        let writer = Connection::open(&file).expect("made");
        writer.execute_batch("pragma journal_mode = wal; create table t (a); create index i on t (a);").expect("made");
        for number in 0..2_000 {
            writer.execute("insert into t values (?1)", [format!("{number:0100}")]).expect("written");
        }
        let mut kept = Kept::default();
        let read = look(&file, &mut kept).expect("looked at");
        assert!(read.wal_bytes > 0.0 && read.check.is_some_and(|check| check.whole));
        writer.execute_batch("pragma wal_checkpoint(truncate)").expect("written back");
        drop(writer);
        let pages = std::fs::OpenOptions::new().write(true).open(&file).expect("opened");
        for page in 2..20 {
            pages.write_all_at(&[0xab; 4096], page * 4096).expect("damaged");
        }
        // It is not read through again so soon.
        assert!(look(&file, &mut kept).expect("looked at").check.is_some_and(|check| check.whole));
        let read = look(&file, &mut Kept::default()).expect("looked at");
        assert!(read.bytes > 100_000.0 && read.check.is_some_and(|check| !check.whole));
        look(&folder.path().join("none.db"), &mut Kept::default()).expect_err("it is not there");
    }
}
