//! Copies of a service's database, taken before something runs that cannot be taken back.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::{Connection, OpenFlags};
use secrecy::{ExposeSecret, SecretString};

use crate::database::Database;
use crate::postgres::for_programs;
use crate::{clock, paths};

/// Copies that are kept of a service's database; older ones go with the next.
const KEPT: usize = 5;

/// Copies it into the data folder, for a rollout of the service; says where the copy lies.
pub(crate) fn keep(data: &Path, service: &str, database: &Database, rollout: u64) -> Result<PathBuf, String> {
    let folder = paths::dumps(data, service);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let time = clock::timestamp().strftime("%Y%m%dT%H%M%S.%3fZ").to_string();
    let ending = match database {
        Database::Sqlite(_) => "db",
        Database::Postgres(_) => "dump",
    };
    let to = folder.join(format!("{time}-{rollout}-{}.{ending}", &clock::unique()[..8]));
    let kept = match database {
        Database::Sqlite(path) => sqlite(path, &to),
        Database::Postgres(url) => postgres(url, &to),
    };
    kept.inspect_err(|_| drop(fs::remove_file(&to)))?;
    // The copy is there, which is what was asked for: one too many is only said.
    if let Err(error) = forget_old(&folder) {
        tracing::warn!(folder = %folder.display(), %error, "old copies of a database are not removed");
    }
    Ok(to)
}

/// Their names begin with their time.
fn forget_old(folder: &Path) -> std::io::Result<()> {
    let mut copies = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    copies.sort();
    let old = copies.len().saturating_sub(KEPT);
    copies[..old].iter().try_for_each(fs::remove_file)
}

fn sqlite(path: &Path, to: &Path) -> Result<(), String> {
    if !path.exists() {
        return Err(format!("{} is not there", path.display()));
    }
    // Made here for its mode: the copy holds what the database holds.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| error.to_string())?;
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| error.to_string())?;
    db.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop).map_err(|error| error.to_string())?;
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| error.to_string())
}

fn postgres(url: &SecretString, to: &Path) -> Result<(), String> {
    let (bare, password) = for_programs(url.expose_secret())?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| error.to_string())?;
    let mut dump = Command::new("pg_dump");
    dump.args(["--format=custom", "--no-password", "--file"]).arg(to).arg("--dbname").arg(bare.as_str());
    dump.envs(password.map(|password| ("PGPASSWORD", password))).stdin(Stdio::null());
    let output =
        dump.output().map_err(|error| format!("pg_dump cannot be run ({error}); install postgresql-client"))?;
    if !output.status.success() {
        return Err(format!("pg_dump failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_in_use_is_copied_as_a_whole_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("chat.db");
        let db = Connection::open(&path).expect("made");
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
            .expect("filled");
        let database = Database::at(format!("sqlite://{}?mode=rwc", path.display())).expect("a database");
        let copy = keep(folder.path(), "chat", &database, 7).expect("copied");
        assert_eq!(fs::metadata(&copy).expect("there").permissions().mode() & 0o777, 0o600);
        let count = |db: &Connection| db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(count(&Connection::open(&copy).expect("opened")).expect("read"), 2);
        let gone = Database::Sqlite("/nowhere/x.db".into());
        assert!(keep(folder.path(), "chat", &gone, 8).is_err());
        let copies = || fs::read_dir(paths::dumps(folder.path(), "chat")).expect("read").count();
        assert_eq!(copies(), 1, "nothing half-made stays");
        let newer: Vec<_> =
            (9..20).map(|rollout| keep(folder.path(), "chat", &database, rollout).expect("copied")).collect();
        assert!(newer[newer.len() - KEPT..].iter().all(|copy| copy.exists()) && copies() == KEPT, "the newest stay");
    }
}
