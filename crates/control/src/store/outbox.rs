//! What people are told: on disk before it is sent.

use mana_notify::outbox::{Delivery, Id};
use rusqlite::params;

use super::rollouts::{json, parsed};
use super::{Store, StoreError, Sync, sqlite};

impl Store {
    /// Writes deliveries down as they are now, and forgets others.
    pub(crate) fn keep_deliveries(&mut self, keep: &[Delivery], forget: &[Id]) -> Result<(), StoreError> {
        if keep.is_empty() && forget.is_empty() {
            return Ok(());
        }
        let what = "writing down what people are told";
        let texts = keep.iter().map(|delivery| json(what, delivery)).collect::<Result<Vec<_>, _>>()?;
        self.write(what, Sync::Full, |db| {
            for (delivery, text) in keep.iter().zip(&texts) {
                db.execute(
                    "INSERT OR REPLACE INTO outbox (channel, key, delivery) VALUES (?1, ?2, ?3)",
                    params![delivery.channel, delivery.message.key, text],
                )?;
            }
            for id in forget {
                db.execute("DELETE FROM outbox WHERE channel = ?1 AND key = ?2", params![id.channel, id.key])?;
            }
            Ok(())
        })
    }

    /// All that is written down.
    pub(crate) fn deliveries(&self) -> Result<Vec<Delivery>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Delivery>> {
            let mut query = self.db.prepare("SELECT delivery FROM outbox")?;
            query.query_map([], |row| parsed(row, 0))?.collect()
        };
        read().map_err(sqlite("reading what people are told"))
    }
}

#[cfg(test)]
mod tests {
    use mana_notify::{Message, Severity};

    use super::*;

    #[test]
    fn deliveries_are_read_back_as_they_were_kept_last() {
        let mut store = Store::in_memory();
        let message = Message {
            key: "k".into(),
            title: "t".into(),
            text: String::new(),
            severity: Severity::Page,
            link: None,
            facts: vec![("a".into(), "b".into())],
            at_ms: 7,
        };
        let mut delivery = Delivery::new("ops".into(), message, 3, 8);
        store.keep_deliveries(std::slice::from_ref(&delivery), &[]).expect("write");
        delivery.failures = 2;
        store.keep_deliveries(std::slice::from_ref(&delivery), &[]).expect("write");
        assert_eq!(store.deliveries().expect("read"), std::slice::from_ref(&delivery));
        store.keep_deliveries(&[], &[delivery.id()]).expect("write");
        assert!(store.deliveries().expect("read").is_empty());
    }
}
