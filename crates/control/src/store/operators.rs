//! People who log in. No password is here, only what it hashes to.

use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::sessions::IDLE_S;
use super::{Store, StoreError, Sync, sqlite};
use crate::api::{OperatorView, Role};

/// More of them than a small team has, and fewer than would be slow to list.
const MOST: u32 = 200;
const COLUMNS: &str = "name, role, password, disabled, totp, made_at, \
    (SELECT count(*) FROM sessions WHERE operator = name)";

/// An operator as written down.
#[derive(Clone)]
pub(crate) struct OperatorRow {
    pub(crate) view: OperatorView,
    /// What the password hashes to.
    pub(crate) password: Option<String>,
    /// The second factor's secret, sealed.
    pub(crate) totp: Option<String>,
}

/// An operator with what is known of their ways in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PersonRow {
    /// Its sessions are those that have not ended.
    pub(crate) view: OperatorView,
    pub(crate) passkeys: u32,
    /// RFC 3339.
    pub(crate) last_login: Option<String>,
}

/// Whether something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    Yes,
    /// There is none, or what it was asked of is not so any more.
    No,
}

impl From<usize> for Changed {
    fn from(rows: usize) -> Self {
        if rows > 0 { Self::Yes } else { Self::No }
    }
}

fn operator(row: &Row<'_>) -> rusqlite::Result<OperatorRow> {
    let role: String = row.get(1)?;
    let unknown = || rusqlite::Error::FromSqlConversionFailure(1, Type::Text, format!("no role {role}").into());
    let (password, totp): (Option<String>, Option<String>) = (row.get(2)?, row.get(4)?);
    let view = OperatorView {
        name: row.get(0)?,
        role: Role::named(&role).ok_or_else(unknown)?,
        disabled: row.get(3)?,
        has_password: password.is_some(),
        has_second_factor: totp.is_some(),
        sessions: row.get(6)?,
        made_at: row.get(5)?,
    };
    Ok(OperatorRow { view, password, totp })
}

fn person(row: &Row<'_>) -> rusqlite::Result<PersonRow> {
    let view = OperatorView { sessions: row.get(7)?, ..operator(row)?.view };
    Ok(PersonRow { view, passkeys: row.get(8)?, last_login: row.get(9)? })
}

/// What a code or id is known by.
pub(super) fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

impl Store {
    /// Writes one down; `No`: the name is taken, or there are too many.
    pub(crate) fn add_operator(&mut self, name: &str, role: Role, at: &str) -> Result<Changed, StoreError> {
        self.write("writing down an operator", Sync::Full, |db| {
            let count: u32 = db.query_row("SELECT count(*) FROM operators", [], |row| row.get(0))?;
            if count >= MOST {
                return Ok(Changed::No);
            }
            let written =
                "INSERT INTO operators (name, role, made_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING";
            db.execute(written, params![name, role.as_str(), at]).map(Changed::from)
        })
    }

    pub(crate) fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<OperatorRow>> {
            let query = format!("SELECT {COLUMNS} FROM operators ORDER BY name");
            self.db.prepare(&query)?.query_map([], operator)?.collect()
        };
        read().map_err(sqlite("reading the operators"))
    }

    pub(crate) fn operator(&self, name: &str) -> Result<Option<OperatorRow>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM operators WHERE name = ?1");
        self.db.query_row(&query, [name], operator).optional().map_err(sqlite("reading an operator"))
    }

    /// All of them, by their names. What lets somebody in begins a session, and is a row of the audit log.
    pub(crate) fn people(&self, now: i64) -> Result<Vec<PersonRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<PersonRow>> {
            // Passkeys have names as well.
            let query = format!(
                "SELECT {COLUMNS},
                     (SELECT count(*) FROM sessions
                         WHERE operator = operators.name AND expires_at > ?1 AND seen_at > ?1 - ?2),
                     (SELECT count(*) FROM passkeys WHERE operator = operators.name),
                     (SELECT at FROM audit WHERE number = (SELECT max(number) FROM audit WHERE who = operators.name
                         AND what IN ('login', 'login/passkey', 'invite') AND outcome = 'done'))
                     FROM operators ORDER BY operators.name"
            );
            self.db.prepare(&query)?.query_map([now, IDLE_S], person)?.collect()
        };
        read().map_err(sqlite("reading the operators"))
    }

    /// Whether nobody else could log in as an admin.
    pub(crate) fn is_last_admin(&self, name: &str) -> Result<bool, StoreError> {
        let query = "SELECT count(*) FILTER (WHERE name = ?1) = 1 AND count(*) = 1 FROM operators
                     WHERE role = 'admin' AND password IS NOT NULL AND NOT disabled";
        self.db.query_row(query, [name], |row| row.get(0)).map_err(sqlite("counting the admins"))
    }

    pub(crate) fn set_role(&mut self, name: &str, role: Role) -> Result<Changed, StoreError> {
        self.write("changing a role", Sync::Full, |db| {
            db.execute("UPDATE operators SET role = ?2 WHERE name = ?1", [name, role.as_str()]).map(Changed::from)
        })
    }

    /// Keeps one out, which ends their sessions, or lets them in again.
    pub(crate) fn set_disabled(&mut self, name: &str, disabled: bool) -> Result<Changed, StoreError> {
        self.write("letting an operator in or keeping one out", Sync::Full, |db| {
            if disabled {
                db.execute("DELETE FROM sessions WHERE operator = ?1", [name])?;
                db.execute("DELETE FROM invitations WHERE operator = ?1", [name])?;
            }
            db.execute("UPDATE operators SET disabled = ?2 WHERE name = ?1", params![name, disabled]).map(Changed::from)
        })
    }

    /// Sets another password. All sessions but `kept` end: somebody else may have known the old one.
    pub(crate) fn set_password(&mut self, name: &str, hash: &str, kept: &str) -> Result<Changed, StoreError> {
        self.write("setting a password", Sync::Full, |db| {
            db.execute("DELETE FROM sessions WHERE operator = ?1 AND sha256 <> ?2", [name, kept])?;
            db.execute("UPDATE operators SET password = ?2 WHERE name = ?1", [name, hash]).map(Changed::from)
        })
    }

    /// Sets a second factor with its recovery codes, or (`None`) takes it away with them. All sessions but `kept` end.
    pub(crate) fn set_totp(
        &mut self,
        name: &str,
        factor: Option<(&str, i64, &[String])>,
        kept: &str,
    ) -> Result<Changed, StoreError> {
        self.write("changing a second factor", Sync::Full, |db| {
            db.execute("DELETE FROM recovery_codes WHERE operator = ?1", [name])?;
            db.execute("DELETE FROM sessions WHERE operator = ?1 AND sha256 <> ?2", [name, kept])?;
            let (secret, step, codes) =
                factor.map_or((None, 0, [].as_slice()), |(secret, step, codes)| (Some(secret), step, codes));
            for code in codes {
                db.execute("INSERT INTO recovery_codes (sha256, operator) VALUES (?1, ?2)", [&hash(code), name])?;
            }
            let set = "UPDATE operators SET totp = ?2, totp_step = ?3 WHERE name = ?1";
            db.execute(set, params![name, secret, step]).map(Changed::from)
        })
    }

    /// Seals second factors that an earlier version has kept as they are. Gives how many there were.
    pub(crate) fn seal_second_factors(&mut self, seal: impl Fn(&str, &str) -> String) -> Result<usize, StoreError> {
        let what = "sealing second factors";
        let open = "SELECT name, totp FROM operators WHERE totp IS NOT NULL AND totp NOT LIKE 'sealed:%'";
        // What is overwritten is not to be left in the file's free space, nor in the log beside it.
        self.db.pragma_update(None, "secure_delete", true).map_err(sqlite(what))?;
        let sealed = self.write(what, Sync::Full, |db| {
            let rows: Vec<(String, String)> =
                db.prepare(open)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            for (name, secret) in &rows {
                db.execute("UPDATE operators SET totp = ?2 WHERE name = ?1", [name, &seal(name, secret)])?;
            }
            Ok(rows.len())
        })?;
        if sealed > 0 {
            self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sqlite(what))?;
        }
        self.db.pragma_update(None, "secure_delete", false).map_err(sqlite(what))?;
        Ok(sealed)
    }

    /// Uses up the codes of a step and before; `No`: they were.
    pub(crate) fn use_step(&mut self, name: &str, step: i64) -> Result<Changed, StoreError> {
        self.write("using a code", Sync::Full, |db| {
            let used = "UPDATE operators SET totp_step = ?2 WHERE name = ?1 AND totp_step < ?2";
            db.execute(used, params![name, step]).map(Changed::from)
        })
    }

    /// Uses a recovery code up; `No`: it is none, or was used.
    pub(crate) fn use_recovery_code(&mut self, name: &str, code: &str) -> Result<Changed, StoreError> {
        self.write("using a recovery code", Sync::Full, |db| {
            let used = "DELETE FROM recovery_codes WHERE operator = ?1 AND sha256 = ?2";
            db.execute(used, [name, &hash(code)]).map(Changed::from)
        })
    }

    /// How many recovery codes one has left.
    pub(crate) fn recovery_codes(&self, name: &str) -> Result<u32, StoreError> {
        let query = "SELECT count(*) FROM recovery_codes WHERE operator = ?1";
        self.db.query_row(query, [name], |row| row.get(0)).map_err(sqlite("counting recovery codes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    #[test]
    fn second_factors_of_earlier_versions_are_sealed_and_stand_nowhere_in_the_folder() {
        const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let data = tempfile::tempdir().expect("a folder");
        let key = Key::of(data.path()).expect("a key");
        let path = data.path().join("control.db");
        let holds = || {
            let files = std::fs::read_dir(data.path()).expect("read");
            let texts = files.map(|file| std::fs::read(file.expect("a file").path()).expect("read"));
            texts.filter(|text| text.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())).count()
        };
        let mut store = Store::open(&path).expect("open");
        for name in ["ada", "bob"] {
            store.add_operator(name, Role::Admin, "now").expect("written");
        }
        store.set_totp("ada", Some((SECRET, 1, &[])), "").expect("written");
        assert!(holds() > 0, "this is what is to be mended");
        let seal = |name: &str, secret: &str| key.seal(name, secret);
        assert_eq!(store.seal_second_factors(seal).expect("sealed"), 1);
        assert_eq!(store.seal_second_factors(seal).expect("sealed"), 0, "once");
        assert_eq!(holds(), 0);
        let sealed = store.operator("ada").expect("read").expect("there").totp.expect("sealed");
        assert_eq!(key.open("ada", &sealed).as_deref(), Some(SECRET));
        assert_eq!(store.operator("bob").expect("read").expect("there").totp, None);
    }

    #[test]
    fn a_name_is_one_persons_and_there_are_not_too_many() {
        let mut store = Store::in_memory();
        assert_eq!(store.add_operator("ada", Role::Admin, "now").expect("written"), Changed::Yes);
        assert_eq!(store.add_operator("ada", Role::Viewer, "now").expect("written"), Changed::No);
        let ada = store.operator("ada").expect("read").expect("there");
        assert_eq!((ada.view.role, ada.view.has_password, ada.view.disabled), (Role::Admin, false, false));
        assert!(store.operator("bob").expect("read").is_none());
        for number in 1..MOST {
            assert_eq!(store.add_operator(&number.to_string(), Role::Viewer, "now").expect("written"), Changed::Yes);
        }
        assert_eq!(store.add_operator("one more", Role::Viewer, "now").expect("written"), Changed::No);
        assert_eq!(store.operators().expect("read").len(), MOST as usize);
        assert_eq!(store.set_role("nobody", Role::Viewer).expect("written"), Changed::No);
    }

    #[test]
    fn the_last_admin_is_whoever_no_other_one_could_log_in_instead_of() {
        let mut store = Store::in_memory();
        let last = |store: &Store| -> Vec<String> {
            let names = ["ada", "bob", "eve"].into_iter();
            names.filter(|name| store.is_last_admin(name).expect("read")).map(str::to_owned).collect()
        };
        assert!(last(&store).is_empty(), "there is none");
        store.add_operator("ada", Role::Admin, "now").expect("written");
        store.add_operator("eve", Role::Viewer, "now").expect("written");
        store.set_password("eve", "hash", "").expect("written");
        assert!(last(&store).is_empty(), "only invited");
        store.set_password("ada", "hash", "").expect("written");
        assert_eq!(last(&store), ["ada"]);
        store.add_operator("bob", Role::Admin, "now").expect("written");
        assert_eq!(last(&store), ["ada"], "bob cannot log in yet");
        store.set_password("bob", "hash", "").expect("written");
        assert!(last(&store).is_empty());
        store.set_disabled("ada", true).expect("written");
        assert_eq!(last(&store), ["bob"]);
        store.set_disabled("ada", false).expect("written");
        store.set_role("bob", Role::Approver).expect("written");
        assert_eq!(last(&store), ["ada"]);
    }

    #[test]
    fn what_is_known_of_somebody_is_their_own_and_of_now() {
        use crate::store::{NewEntry, NewSession, PasskeyRow};

        const NOW: i64 = 1_000_000;
        let mut store = Store::in_memory();
        for name in ["ada", "bob"] {
            store.add_operator(name, Role::Admin, "now").expect("written");
        }
        for (id, at) in [("old", NOW - IDLE_S), ("new", NOW - 1)] {
            let new =
                NewSession { id: id.into(), operator: "ada".into(), address: String::new(), agent: String::new() };
            store.begin_session(&new, at).expect("written");
        }
        let passkey = PasskeyRow {
            id: "k".into(),
            operator: "ada".into(),
            name: "bob".into(),
            algorithm: -7,
            public_key: String::new(),
            sign_count: 0,
            made_at: 0,
            used_at: None,
        };
        store.add_passkey(&passkey).expect("written");
        for (who, what, outcome, at) in [
            ("ada", "invite", "done", "1"),
            ("ada", "login", "done", "2"),
            ("ada", "login", "refused: wrong code", "3"),
            ("ada", "deploy", "done", "4"),
            ("bob", "deploy", "done", "5"),
        ] {
            let (who, what, outcome) = (who.into(), what.into(), outcome.into());
            store.audit(NewEntry { who, what, outcome, ..NewEntry::default() }, at).expect("written");
        }
        let people = store.people(NOW).expect("read");
        let known: Vec<_> = people
            .iter()
            .map(|row| (row.view.name.as_str(), row.view.sessions, row.passkeys, row.last_login.as_deref()))
            .collect();
        assert_eq!(known, [("ada", 1, 1, Some("2")), ("bob", 0, 0, None)]);
    }

    #[test]
    fn a_code_is_used_once() {
        let mut store = Store::in_memory();
        store.add_operator("ada", Role::Admin, "now").expect("written");
        let codes = ["one".to_owned(), "two".to_owned()];
        store.set_totp("ada", Some(("SECRET", 7, &codes)), "").expect("written");
        assert_eq!(store.use_step("ada", 7).expect("written"), Changed::No, "it was set with that code");
        assert_eq!(store.use_step("ada", 8).expect("written"), Changed::Yes);
        assert_eq!(store.use_step("ada", 8).expect("written"), Changed::No);
        assert_eq!(store.use_recovery_code("ada", "one").expect("written"), Changed::Yes);
        assert_eq!(store.use_recovery_code("ada", "one").expect("written"), Changed::No);
        assert_eq!(store.use_recovery_code("bob", "two").expect("written"), Changed::No, "it is another's");
        assert_eq!(store.recovery_codes("ada").expect("read"), 1);
        store.set_totp("ada", None, "").expect("written");
        assert_eq!(store.use_recovery_code("ada", "two").expect("written"), Changed::No);
        assert!(!store.operator("ada").expect("read").expect("there").view.has_second_factor);
    }
}
