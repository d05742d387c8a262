//! Who may come in from elsewhere. A token itself is nowhere here: only what it hashes to.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError, Sync, sqlite};
use crate::api::{Scope, TokenView};
use crate::clock;

/// More of them than anybody can keep account of.
const MOST: u32 = 200;
/// Its use is written down so often at most, in seconds.
const USED_EVERY_S: i64 = 60;
const COLUMNS: &str = "sha256, name, scopes, made_at, expires_at, used_at";

/// A token as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// SHA-256 of the token, in hexadecimal.
    pub(crate) sha256: String,
    /// When it last let somebody in, in seconds since 1970.
    used_at: Option<i64>,
    pub(crate) view: TokenView,
}

impl TokenRow {
    /// One that nobody has used.
    pub(crate) fn new(sha256: String, view: TokenView) -> Self {
        Self { sha256, used_at: None, view }
    }

    /// Whether it is to be written down that it is used now.
    pub(crate) fn is_used_anew(&self, now: i64) -> bool {
        self.used_at.is_none_or(|used_at| now - used_at >= USED_EVERY_S)
    }
}

impl Store {
    /// Writes a token down; `false`: the name is taken, or there are too many.
    pub(crate) fn add_token(&mut self, row: &TokenRow) -> Result<bool, StoreError> {
        let scopes: Vec<&str> = row.view.scopes.iter().map(|scope| scope.as_str()).collect();
        let (scopes, view) = (scopes.join(" "), &row.view);
        let at = clock::timestamp().to_string();
        self.write("writing down a token", Sync::Full, |db| {
            let count: u32 = db.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))?;
            if count >= MOST {
                return Ok(false);
            }
            let written = db.execute(
                "INSERT INTO tokens (name, sha256, scopes, made_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (name) DO NOTHING",
                params![view.name, row.sha256, scopes, at, view.expires_at],
            )?;
            Ok(written == 1)
        })
    }

    /// Takes a token back; `false`: there is none of that name.
    pub(crate) fn remove_token(&mut self, name: &str) -> Result<bool, StoreError> {
        self.write("taking a token back", Sync::Full, |db| {
            db.execute("DELETE FROM tokens WHERE name = ?1", [name]).map(|count| count == 1)
        })
    }

    pub(crate) fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<TokenRow>> {
            let mut query = self.db.prepare(&format!("SELECT {COLUMNS} FROM tokens ORDER BY name"))?;
            query.query_map([], token)?.collect()
        };
        read().map_err(sqlite("reading the tokens"))
    }

    /// The token that hashes to this.
    pub(crate) fn token_by_hash(&self, sha256: &str) -> Result<Option<TokenRow>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM tokens WHERE sha256 = ?1");
        self.db.query_row(&query, [sha256], token).optional().map_err(sqlite("reading a token"))
    }

    /// The token of that name.
    pub(crate) fn token_by_name(&self, name: &str) -> Result<Option<TokenRow>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM tokens WHERE name = ?1");
        self.db.query_row(&query, [name], token).optional().map_err(sqlite("reading a token"))
    }

    /// It has let somebody in.
    pub(crate) fn use_token(&mut self, sha256: &str, now: i64) -> Result<(), StoreError> {
        self.write("writing down that a token is used", Sync::Normal, |db| {
            db.execute("UPDATE tokens SET used_at = ?2 WHERE sha256 = ?1", params![sha256, now]).map(drop)
        })
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let scopes: String = row.get(2)?;
    let scopes = scopes.split_whitespace().map(|name| {
        let unknown = || rusqlite::Error::FromSqlConversionFailure(2, Type::Text, format!("no scope {name}").into());
        Scope::named(name).ok_or_else(unknown)
    });
    let scopes = scopes.collect::<rusqlite::Result<BTreeSet<Scope>>>()?;
    let used_at: Option<i64> = row.get(5)?;
    let used = used_at.and_then(|seconds| Timestamp::from_second(seconds).ok()).map(|time| time.to_string());
    let view = TokenView { name: row.get(1)?, scopes, made_at: row.get(3)?, expires_at: row.get(4)?, used_at: used };
    Ok(TokenRow { sha256: row.get(0)?, used_at, view })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_by_its_name_until_it_is_taken_back() {
        let mut store = Store::in_memory();
        let row = |name: &str| {
            let scopes = BTreeSet::from([Scope::Read, Scope::Deploy]);
            let (name, hash) = (name.to_owned(), format!("hash of {name}"));
            TokenRow::new(hash, TokenView { name, scopes, made_at: String::new(), expires_at: None, used_at: None })
        };
        assert!(store.add_token(&row("ci")).expect("written"));
        assert!(!store.add_token(&row("ci")).expect("written"), "a name is one's own");
        let found = store.token_by_hash("hash of ci").expect("read").expect("there");
        assert_eq!((&found.view.name, &found.view.scopes), (&"ci".to_owned(), &row("ci").view.scopes));
        assert_eq!(store.token_by_name("ci").expect("read"), Some(found));
        assert_eq!(store.token_by_hash("hash of bob").expect("read"), None);
        assert_eq!(store.tokens().expect("read").len(), 1);
        assert!(row("ci").is_used_anew(1_000));
        store.use_token("hash of ci", 1_000).expect("written");
        let used = store.token_by_name("ci").expect("read").expect("there");
        assert_eq!(used.view.used_at.as_deref(), Some("1970-01-01T00:16:40Z"));
        assert_eq!((used.is_used_anew(1_059), used.is_used_anew(1_060)), (false, true), "once a minute");
        assert!(store.remove_token("ci").expect("written"));
        assert!(!store.remove_token("ci").expect("written"));
        for number in 0..MOST {
            assert!(store.add_token(&row(&number.to_string())).expect("written"));
        }
        assert!(!store.add_token(&row("one more")).expect("written"));
    }
}
