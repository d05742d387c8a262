//! What was applied, and what each slot of each service should therefore run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mana_delivery::rollout::Release;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError, Sync, sqlite};
use crate::api::Apply;
use crate::clock;
use crate::desired::Version;
use crate::slot::Slot;

/// The last apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) request: Apply,
    /// The manifest's text as it was then: what is running must not change because a file was edited.
    pub(crate) manifest: String,
}

/// What should run, by service and slot.
pub(crate) type Slots = BTreeMap<(String, Slot), SlotRow>;

/// What a slot should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotRow {
    pub(crate) version: Version,
    /// The spec whose migration succeeded last.
    pub(crate) migrated: Option<String>,
    /// Its share of the service's new requests, in percent.
    pub(crate) weight: u8,
    /// What it runs; `None`: the manifest's folder itself.
    pub(crate) release: Option<Release>,
    /// Where its files are, if it is no program. A path that is no text is not remembered.
    pub(crate) folder: Option<PathBuf>,
}

impl Store {
    /// Makes this the desired state: these services on, every other one gone.
    pub(crate) fn apply(&mut self, applied: &Applied, slots: &Slots) -> Result<(), StoreError> {
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
            db.execute("DELETE FROM slots", [])?;
            for (service, _) in slots.keys() {
                db.execute("INSERT OR REPLACE INTO services (name, running) VALUES (?1, TRUE)", [service])?;
            }
            write(db, slots)
        })
    }

    /// Changes what the slots should run, and nothing else.
    pub(crate) fn set_slots(&mut self, slots: &Slots) -> Result<(), StoreError> {
        self.write("writing down what should run", Sync::Full, |db| {
            db.execute("DELETE FROM slots", [])?;
            write(db, slots)
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

    pub(crate) fn slots(&self) -> Result<Slots, StoreError> {
        let read = || -> rusqlite::Result<Slots> {
            let query = "SELECT service, slot, spec, revision, migrated, weight, release, folder FROM slots";
            let mut query = self.db.prepare(query)?;
            let rows = query.query_map([], |row| {
                let version = Version { spec: row.get(2)?, revision: row.get(3)? };
                let release = row.get::<_, Option<String>>(6)?.map(|text| serde_json::from_str(&text)).transpose();
                let release =
                    release.map_err(|error| rusqlite::Error::FromSqlConversionFailure(6, Type::Text, error.into()))?;
                let folder = row.get::<_, Option<String>>(7)?.map(PathBuf::from);
                let slot = SlotRow { version, migrated: row.get(4)?, weight: row.get(5)?, release, folder };
                Ok(((row.get(0)?, row.get(1)?), slot))
            })?;
            rows.collect()
        };
        read().map_err(sqlite("reading what should run"))
    }

    /// Whether what was applied should run, or is switched off.
    pub(crate) fn running(&self) -> Result<bool, StoreError> {
        let read = self.db.query_row("SELECT count(*) FROM services WHERE running", [], |row| row.get::<_, u32>(0));
        read.map(|running| running > 0).map_err(sqlite("reading what should run"))
    }

    /// A slot should run another revision (a restart by a person).
    pub(crate) fn set_revision(&mut self, service: &str, slot: Slot, revision: u32) -> Result<(), StoreError> {
        self.write("writing down a restart", Sync::Full, |db| {
            db.execute(
                "UPDATE slots SET revision = ?3 WHERE service = ?1 AND slot = ?2",
                params![service, slot, revision],
            )
            .map(drop)
        })
    }

    /// The migration of this spec succeeded.
    pub(crate) fn set_migrated(&mut self, service: &str, slot: Slot, spec: &str) -> Result<(), StoreError> {
        self.write("writing down a migration", Sync::Full, |db| {
            db.execute("UPDATE slots SET migrated = ?3 WHERE service = ?1 AND slot = ?2", params![service, slot, spec])
                .map(drop)
        })
    }

    /// Nothing should run any more, until the next apply.
    pub(crate) fn switch_off(&mut self) -> Result<(), StoreError> {
        self.write("writing down that all should stop", Sync::Full, |db| {
            db.execute("UPDATE services SET running = 0", []).map(drop)
        })
    }
}

fn write(db: &Connection, slots: &Slots) -> rusqlite::Result<()> {
    for ((service, slot), SlotRow { version, migrated, weight, release, folder }) in slots {
        let release = release.as_ref().map(serde_json::to_string).transpose();
        let release = release.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let folder = folder.as_deref().and_then(Path::to_str);
        db.execute(
            "INSERT INTO slots (service, slot, spec, revision, migrated, weight, release, folder)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![service, slot, version.spec, version.revision, migrated, weight, release, folder],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mana_delivery::rollout::Digest;

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
        let row = |spec: &str| SlotRow {
            version: Version { spec: spec.into(), revision: 0 },
            migrated: None,
            weight: 100,
            release: None,
            folder: None,
        };
        let key = |service: &str, slot| (service.to_owned(), slot);
        let release = Release { version: "v4".into(), digest: Digest("d".into()) };
        let green = SlotRow { weight: 0, release: Some(release), folder: Some("/srv/site".into()), ..row("4") };
        let first = Slots::from([
            (key("a", Slot::Blue), row("1")),
            (key("b", Slot::Blue), row("2")),
            (key("b", Slot::Green), green.clone()),
        ]);
        store.apply(&applied, &first).expect("write");
        assert_eq!((store.applied().expect("read"), store.slots().expect("read")), (Some(applied.clone()), first));
        assert!(store.running().expect("read"));

        let second = Slots::from([(key("b", Slot::Blue), row("3")), (key("b", Slot::Green), green.clone())]);
        store.apply(&applied, &second).expect("write");
        store.set_revision("b", Slot::Blue, 7).expect("write");
        store.set_migrated("b", Slot::Blue, "3").expect("write");
        store.switch_off().expect("write");
        let changed = SlotRow {
            version: Version { spec: "3".into(), revision: 7 },
            migrated: Some("3".into()),
            weight: 100,
            release: None,
            folder: None,
        };
        let expected = Slots::from([(key("b", Slot::Blue), changed), (key("b", Slot::Green), green)]);
        assert_eq!(store.slots().expect("read"), expected);
        assert!(!store.running().expect("read"));
    }
}
