//! Stops that reach an instance which does not write the answer: they lie in the database until the one that does has seen them.
//! While an instance writes anything it looks once in [`STOP_LOOK`], so an answer ends that much later at the most; while it writes
//! nothing it does not look at all.

mod entity;

use std::collections::HashSet;

use jiff::Timestamp;
use kit::clock;
use kit::database::Database;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use sha2::{Digest, Sha256};

use super::writing::Who;
use crate::app::{App, Shared};
use crate::limits::{MAX_STOPS_SEEN, STOP_LOOK, WRITING_KEPT};
use entity::{ActiveModel, Column, Entity};

/// Where they lie.
pub(crate) struct Stops {
    database: Database,
}

impl Stops {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Has whoever writes an answer end it.
    pub(super) async fn add(&self, who: &Who, now: Timestamp) -> Result<(), DbErr> {
        let row = ActiveModel { who_hash: Set(hash(who)), stopped_at: Set(now.as_millisecond()) };
        let again = OnConflict::column(Column::WhoHash).update_column(Column::StoppedAt).to_owned();
        Entity::insert(row).on_conflict(again).exec_without_returning(&*self.database).await.map(drop)
    }

    /// Removes those that everybody has seen.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), DbErr> {
        let seen = Entity::delete_many().filter(Column::StoppedAt.lt(oldest(now)));
        seen.exec(&*self.database).await.map(drop)
    }

    /// Those that count now, the newest [`MAX_STOPS_SEEN`].
    async fn hashes(&self, now: Timestamp) -> Result<HashSet<String>, DbErr> {
        let stops = Entity::find().filter(Column::StoppedAt.gte(oldest(now))).order_by_desc(Column::StoppedAt);
        let stops = stops.limit(MAX_STOPS_SEEN).all(&*self.database).await?;
        Ok(stops.into_iter().map(|stop| stop.who_hash).collect())
    }
}

/// A stop counts for as long as one that came to the right instance.
fn oldest(now: Timestamp) -> i64 {
    now.as_millisecond().saturating_sub(i64::try_from(WRITING_KEPT.as_millis()).unwrap_or(i64::MAX))
}

/// What is stored: from it, nobody can say whose answer it is.
fn hash((browser, key): &Who) -> String {
    hex::encode(Sha256::digest(format!("{browser}\n{key}")))
}

/// Looks for ever, while anything is written.
pub(crate) async fn watch(app: Shared) {
    let mut under_way = app.writings.under_way();
    while under_way.wait_for(|count| *count > 0).await.is_ok() {
        if let Err(error) = look(&app).await {
            metrics::counter!("stops_not_seen_total").increment(1);
            tracing::warn!(%error, "whether answers are to stop cannot be read now; it is tried again");
        }
        tokio::time::sleep(STOP_LOOK).await;
    }
}

async fn look(app: &App) -> Result<(), DbErr> {
    let stopped = app.stops.hashes(clock::now()).await?;
    if !stopped.is_empty() {
        app.writings.stop_those(|who| stopped.contains(&hash(who)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_answer_it_is_cannot_be_read_from_what_is_stored() {
        let who = |browser: &str, key: &str| (browser.to_owned(), key.to_owned());
        let ours = hash(&who("browser", "key"));
        assert!(ours.len() == 64 && !ours.contains("key"), "{ours}");
        for other in [who("browser", "key2"), who("browserk", "ey"), who("other", "key")] {
            assert_ne!(hash(&other), ours, "{other:?}");
        }
    }
}
