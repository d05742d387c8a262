//! Links by which somebody sets a password, each once.

use rusqlite::{OptionalExtension, params};

use super::operators::hash;
use super::{Changed, Store, StoreError, Sync, sqlite};

impl Store {
    /// Invites an operator; an earlier invitation ends. With it ends what they had: password, second factor, passkeys and sessions.
    pub(crate) fn invite(&mut self, name: &str, code: &str, expires_at: i64) -> Result<Changed, StoreError> {
        self.write("inviting an operator", Sync::Full, |db| {
            let forget = "UPDATE operators SET password = NULL, totp = NULL, totp_step = 0 WHERE name = ?1";
            if db.execute(forget, [name])? == 0 {
                return Ok(Changed::No);
            }
            db.execute("DELETE FROM recovery_codes WHERE operator = ?1", [name])?;
            db.execute("DELETE FROM passkeys WHERE operator = ?1", [name])?;
            db.execute("DELETE FROM sessions WHERE operator = ?1", [name])?;
            let written = "INSERT OR REPLACE INTO invitations (operator, sha256, expires_at) VALUES (?1, ?2, ?3)";
            db.execute(written, params![name, hash(code), expires_at]).map(Changed::from)
        })
    }

    /// Who is invited by this code.
    pub(crate) fn invited(&self, code: &str, now: i64) -> Result<Option<String>, StoreError> {
        let query = "SELECT operator FROM invitations JOIN operators ON name = operator
                     WHERE sha256 = ?1 AND expires_at > ?2 AND NOT disabled";
        let found = self.db.query_row(query, params![hash(code), now], |row| row.get(0)).optional();
        found.map_err(sqlite("reading an invitation"))
    }

    /// Takes an invitation up: it sets the password and is over. `None`: there is none, or not any more.
    pub(crate) fn accept(&mut self, code: &str, password: &str, now: i64) -> Result<Option<String>, StoreError> {
        let Some(name) = self.invited(code, now)? else { return Ok(None) };
        self.write("taking up an invitation", Sync::Full, |db| {
            db.execute("DELETE FROM invitations WHERE operator = ?1", [&name])?;
            db.execute("UPDATE operators SET password = ?2 WHERE name = ?1", [&name, password])?;
            Ok(Some(name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Role;

    #[test]
    fn an_invitation_is_taken_up_once_and_in_time() {
        let mut store = Store::in_memory();
        assert_eq!(store.invite("ada", "code", 100).expect("written"), Changed::No, "nobody of that name");
        store.add_operator("ada", Role::Admin, "now").expect("written");
        assert_eq!(store.invite("ada", "first", 100).expect("written"), Changed::Yes);
        assert_eq!(store.invite("ada", "second", 100).expect("written"), Changed::Yes);
        assert_eq!(store.accept("first", "hash", 10).expect("written"), None, "another one followed");
        assert_eq!(store.accept("second", "hash", 100).expect("written"), None, "too late");
        assert_eq!(store.invited("second", 99).expect("read").as_deref(), Some("ada"));
        assert_eq!(store.accept("second", "hash", 99).expect("written").as_deref(), Some("ada"));
        assert_eq!(store.accept("second", "other", 99).expect("written"), None, "once");
        assert_eq!(store.operator("ada").expect("read").expect("there").password.as_deref(), Some("hash"));
    }

    #[test]
    fn who_is_kept_out_takes_up_nothing() {
        let mut store = Store::in_memory();
        store.add_operator("ada", Role::Admin, "now").expect("written");
        store.set_disabled("ada", true).expect("written");
        store.invite("ada", "code", 100).expect("written");
        assert_eq!(store.accept("code", "hash", 10).expect("written"), None);
    }
}
