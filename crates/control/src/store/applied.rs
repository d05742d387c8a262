//! What was applied, and what each service should therefore run.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError, Sync, sqlite};
use crate::api::Apply;
use crate::clock;
use crate::desired::Version;

/// The last apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) request: Apply,
    /// The manifest's text as it was then: what is running must not change because a file was edited.
    pub(crate) manifest: String,
}

/// What a service should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceRow {
    pub(crate) version: Version,
    /// The spec whose migration succeeded last.
    pub(crate) migrated: Option<String>,
    /// Desired on or off.
    pub(crate) running: bool,
}

impl Store {
    /// Makes this the desired state: these services on, every other one gone.
    pub(crate) fn apply(
        &mut self,
        applied: &Applied,
        services: &BTreeMap<String, ServiceRow>,
    ) -> Result<(), StoreError> {
        let request = serde_json::to_string(&applied.request).map_err(|error| {
            sqlite("writing down what is applied")(rusqlite::Error::ToSqlConversionFailure(error.into()))
        })?;
        let at = clock::timestamp().to_string();
        self.write("writing down what is applied", Sync::Full, |db| {
            db.execute(
                "INSERT OR REPLACE INTO applied (only, request, manifest, at) VALUES (1, ?1, ?2, ?3)",
                params![request, applied.manifest, at],
            )?;
            db.execute("DELETE FROM services", [])?;
            for (name, row) in services {
                db.execute(
                    "INSERT INTO services (name, spec, revision, migrated, running) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![name, row.version.spec, row.version.revision, row.migrated, row.running],
                )?;
            }
            Ok(())
        })
    }

    pub(crate) fn applied(&self) -> Result<Option<Applied>, StoreError> {
        let read = self
            .db
            .query_row("SELECT request, manifest FROM applied", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .optional()
            .map_err(sqlite("reading what was applied"))?;
        read.map(|(request, manifest)| {
            let request = serde_json::from_str(&request).map_err(|error| {
                sqlite("reading what was applied")(rusqlite::Error::FromSqlConversionFailure(
                    0,
                    rusqlite::types::Type::Text,
                    error.into(),
                ))
            })?;
            Ok(Applied { request, manifest })
        })
        .transpose()
    }

    pub(crate) fn services(&self) -> Result<BTreeMap<String, ServiceRow>, StoreError> {
        let read = || -> rusqlite::Result<BTreeMap<String, ServiceRow>> {
            let mut query = self.db.prepare("SELECT name, spec, revision, migrated, running FROM services")?;
            let rows = query.query_map([], |row| {
                let version = Version { spec: row.get(1)?, revision: row.get(2)? };
                Ok((row.get(0)?, ServiceRow { version, migrated: row.get(3)?, running: row.get(4)? }))
            })?;
            rows.collect()
        };
        read().map_err(sqlite("reading what should run"))
    }

    /// A service should run another revision (a restart by a person).
    pub(crate) fn set_revision(&mut self, service: &str, revision: u32) -> Result<(), StoreError> {
        self.write("writing down a restart", Sync::Full, |db| {
            db.execute("UPDATE services SET revision = ?2 WHERE name = ?1", params![service, revision]).map(drop)
        })
    }

    /// The migration of this spec succeeded.
    pub(crate) fn set_migrated(&mut self, service: &str, spec: &str) -> Result<(), StoreError> {
        self.write("writing down a migration", Sync::Full, |db| {
            db.execute("UPDATE services SET migrated = ?2 WHERE name = ?1", params![service, spec]).map(drop)
        })
    }

    /// Nothing should run any more, until the next apply.
    pub(crate) fn switch_off(&mut self) -> Result<(), StoreError> {
        self.write("writing down that all should stop", Sync::Full, |db| {
            db.execute("UPDATE services SET running = 0", []).map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Overrides;

    #[test]
    fn what_was_applied_is_read_back() {
        let mut store = Store::in_memory();
        assert_eq!(store.applied().expect("read"), None);
        let applied = Applied {
            request: Apply { manifest: "/a/mana.toml".into(), overrides: Overrides::default() },
            manifest: "name = \"a\"".into(),
        };
        let row = |spec: &str| ServiceRow {
            version: Version { spec: spec.into(), revision: 0 },
            migrated: None,
            running: true,
        };
        let first = BTreeMap::from([("a".to_owned(), row("1")), ("b".to_owned(), row("2"))]);
        store.apply(&applied, &first).expect("write");
        assert_eq!((store.applied().expect("read"), store.services().expect("read")), (Some(applied.clone()), first));

        store.apply(&applied, &BTreeMap::from([("b".to_owned(), row("3"))])).expect("write");
        store.set_revision("b", 7).expect("write");
        store.set_migrated("b", "3").expect("write");
        store.switch_off().expect("write");
        let expected = ServiceRow {
            version: Version { spec: "3".into(), revision: 7 },
            migrated: Some("3".into()),
            running: false,
        };
        assert_eq!(store.services().expect("read"), BTreeMap::from([("b".to_owned(), expected)]));
    }
}
