//! Keys on operators' devices.

use rusqlite::{OptionalExtension, Row, params};

use super::{Changed, Store, StoreError, Sync, sqlite};

/// Of one person: one for each device, and some.
const MOST: u32 = 20;
const COLUMNS: &str = "id, operator, name, algorithm, public_key, sign_count, made_at, used_at";

/// One of them as written down. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PasskeyRow {
    pub(crate) id: String,
    pub(crate) operator: String,
    pub(crate) name: String,
    pub(crate) algorithm: i64,
    pub(crate) public_key: String,
    pub(crate) sign_count: i64,
    pub(crate) made_at: i64,
    pub(crate) used_at: Option<i64>,
}

fn passkey(row: &Row<'_>) -> rusqlite::Result<PasskeyRow> {
    Ok(PasskeyRow {
        id: row.get(0)?,
        operator: row.get(1)?,
        name: row.get(2)?,
        algorithm: row.get(3)?,
        public_key: row.get(4)?,
        sign_count: row.get(5)?,
        made_at: row.get(6)?,
        used_at: row.get(7)?,
    })
}

impl Store {
    /// Writes one down; `No`: it is known already, or there are too many.
    pub(crate) fn add_passkey(&mut self, new: &PasskeyRow) -> Result<Changed, StoreError> {
        self.write("writing down a passkey", Sync::Full, |db| {
            let count = "SELECT count(*) FROM passkeys WHERE operator = ?1";
            let count: u32 = db.query_row(count, [&new.operator], |row| row.get(0))?;
            if count >= MOST {
                return Ok(Changed::No);
            }
            let written = format!(
                "INSERT INTO passkeys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING"
            );
            let PasskeyRow { id, operator, name, algorithm, public_key, sign_count, made_at, used_at } = new;
            let values = params![id, operator, name, algorithm, public_key, sign_count, made_at, used_at];
            db.execute(&written, values).map(Changed::from)
        })
    }

    /// An operator's, the oldest first.
    pub(crate) fn passkeys(&self, operator: &str) -> Result<Vec<PasskeyRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<PasskeyRow>> {
            let query = format!("SELECT {COLUMNS} FROM passkeys WHERE operator = ?1 ORDER BY made_at, id");
            self.db.prepare(&query)?.query_map([operator], passkey)?.collect()
        };
        read().map_err(sqlite("reading passkeys"))
    }

    pub(crate) fn passkey(&self, id: &str) -> Result<Option<PasskeyRow>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM passkeys WHERE id = ?1");
        self.db.query_row(&query, [id], passkey).optional().map_err(sqlite("reading a passkey"))
    }

    /// It was used, as it was known before; `No`: it is gone, or was used at the same moment.
    pub(crate) fn use_passkey(
        &mut self,
        before: &PasskeyRow,
        sign_count: i64,
        now: i64,
    ) -> Result<Changed, StoreError> {
        self.write("using a passkey", Sync::Full, |db| {
            let used = "UPDATE passkeys SET sign_count = ?2, used_at = ?3 WHERE id = ?1 AND sign_count = ?4";
            db.execute(used, params![before.id, sign_count, now, before.sign_count]).map(Changed::from)
        })
    }

    /// Takes one of an operator's away.
    pub(crate) fn remove_passkey(&mut self, operator: &str, id: &str) -> Result<Changed, StoreError> {
        self.write("removing a passkey", Sync::Full, |db| {
            db.execute("DELETE FROM passkeys WHERE id = ?1 AND operator = ?2", [id, operator]).map(Changed::from)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Role;

    fn key(id: &str, operator: &str) -> PasskeyRow {
        PasskeyRow {
            id: id.into(),
            operator: operator.into(),
            name: "phone".into(),
            algorithm: -7,
            public_key: "key".into(),
            sign_count: 3,
            made_at: 1,
            used_at: None,
        }
    }

    #[test]
    fn a_passkey_is_one_persons_counts_up_and_goes_with_their_reset() {
        let mut store = Store::in_memory();
        for name in ["ada", "bob"] {
            store.add_operator(name, Role::Admin, "now").expect("written");
        }
        assert_eq!(store.add_passkey(&key("k", "ada")).expect("written"), Changed::Yes);
        assert_eq!(store.add_passkey(&key("k", "bob")).expect("written"), Changed::No, "it is ada's");
        let known = store.passkey("k").expect("read").expect("there");
        assert_eq!(known, key("k", "ada"));
        assert_eq!(store.use_passkey(&known, 4, 9).expect("written"), Changed::Yes);
        assert_eq!(store.use_passkey(&known, 4, 9).expect("written"), Changed::No, "a copy of it was quicker");
        assert_eq!(store.passkeys("ada").expect("read")[0].used_at, Some(9));
        assert_eq!(store.remove_passkey("bob", "k").expect("written"), Changed::No);
        assert_eq!(store.remove_passkey("ada", "k").expect("written"), Changed::Yes);
        assert!(store.passkey("k").expect("read").is_none());
        for number in 0..MOST {
            store.add_passkey(&key(&number.to_string(), "ada")).expect("written");
        }
        assert_eq!(store.add_passkey(&key("one more", "ada")).expect("written"), Changed::No);
        store.invite("ada", "code", 100).expect("written");
        assert!(store.passkeys("ada").expect("read").is_empty(), "whoever took the account over has no way in left");
    }
}
