//! Who may come in from elsewhere. A token itself is nowhere here: only what it hashes to.

use std::collections::BTreeSet;

use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError, Sync, sqlite};
use crate::api::{Scope, TokenView};
use crate::clock;

/// More of them than anybody can keep account of.
const MOST: u32 = 200;

/// A token as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// SHA-256 of the token, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) view: TokenView,
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
            let mut query =
                self.db.prepare("SELECT sha256, name, scopes, made_at, expires_at FROM tokens ORDER BY name")?;
            query.query_map([], token)?.collect()
        };
        read().map_err(sqlite("reading the tokens"))
    }

    /// The token that hashes to this.
    pub(crate) fn token_by_hash(&self, sha256: &str) -> Result<Option<TokenRow>, StoreError> {
        let query = "SELECT sha256, name, scopes, made_at, expires_at FROM tokens WHERE sha256 = ?1";
        self.db.query_row(query, [sha256], token).optional().map_err(sqlite("reading a token"))
    }

    /// The token of that name.
    pub(crate) fn token_by_name(&self, name: &str) -> Result<Option<TokenRow>, StoreError> {
        let query = "SELECT sha256, name, scopes, made_at, expires_at FROM tokens WHERE name = ?1";
        self.db.query_row(query, [name], token).optional().map_err(sqlite("reading a token"))
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let scopes: String = row.get(2)?;
    let scopes = scopes.split_whitespace().map(|name| {
        let unknown = || rusqlite::Error::FromSqlConversionFailure(2, Type::Text, format!("no scope {name}").into());
        Scope::named(name).ok_or_else(unknown)
    });
    let scopes = scopes.collect::<rusqlite::Result<BTreeSet<Scope>>>()?;
    let view = TokenView { name: row.get(1)?, scopes, made_at: row.get(3)?, expires_at: row.get(4)? };
    Ok(TokenRow { sha256: row.get(0)?, view })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_by_its_name_until_it_is_taken_back() {
        let mut store = Store::in_memory();
        let row = |name: &str| TokenRow {
            sha256: format!("hash of {name}"),
            view: TokenView {
                name: name.to_owned(),
                scopes: BTreeSet::from([Scope::Read, Scope::Deploy]),
                made_at: String::new(),
                expires_at: None,
            },
        };
        assert!(store.add_token(&row("ci")).expect("written"));
        assert!(!store.add_token(&row("ci")).expect("written"), "a name is one's own");
        let found = store.token_by_hash("hash of ci").expect("read").expect("there");
        assert_eq!((&found.view.name, &found.view.scopes), (&"ci".to_owned(), &row("ci").view.scopes));
        assert_eq!(store.token_by_name("ci").expect("read"), Some(found));
        assert_eq!(store.token_by_hash("hash of bob").expect("read"), None);
        assert_eq!(store.tokens().expect("read").len(), 1);
        assert!(store.remove_token("ci").expect("written"));
        assert!(!store.remove_token("ci").expect("written"));
        for number in 0..MOST {
            assert!(store.add_token(&row(&number.to_string())).expect("written"));
        }
        assert!(!store.add_token(&row("one more")).expect("written"));
    }
}
