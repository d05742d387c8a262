//! Who is logged in where. What lets in is nowhere here: only what it hashes to.

use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::operators::hash;
use super::{Changed, Store, StoreError, Sync, sqlite};
use crate::api::Role;

/// Sessions of one operator; the one not used for longest ends for another.
const MOST: u32 = 20;
/// Without a request a session ends after so long, in seconds.
pub(super) const IDLE_S: i64 = 12 * 3_600;
/// A session ends after so long, in seconds.
const AGE_S: i64 = 7 * 24 * 3_600;
/// Its use is written down so often at most, in seconds.
const SEEN_EVERY_S: i64 = 60;
/// Longest description of a browser that is kept, in characters.
const LONGEST_AGENT: usize = 120;

/// A session to come.
#[derive(Clone)]
pub(crate) struct NewSession {
    /// What lets in.
    pub(crate) id: String,
    pub(crate) operator: String,
    pub(crate) address: String,
    pub(crate) agent: String,
}

/// A session. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) sha256: String,
    pub(crate) operator: String,
    pub(crate) role: Role,
    pub(crate) made_at: i64,
    pub(crate) seen_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) address: String,
    pub(crate) agent: String,
}

const COLUMNS: &str = "sha256, operator, role, sessions.made_at, seen_at, expires_at, address, agent";
const ALIVE: &str = "expires_at > ?2 AND seen_at > ?2 - ?3 AND NOT disabled";

fn session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let role: String = row.get(2)?;
    let unknown = || rusqlite::Error::FromSqlConversionFailure(2, Type::Text, format!("no role {role}").into());
    Ok(SessionRow {
        sha256: row.get(0)?,
        operator: row.get(1)?,
        role: Role::named(&role).ok_or_else(unknown)?,
        made_at: row.get(3)?,
        seen_at: row.get(4)?,
        expires_at: row.get(5)?,
        address: row.get(6)?,
        agent: row.get(7)?,
    })
}

impl Store {
    /// Logs somebody in. Sessions that have ended go, and the oldest where there are too many.
    pub(crate) fn begin_session(&mut self, new: &NewSession, now: i64) -> Result<(), StoreError> {
        let agent: String = new.agent.chars().filter(|letter| !letter.is_control()).take(LONGEST_AGENT).collect();
        self.write("beginning a session", Sync::Full, |db| {
            db.execute("DELETE FROM sessions WHERE expires_at <= ?1 OR seen_at <= ?1 - ?2", [now, IDLE_S])?;
            db.execute(
                "DELETE FROM sessions WHERE sha256 IN (SELECT sha256 FROM sessions WHERE operator = ?1
                     ORDER BY seen_at DESC, made_at DESC LIMIT -1 OFFSET ?2)",
                params![new.operator, MOST - 1],
            )?;
            db.execute(
                "INSERT INTO sessions (sha256, operator, made_at, seen_at, expires_at, address, agent)
                     VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)",
                params![hash(&new.id), new.operator, now, now + AGE_S, new.address, agent],
            )
            .map(drop)
        })
    }

    /// The session that this lets into, if it has not ended.
    pub(crate) fn session(&mut self, id: &str, now: i64) -> Result<Option<SessionRow>, StoreError> {
        let found = self.session_by_hash(&hash(id), now)?;
        if let Some(session) = found.as_ref().filter(|session| now - session.seen_at >= SEEN_EVERY_S) {
            self.write("writing down that a session is used", Sync::Normal, |db| {
                db.execute("UPDATE sessions SET seen_at = ?2 WHERE sha256 = ?1", params![session.sha256, now])
            })?;
        }
        Ok(found)
    }

    /// The session of this hash, if it has not ended: whoever only looks does not use it.
    pub(crate) fn session_by_hash(&self, sha256: &str, now: i64) -> Result<Option<SessionRow>, StoreError> {
        let query =
            format!("SELECT {COLUMNS} FROM sessions JOIN operators ON name = operator WHERE sha256 = ?1 AND {ALIVE}");
        let found = self.db.query_row(&query, params![sha256, now, IDLE_S], session).optional();
        found.map_err(sqlite("reading a session"))
    }

    /// The sessions of an operator, the one used last first.
    pub(crate) fn sessions(&self, operator: &str, now: i64) -> Result<Vec<SessionRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<SessionRow>> {
            let query = format!(
                "SELECT {COLUMNS} FROM sessions JOIN operators ON name = operator WHERE operator = ?1 AND {ALIVE}
                     ORDER BY seen_at DESC, sessions.made_at DESC"
            );
            self.db.prepare(&query)?.query_map(params![operator, now, IDLE_S], session)?.collect()
        };
        read().map_err(sqlite("reading the sessions"))
    }

    /// Ends the session that this lets into.
    pub(crate) fn end_session(&mut self, id: &str) -> Result<Changed, StoreError> {
        let sha256 = hash(id);
        self.write("ending a session", Sync::Full, |db| {
            db.execute("DELETE FROM sessions WHERE sha256 = ?1", [sha256]).map(Changed::from)
        })
    }

    /// Ends a session of an operator by the beginning of its hash.
    pub(crate) fn revoke_session(&mut self, operator: &str, begin: &str) -> Result<Changed, StoreError> {
        self.write("ending a session", Sync::Full, |db| {
            let ended = "DELETE FROM sessions WHERE operator = ?1 AND substr(sha256, 1, length(?2)) = ?2 AND ?2 <> ''";
            db.execute(ended, [operator, begin]).map(Changed::from)
        })
    }

    /// Ends all sessions of an operator but `kept`.
    pub(crate) fn revoke_sessions(&mut self, operator: &str, kept: &str) -> Result<Changed, StoreError> {
        self.write("ending sessions", Sync::Full, |db| {
            db.execute("DELETE FROM sessions WHERE operator = ?1 AND sha256 <> ?2", [operator, kept]).map(Changed::from)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn with_ada() -> Store {
        let mut store = Store::in_memory();
        store.add_operator("ada", Role::Operator, "now").expect("written");
        store
    }

    fn new(id: &str) -> NewSession {
        NewSession { id: id.into(), operator: "ada".into(), address: "192.0.2.1".into(), agent: "a\nbrowser".into() }
    }

    #[test]
    fn a_session_ends_unused_after_half_a_day_and_used_after_a_week() {
        let mut store = with_ada();
        store.begin_session(&new("one"), NOW).expect("written");
        let found = store.session("one", NOW).expect("read").expect("alive");
        assert_eq!((found.operator.as_str(), found.role, found.agent.as_str()), ("ada", Role::Operator, "abrowser"));
        assert_eq!(store.session("two", NOW).expect("read"), None);
        assert!(store.session("one", NOW + IDLE_S - 1).expect("read").is_some(), "used in time");
        assert!(store.session("one", NOW + 2 * IDLE_S - 2).expect("read").is_some(), "used in time again");
        assert_eq!(store.session("one", NOW + 3 * IDLE_S - 2).expect("read"), None, "unused");
        let mut at = NOW;
        store.begin_session(&new("two"), at).expect("written");
        while at < NOW + AGE_S - IDLE_S {
            at += IDLE_S - 1;
            assert!(store.session("two", at).expect("read").is_some());
        }
        assert_eq!(store.session("two", NOW + AGE_S).expect("read"), None, "however much it is used");
    }

    #[test]
    fn looking_whether_a_session_is_alive_does_not_keep_it_so() {
        let mut store = with_ada();
        store.begin_session(&new("one"), NOW).expect("written");
        assert!(store.session_by_hash(&hash("one"), NOW + IDLE_S - 1).expect("read").is_some());
        assert_eq!(store.session_by_hash(&hash("one"), NOW + IDLE_S).expect("read"), None);
        store.set_disabled("ada", true).expect("written");
        assert_eq!(store.session_by_hash(&hash("one"), NOW).expect("read"), None);
    }

    #[test]
    fn who_is_kept_out_has_no_session_and_a_role_holds_at_once() {
        let mut store = with_ada();
        store.begin_session(&new("one"), NOW).expect("written");
        store.set_role("ada", Role::Viewer).expect("written");
        assert_eq!(store.session("one", NOW).expect("read").expect("alive").role, Role::Viewer);
        store.set_disabled("ada", true).expect("written");
        assert_eq!(store.session("one", NOW).expect("read"), None);
        store.set_disabled("ada", false).expect("written");
        assert_eq!(store.session("one", NOW).expect("read"), None, "it does not come back");
    }

    #[test]
    fn sessions_are_ended_by_name_and_are_not_too_many() {
        let mut store = with_ada();
        for number in 0..i64::from(MOST) + 3 {
            store.begin_session(&new(&number.to_string()), NOW + number).expect("written");
        }
        assert_eq!(store.sessions("ada", NOW).expect("read").len(), MOST as usize);
        assert_eq!(store.session("0", NOW).expect("read"), None, "the oldest went");
        assert_eq!(store.revoke_session("ada", "").expect("written"), Changed::No);
        assert_eq!(store.revoke_session("bob", &hash("5")[..16]).expect("written"), Changed::No, "another's");
        assert_eq!(store.revoke_session("ada", &hash("5")[..16]).expect("written"), Changed::Yes);
        assert_eq!(store.session("5", NOW).expect("read"), None);
        assert_eq!(store.end_session("6").expect("written"), Changed::Yes);
        store.revoke_sessions("ada", &hash("7")).expect("written");
        let left: Vec<String> = store.sessions("ada", NOW).expect("read").into_iter().map(|row| row.sha256).collect();
        assert_eq!(left, [hash("7")]);
        store.set_password("ada", "hash", &hash("7")).expect("written");
        assert!(store.session("7", NOW).expect("read").is_some());
        store.set_password("ada", "hash", "").expect("written");
        assert_eq!(store.session("7", NOW).expect("read"), None);
    }
}
