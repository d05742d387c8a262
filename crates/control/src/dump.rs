//! Copies of a service's database, taken before something runs that cannot be taken back.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mana_delivery::migration::Engine;
use rusqlite::{Connection, OpenFlags};
use secrecy::{ExposeSecret, SecretString};

use crate::{clock, paths};

/// Copies that are kept of a service's database; older ones go with the next.
const KEPT: usize = 5;

/// Copies it into the data folder, for a rollout of the service; says where the copy lies.
pub(crate) fn keep(
    data: &Path,
    service: &str,
    url: &SecretString,
    engine: Engine,
    rollout: u64,
) -> Result<PathBuf, String> {
    let folder = paths::dumps(data, service);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let time = clock::timestamp().strftime("%Y%m%dT%H%M%S.%3fZ").to_string();
    let ending = match engine {
        Engine::Sqlite => "db",
        Engine::Postgres => "dump",
    };
    let to = folder.join(format!("{time}-{rollout}-{}.{ending}", &clock::unique()[..8]));
    let kept = match engine {
        Engine::Sqlite => sqlite(url, &to),
        Engine::Postgres => postgres(url, &to),
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

fn sqlite(url: &SecretString, to: &Path) -> Result<(), String> {
    let path = url.expose_secret().trim_start_matches("sqlite:").trim_start_matches("//");
    let path = path.split('?').next().unwrap_or_default();
    if !Path::new(path).exists() {
        return Err(format!("{path} is not there"));
    }
    // Made here for its mode: the copy holds what the database holds.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| error.to_string())?;
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| error.to_string())?;
    db.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop).map_err(|error| error.to_string())?;
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| error.to_string())
}

/// The password goes through the environment, which other users cannot read.
fn postgres(url: &SecretString, to: &Path) -> Result<(), String> {
    let mut bare =
        url::Url::parse(url.expose_secret()).map_err(|error| format!("its URL is not understood: {error}"))?;
    let password = bare.password().map(percent_decoded);
    // It has a host, so that this cannot fail.
    let _ = bare.set_password(None);
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

fn percent_decoded(text: &str) -> String {
    let pairs = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
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
        let url = SecretString::from(format!("sqlite://{}", path.display()));
        let copy = keep(folder.path(), "chat", &url, Engine::Sqlite, 7).expect("copied");
        assert_eq!(fs::metadata(&copy).expect("there").permissions().mode() & 0o777, 0o600);
        let count = |db: &Connection| db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(count(&Connection::open(&copy).expect("opened")).expect("read"), 2);
        let gone = SecretString::from("sqlite:///nowhere/x.db");
        assert!(keep(folder.path(), "chat", &gone, Engine::Sqlite, 8).is_err());
        let copies = || fs::read_dir(paths::dumps(folder.path(), "chat")).expect("read").count();
        assert_eq!(copies(), 1, "nothing half-made stays");
        let newer: Vec<_> = (9..20)
            .map(|rollout| keep(folder.path(), "chat", &url, Engine::Sqlite, rollout).expect("copied"))
            .collect();
        assert!(newer[newer.len() - KEPT..].iter().all(|copy| copy.exists()) && copies() == KEPT, "the newest stay");
    }

    #[test]
    fn a_password_is_what_its_url_says() {
        assert_eq!(percent_decoded("a%2Fb+c%20d%26e"), "a/b+c d&e");
    }
}
