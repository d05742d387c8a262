//! Rollouts: each with its plan and its journal. An event and the effects that follow from it are on disk before any of them is
//! carried out.

use std::collections::BTreeSet;

use mana_delivery::rollout::lane::Lane;
use mana_delivery::rollout::{Event, Intent, Plan, RolloutId, State};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Store, StoreError, Sync, sqlite};
use crate::clock;
use crate::slot::Slot;

/// Rollouts kept for each service; older ones are forgotten with their journals.
const MAX_OF_A_SERVICE: u32 = 100;
/// Keys kept of what began no rollout: whoever did not hear an answer asks again within minutes.
const MAX_ASKED: u32 = 1_000;

/// A rollout as it is written down.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RolloutRow {
    pub(crate) id: RolloutId,
    pub(crate) service: String,
    pub(crate) plan: Plan,
    /// Which of the service's slots plays green.
    pub(crate) green: Slot,
    /// RFC 3339.
    pub(crate) begun_at: String,
    /// How it ended; `None`: it has not.
    pub(crate) ended: Option<String>,
    /// As it was then.
    pub(crate) state: Option<State>,
}

/// An entry of a rollout's journal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JournalRow {
    /// From 1.
    pub(crate) number: u64,
    /// RFC 3339.
    pub(crate) at: String,
    pub(crate) event: Event,
    pub(crate) effects: Vec<Intent>,
}

impl Store {
    /// The number that the next rollout gets.
    pub(crate) fn next_rollout(&self) -> Result<RolloutId, StoreError> {
        let query = "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'rollouts'";
        let read = self.db.query_row(query, [], |row| row.get::<_, i64>(0));
        read.map(|number| RolloutId(number.cast_unsigned())).map_err(sqlite("reading the rollouts"))
    }

    /// Writes a new rollout down, and whose turn it is with it: what was refused must not begin later.
    pub(crate) fn begin_rollout(
        &mut self,
        id: RolloutId,
        service: &str,
        plan: &Plan,
        green: Slot,
        lane: &Lane,
        key: Option<&str>,
    ) -> Result<(), StoreError> {
        let what = "writing down a rollout";
        let (plan, lane, at) = (json(what, plan)?, json(what, lane)?, clock::timestamp().to_string());
        self.write(what, Sync::Full, |db| {
            db.execute(
                "INSERT INTO rollouts (number, service, plan, green, begun_at, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id.0.cast_signed(), service, plan, green, at, key],
            )?;
            db.execute(
                "DELETE FROM rollouts WHERE service = ?1 AND ended IS NOT NULL AND number NOT IN
                     (SELECT number FROM rollouts WHERE service = ?1 ORDER BY number DESC LIMIT ?2)",
                params![service, MAX_OF_A_SERVICE],
            )?;
            write_lane(db, service, &lane)
        })
    }

    /// Which slot plays green is known when its turn comes.
    pub(crate) fn set_green(&mut self, id: RolloutId, green: Slot) -> Result<(), StoreError> {
        self.write("writing down where a release goes", Sync::Full, |db| {
            db.execute("UPDATE rollouts SET green = ?2 WHERE number = ?1", params![id.0.cast_signed(), green]).map(drop)
        })
    }

    /// Writes down what happened to a rollout and what follows from it; `state`: where that leads, which stays where it is over; `key`: under
    /// which it was asked for.
    pub(crate) fn journal_rollout(
        &mut self,
        id: RolloutId,
        event: &Event,
        effects: &[Intent],
        state: &State,
        key: Option<&str>,
    ) -> Result<(), StoreError> {
        let what = "writing a rollout's journal";
        let (event, effects, at) = (json(what, event)?, json(what, &effects)?, clock::timestamp().to_string());
        let ended = state.is_final().then(|| state.stage().name());
        let state = state.is_final().then(|| json(what, state)).transpose()?;
        self.write(what, Sync::Full, |db| {
            db.execute(
                "INSERT INTO rollout_journal (rollout, number, at, event, effects) VALUES
                     (?1, (SELECT coalesce(max(number), 0) + 1 FROM rollout_journal WHERE rollout = ?1), ?2, ?3, ?4)",
                params![id.0.cast_signed(), at, event, effects],
            )?;
            let query = "UPDATE rollouts SET ended = ?2, state = ?3 WHERE number = ?1";
            db.execute(query, params![id.0.cast_signed(), ended, state])?;
            key.map_or(Ok(()), |key| write_asked(db, key, id))
        })
    }

    /// Writes down which rollout was the answer to what was asked for under a key.
    pub(crate) fn set_asked(&mut self, key: &str, id: RolloutId) -> Result<(), StoreError> {
        self.write("writing down what was asked for", Sync::Full, |db| write_asked(db, key, id))
    }

    /// All rollouts of a service, or of all, newest first.
    pub(crate) fn rollouts(&self, service: Option<&str>) -> Result<Vec<RolloutRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<RolloutRow>> {
            let mut query = self.db.prepare(
                "SELECT number, service, plan, green, begun_at, ended, state FROM rollouts
                     WHERE ?1 IS NULL OR service = ?1 ORDER BY number DESC",
            )?;
            query.query_map([service], rollout)?.collect()
        };
        read().map_err(sqlite("reading the rollouts"))
    }

    /// The rollout that was begun with this key, or the answer to what was asked for under it.
    pub(crate) fn rollout_of(&self, key: &str) -> Result<Option<RolloutId>, StoreError> {
        let query = "SELECT number FROM rollouts WHERE key = ?1 UNION ALL SELECT rollout FROM asked WHERE key = ?1";
        let read = self.db.query_row(query, [key], |row| row.get::<_, i64>(0)).optional();
        read.map(|number| number.map(|number| RolloutId(number.cast_unsigned()))).map_err(sqlite("reading a rollout"))
    }

    /// One rollout.
    pub(crate) fn rollout(&self, id: RolloutId) -> Result<Option<RolloutRow>, StoreError> {
        let query = "SELECT number, service, plan, green, begun_at, ended, state FROM rollouts WHERE number = ?1";
        let read = self.db.query_row(query, [id.0.cast_signed()], rollout).optional();
        read.map_err(sqlite("reading a rollout"))
    }

    /// Digests that a slot runs, or that a rollout which is not over brings, or that the last one of a service replaced or brought.
    pub(crate) fn releases_in_use(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut digests: BTreeSet<String> =
            self.slots()?.into_values().filter_map(|slot| Some(slot.release?.digest.0)).collect();
        let mut newest = BTreeSet::new();
        for row in self.rollouts(None)? {
            let is_last = self.lane(&row.service)?.is_some_and(|lane| lane.last() == Some(row.id));
            if newest.insert(row.service.clone()) || is_last || row.ended.is_none() {
                let state = self.rollout_state(row)?;
                digests.extend(state.blue().into_iter().chain(state.green()).map(|release| release.digest.0.clone()));
            }
        }
        Ok(digests)
    }

    /// What is known of a rollout.
    pub(crate) fn rollout_state(&self, row: RolloutRow) -> Result<State, StoreError> {
        if let Some(state) = row.state {
            return Ok(state);
        }
        let events = self.rollout_journal(row.id)?.into_iter().map(|entry| entry.event);
        Ok(State::fold(row.id, row.plan, events))
    }

    /// The whole journal of a rollout, oldest first.
    pub(crate) fn rollout_journal(&self, id: RolloutId) -> Result<Vec<JournalRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<JournalRow>> {
            let query = "SELECT number, at, event, effects FROM rollout_journal WHERE rollout = ?1 ORDER BY number";
            let mut query = self.db.prepare(query)?;
            let rows = query.query_map([id.0.cast_signed()], |row| {
                Ok(JournalRow {
                    number: row.get::<_, i64>(0)?.cast_unsigned(),
                    at: row.get(1)?,
                    event: parsed(row, 2)?,
                    effects: parsed(row, 3)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(sqlite("reading a rollout's journal"))
    }

    /// Whose turn it is at a service.
    pub(crate) fn lane(&self, service: &str) -> Result<Option<Lane>, StoreError> {
        let query = "SELECT lane FROM lanes WHERE service = ?1";
        let read = self.db.query_row(query, [service], |row| parsed(row, 0)).optional();
        read.map_err(sqlite("reading whose turn it is"))
    }

    pub(crate) fn set_lane(&mut self, service: &str, lane: &Lane) -> Result<(), StoreError> {
        let what = "writing down whose turn it is";
        let lane = json(what, lane)?;
        self.write(what, Sync::Full, |db| write_lane(db, service, &lane))
    }
}

fn write_lane(db: &Connection, service: &str, lane: &str) -> rusqlite::Result<()> {
    db.execute("INSERT OR REPLACE INTO lanes (service, lane) VALUES (?1, ?2)", [service, lane]).map(drop)
}

fn write_asked(db: &Connection, key: &str, id: RolloutId) -> rusqlite::Result<()> {
    db.execute("INSERT INTO asked (key, rollout) VALUES (?1, ?2)", params![key, id.0.cast_signed()])?;
    db.execute("DELETE FROM asked WHERE number <= (SELECT max(number) FROM asked) - ?1", [MAX_ASKED]).map(drop)
}

fn rollout(row: &Row<'_>) -> rusqlite::Result<RolloutRow> {
    Ok(RolloutRow {
        id: RolloutId(row.get::<_, i64>(0)?.cast_unsigned()),
        service: row.get(1)?,
        plan: parsed(row, 2)?,
        green: row.get(3)?,
        begun_at: row.get(4)?,
        ended: row.get(5)?,
        state: row
            .get::<_, Option<String>>(6)?
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(6, Type::Text, error.into()))?,
    })
}

pub(super) fn json(what: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| sqlite(what)(rusqlite::Error::ToSqlConversionFailure(error.into())))
}

pub(super) fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

#[cfg(test)]
mod tests {
    use mana_delivery::rollout::{Command, Digest, Operator, Time, What};

    use super::*;

    #[test]
    fn a_rollout_and_its_journal_are_read_back_and_old_ones_are_forgotten() {
        let mut store = Store::in_memory();
        let plan = Plan::new("v1", Digest("d".into()), Operator("ada".into()));
        let begin = |store: &mut Store, green| {
            let id = store.next_rollout().expect("read");
            store.begin_rollout(id, "chat", &plan, green, &Lane::default(), None).expect("write");
            id
        };
        let first = begin(&mut store, Slot::Green);
        assert!(
            store.begin_rollout(first, "chat", &plan, Slot::Blue, &Lane::default(), None).is_err(),
            "a number is one's own"
        );
        store.set_green(first, Slot::Blue).expect("write");
        let abort = What::Command { by: Operator("ada".into()), command: Command::Abort };
        let event = |up_ms, what: &What| Event { at: Time { up_ms, wall_ms: 7 }, what: what.clone() };
        let mut state = State::new(first, plan.clone());
        store.journal_rollout(first, &event(1, &What::Tick), &[], &state, None).expect("write");
        let row = store.rollout(first).expect("read").expect("there");
        assert_eq!((row.ended, row.state, row.green), (None, None, Slot::Blue));
        let effects = state.step(event(2, &abort)).effects;
        store.journal_rollout(first, &event(2, &abort), &effects, &state, None).expect("write");
        let journal = store.rollout_journal(first).expect("read");
        assert_eq!(journal.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((&journal[1].event, &journal[1].effects), (&event(2, &abort), &effects));
        let row = store.rollout(first).expect("read").expect("there");
        assert_eq!((&row.plan, row.ended.as_deref(), row.state.as_ref()), (&plan, Some("aborted"), Some(&state)));
        assert_eq!(store.rollout_state(row).expect("read"), state);
        assert_eq!(
            (store.lane("chat").expect("read"), store.lane("other").expect("read")),
            (Some(Lane::default()), None)
        );
        let lane = Lane::default();
        store.set_lane("chat", &lane).expect("write");
        assert_eq!(store.lane("chat").expect("read"), Some(lane));
        for _ in 0..MAX_OF_A_SERVICE {
            let id = begin(&mut store, Slot::Blue);
            store.journal_rollout(id, &event(2, &abort), &[], &state, None).expect("write");
        }
        assert_eq!(store.rollout(first).expect("read"), None);
        assert!(store.rollout_journal(first).expect("read").is_empty(), "its journal goes with it");
        assert_eq!(store.rollouts(Some("chat")).expect("read").len(), MAX_OF_A_SERVICE as usize);
        assert!(store.rollouts(Some("other")).expect("read").is_empty());
    }

    #[test]
    fn what_was_asked_for_under_a_key_is_found_by_it_and_old_keys_are_forgotten() {
        let mut store = Store::in_memory();
        let plan = Plan::new("v1", Digest("d".into()), Operator("ada".into()));
        let id = store.next_rollout().expect("read");
        store.begin_rollout(id, "chat", &plan, Slot::Green, &Lane::default(), Some("begun")).expect("write");
        let (tick, state) = (Event { at: Time { up_ms: 1, wall_ms: 7 }, what: What::Tick }, State::new(id, plan));
        store.journal_rollout(id, &tick, &[], &state, Some("promoted")).expect("write");
        store.set_asked("there already", id).expect("write");
        for key in ["begun", "promoted", "there already"] {
            assert_eq!(store.rollout_of(key).expect("read"), Some(id), "{key}");
        }
        assert_eq!(store.rollout_of("another").expect("read"), None);
        // An event and its key are there together, or neither is.
        store.journal_rollout(id, &tick, &[], &state, Some("promoted")).expect_err("a key is for one question");
        assert_eq!(store.rollout_journal(id).expect("read").len(), 1);
        for number in 0..MAX_ASKED {
            store.set_asked(&number.to_string(), id).expect("write");
        }
        assert_eq!(store.rollout_of("promoted").expect("read"), None);
        assert_eq!(store.rollout_of("begun").expect("read"), Some(id), "it goes with its rollout");
    }
}
