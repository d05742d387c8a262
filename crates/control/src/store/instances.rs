//! Instances that run, or are about to.

use mana_runtime::driver::Identity;
use rusqlite::types::Type;
use rusqlite::{Row, params};

use super::{Store, StoreError, Sync, sqlite};
use crate::clock;
use crate::desired::{Facts, Version};
use crate::slot::Slot;

/// Exits kept; older ones are forgotten.
const MAX_EXITS: u32 = 1_000;

/// What has to be known about an instance to look after it when nothing but this row is left.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InstanceRow {
    pub(crate) id: String,
    pub(crate) service: String,
    pub(crate) slot: Slot,
    pub(crate) ordinal: u16,
    pub(crate) version: Version,
    /// Whether it is a migration and not the service itself.
    pub(crate) migration: bool,
    pub(crate) port: Option<u16>,
    pub(crate) facts: Facts,
    pub(crate) restarts: u32,
    pub(crate) last_exit: Option<String>,
    pub(crate) started_at: String,
    /// `None`: its start was intended; whether it happened has to be found out.
    pub(crate) identity: Option<Identity>,
}

impl Store {
    /// Writes down that an instance is about to be started.
    pub(crate) fn intend(&mut self, row: &InstanceRow) -> Result<(), StoreError> {
        let what = "writing down a start";
        let facts = serde_json::to_string(&row.facts)
            .map_err(|error| sqlite(what)(rusqlite::Error::ToSqlConversionFailure(error.into())))?;
        self.write(what, Sync::Full, |db| {
            db.execute(
                "INSERT INTO instances (id, service, slot, ordinal, spec, revision, migration, port, facts, restarts,
                     last_exit, started_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    row.id,
                    row.service,
                    row.slot,
                    row.ordinal,
                    row.version.spec,
                    row.version.revision,
                    row.migration,
                    row.port,
                    facts,
                    row.restarts,
                    row.last_exit,
                    row.started_at
                ],
            )
            .map(drop)
        })
    }

    /// The instance runs under this identity. Not worth a sync: after a power cut nothing runs.
    pub(crate) fn record(&mut self, id: &str, identity: &Identity) -> Result<(), StoreError> {
        self.write("writing down a process", Sync::Normal, |db| {
            db.execute(
                "UPDATE instances SET pid = ?2, start_time_ticks = ?3, boot_id = ?4 WHERE id = ?1",
                params![id, identity.pid, identity.start_time_ticks.cast_signed(), identity.boot_id],
            )
            .map(drop)
        })
    }

    /// It ended, or was never started (`reason` absent).
    pub(crate) fn ended(&mut self, id: &str, reason: Option<&str>, wanted: bool) -> Result<(), StoreError> {
        let at = clock::timestamp().to_string();
        self.write("writing down an exit", Sync::Normal, |db| {
            if let Some(reason) = reason {
                db.execute(
                    "INSERT INTO exits (instance, service, started_at, ended_at, reason, wanted)
                         SELECT id, service, started_at, ?2, ?3, ?4 FROM instances WHERE id = ?1",
                    params![id, at, reason, wanted],
                )?;
                db.execute("DELETE FROM exits WHERE number <= (SELECT max(number) FROM exits) - ?1", [MAX_EXITS])?;
            }
            db.execute("DELETE FROM instances WHERE id = ?1", [id]).map(drop)
        })
    }

    pub(crate) fn instances(&self) -> Result<Vec<InstanceRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<InstanceRow>> {
            let mut query = self.db.prepare(
                "SELECT id, service, ordinal, spec, revision, migration, port, facts, restarts, last_exit, started_at,
                     pid, start_time_ticks, boot_id, slot FROM instances ORDER BY started_at, id",
            )?;
            query.query_map([], parse)?.collect()
        };
        read().map_err(sqlite("reading the instances"))
    }
}

fn parse(row: &Row<'_>) -> rusqlite::Result<InstanceRow> {
    let facts: String = row.get(7)?;
    let facts = serde_json::from_str(&facts)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(7, Type::Text, error.into()))?;
    let identity = match row.get::<_, Option<u32>>(11)? {
        Some(pid) => {
            Some(Identity { pid, start_time_ticks: row.get::<_, i64>(12)?.cast_unsigned(), boot_id: row.get(13)? })
        }
        None => None,
    };
    Ok(InstanceRow {
        id: row.get(0)?,
        service: row.get(1)?,
        slot: row.get(14)?,
        ordinal: row.get(2)?,
        version: Version { spec: row.get(3)?, revision: row.get(4)? },
        migration: row.get(5)?,
        port: row.get(6)?,
        facts,
        restarts: row.get(8)?,
        last_exit: row.get(9)?,
        started_at: row.get(10)?,
        identity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> InstanceRow {
        InstanceRow {
            id: id.into(),
            service: "chat".into(),
            slot: Slot::Green,
            ordinal: 1,
            version: Version { spec: "abc".into(), revision: 2 },
            migration: false,
            port: Some(20_000),
            facts: Facts::default(),
            restarts: 3,
            last_exit: Some("exit code 1".into()),
            started_at: "2025-01-01T00:00:00Z".into(),
            identity: None,
        }
    }

    #[test]
    fn an_intent_becomes_an_instance_and_then_an_exit() {
        let mut store = Store::in_memory();
        store.intend(&row("a")).expect("write");
        store.intend(&row("b")).expect("write");
        assert!(store.intend(&row("a")).is_err(), "an id is unique");
        let identity = Identity { pid: 7, start_time_ticks: u64::MAX, boot_id: "x".into() };
        store.record("a", &identity).expect("write");
        let expected = InstanceRow { identity: Some(identity), ..row("a") };
        assert_eq!(store.instances().expect("read"), [expected, row("b")]);
        store.ended("a", Some("signal 9"), false).expect("write");
        store.ended("b", None, false).expect("write");
        assert!(store.instances().expect("read").is_empty());
        let exits: u32 = store.db.query_row("SELECT count(*) FROM exits", [], |row| row.get(0)).expect("count");
        assert_eq!(exits, 1);
    }

    #[test]
    fn old_exits_are_forgotten() {
        let mut store = Store::in_memory();
        for number in 0..MAX_EXITS + 20 {
            let id = number.to_string();
            store.intend(&row(&id)).expect("write");
            store.ended(&id, Some("exit code 1"), false).expect("write");
        }
        let exits: u32 = store.db.query_row("SELECT count(*) FROM exits", [], |row| row.get(0)).expect("count");
        assert_eq!(exits, MAX_EXITS);
    }
}
