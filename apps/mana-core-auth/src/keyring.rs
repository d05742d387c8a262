//! Which key signs when. Keys are made of the seed and a generation; when each begins to sign is a row in the database, so
//! that all instances agree.
//!
//! A new key is published for [`crate::settings::Tokens::key_lead`] before it signs, and one that has been replaced stays
//! published for as long as a token of it can live: no live token is ever refused for want of its key. What is decided is
//! pure ([`plan`]); rows are read anew every [`RELOAD`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use kit::auth::Verifier;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};

use crate::entity::signing_key::{ActiveModel, Column, Entity, Model};
use crate::keys::{SigningKey, published};
use crate::secrets::{Purpose, Secrets};
use crate::settings::Tokens;
use crate::time;

/// After this the rows are read again; far shorter than the shortest lead, so that each instance knows a key before it signs.
const RELOAD: Duration = Duration::from_secs(10);

/// What is added to a token's life before its key is forgotten: clocks differ, and an answer takes its time.
const MARGIN: Duration = Duration::from_mins(1);

/// Which generations count at a moment.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    signing: i64,
    /// Newest first.
    published: Vec<i64>,
}

/// What the rows mean now. `None` without a key that counts.
fn plan(rows: &[Model], now: i64, token_life: Duration) -> Option<Plan> {
    let good = || rows.iter().filter(|row| row.withdrawn_at.is_none());
    let ripe = good().filter(|row| row.signs_from <= now).map(|row| row.generation).max();
    // An instance whose clock is ahead may have made the first one.
    let signing = ripe.or_else(|| good().map(|row| row.generation).min())?;
    let kept = i64::try_from((token_life + MARGIN).as_millis()).unwrap_or(i64::MAX);
    let counts = |row: &&Model| {
        let replaced = good().filter(|other| other.generation > row.generation).map(|other| other.signs_from).min();
        row.generation >= signing || replaced.is_some_and(|at| at.saturating_add(kept) > now)
    };
    let mut published: Vec<i64> = good().filter(counts).map(|row| row.generation).collect();
    published.sort_unstable_by(|a, b| b.cmp(a));
    Some(Plan { signing, published })
}

/// Whether it is time for the next key: the newest is as old as a key may be, but for the lead that the next one needs.
fn is_next_due(rows: &[Model], now: i64, settings: &Tokens) -> bool {
    let Some(newest) = rows.iter().max_by_key(|row| row.generation) else { return true };
    let age = settings.key_age.saturating_sub(settings.key_lead);
    newest.withdrawn_at.is_some()
        || newest.signs_from.saturating_add(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)) <= now
}

struct Loaded {
    rows: Vec<Model>,
    at: Timestamp,
}

/// The keys.
pub(crate) struct Keyring {
    secrets: Secrets,
    settings: Tokens,
    loaded: RwLock<Option<Loaded>>,
    made: Mutex<BTreeMap<i64, Arc<SigningKey>>>,
    verifier: Arc<Verifier>,
}

impl Keyring {
    pub(crate) fn new(secrets: Secrets, settings: Tokens, verifier: Arc<Verifier>) -> Self {
        Self { secrets, settings, loaded: RwLock::default(), made: Mutex::default(), verifier }
    }

    /// The key that signs now.
    pub(crate) async fn current(
        &self,
        connection: &impl ConnectionTrait,
        now: Timestamp,
    ) -> Result<Arc<SigningKey>, DbErr> {
        let plan = self.plan(connection, now).await?;
        Ok(self.key(plan.signing))
    }

    /// What is published now.
    pub(crate) async fn published(&self, connection: &impl ConnectionTrait, now: Timestamp) -> Result<JwkSet, DbErr> {
        let plan = self.plan(connection, now).await?;
        Ok(self.set(&plan))
    }

    /// Makes the next key when its time has come, and reads the rows anew. Housekeeping's part.
    pub(crate) async fn round(&self, connection: &impl ConnectionTrait, now: Timestamp) -> Result<(), DbErr> {
        let rows = rows(connection).await?;
        if is_next_due(&rows, now.as_millisecond(), &self.settings) {
            let lead = if rows.is_empty() { Duration::ZERO } else { self.settings.key_lead };
            let generation = add(connection, &rows, now, lead).await?;
            tracing::info!(generation, lead_s = lead.as_secs(), "the next signing key is published");
        }
        self.load(connection, now).await.map(|_| ())
    }

    async fn plan(&self, connection: &impl ConnectionTrait, now: Timestamp) -> Result<Plan, DbErr> {
        if let Some(plan) = self.fresh(now) {
            return Ok(plan);
        }
        match self.load(connection, now).await {
            Ok(plan) => Ok(plan),
            // What was known a moment ago is better than nothing; whoever needs the database finds out anyway.
            Err(error) => self.stale(now).ok_or(error),
        }
    }

    async fn load(&self, connection: &impl ConnectionTrait, now: Timestamp) -> Result<Plan, DbErr> {
        let mut rows = rows(connection).await?;
        if rows.is_empty() {
            add(connection, &rows, now, Duration::ZERO).await?;
            rows = self::rows(connection).await?;
        }
        let none = || DbErr::Custom("every signing key is withdrawn; make one with `rotate-keys`".to_owned());
        let plan = plan(&rows, now.as_millisecond(), self.settings.access_ttl).ok_or_else(none)?;
        self.verifier.replace_keys(&self.set(&plan));
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(Loaded { rows, at: now });
        Ok(plan)
    }

    fn fresh(&self, now: Timestamp) -> Option<Plan> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.as_ref()?;
        let age = now.duration_since(loaded.at);
        let fresh = !age.is_negative() && age.unsigned_abs() < RELOAD;
        fresh.then(|| plan(&loaded.rows, now.as_millisecond(), self.settings.access_ttl)).flatten()
    }

    fn stale(&self, now: Timestamp) -> Option<Plan> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        plan(&loaded.as_ref()?.rows, now.as_millisecond(), self.settings.access_ttl)
    }

    fn key(&self, generation: i64) -> Arc<SigningKey> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let of_seed = || Arc::new(SigningKey::from_seed(&self.secrets.key(Purpose::Signing(generation))));
        Arc::clone(made.entry(generation).or_insert_with(of_seed))
    }

    fn set(&self, plan: &Plan) -> JwkSet {
        published(plan.published.iter().map(|generation| self.key(*generation)))
    }
}

async fn rows(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().order_by_asc(Column::Generation).all(connection).await
}

/// Adds the generation after the last one; where somebody else was faster, theirs stands.
async fn add(connection: &impl ConnectionTrait, rows: &[Model], now: Timestamp, lead: Duration) -> Result<i64, DbErr> {
    let generation = rows.iter().map(|row| row.generation).max().unwrap_or(0) + 1;
    let row = ActiveModel {
        generation: Set(generation),
        created_at: Set(now.as_millisecond()),
        signs_from: Set(time::later(now, lead)),
        withdrawn_at: Set(None),
    };
    let nothing = OnConflict::column(Column::Generation).do_nothing().to_owned();
    Entity::insert(row).on_conflict(nothing).exec_without_returning(connection).await?;
    Ok(generation)
}

/// The command: publishes the next key, which signs after the lead; gives its generation and when it begins.
pub(crate) async fn rotate(
    connection: &impl ConnectionTrait,
    now: Timestamp,
    lead: Duration,
) -> Result<(i64, String), DbErr> {
    let rows = rows(connection).await?;
    let generation = add(connection, &rows, now, lead).await?;
    Ok((generation, time::rfc3339(time::later(now, lead))))
}

/// The command for a key that somebody else knows: all there are stop counting at once, with every token they signed.
pub(crate) async fn replace_all(connection: &impl ConnectionTrait, now: Timestamp) -> Result<i64, DbErr> {
    let rows = rows(connection).await?;
    let update = Entity::update_many()
        .col_expr(Column::WithdrawnAt, Expr::value(now.as_millisecond()))
        .filter(Column::WithdrawnAt.is_null());
    update.exec(connection).await?;
    add(connection, &rows, now, Duration::ZERO).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_mins(15);
    const MINUTE: i64 = 60_000;

    fn row(generation: i64, signs_from: i64) -> Model {
        Model { generation, created_at: 0, signs_from, withdrawn_at: None }
    }

    #[test]
    fn the_next_key_is_published_before_it_signs_and_the_old_one_while_its_tokens_live() {
        let rows = [row(1, 0), row(2, 100 * MINUTE)];
        let check = |minute: i64, signing: i64, published: &[i64]| {
            let expected = Plan { signing, published: published.to_vec() };
            assert_eq!(plan(&rows, minute * MINUTE, LIFE), Some(expected), "minute {minute}");
        };
        check(50, 1, &[2, 1]);
        check(99, 1, &[2, 1]);
        check(100, 2, &[2, 1]);
        check(115, 2, &[2, 1]);
        check(116, 2, &[2]);
    }

    #[test]
    fn two_rotations_in_a_row_keep_every_key_whose_tokens_live() {
        let rows = [row(1, 0), row(2, 10 * MINUTE), row(3, 11 * MINUTE)];
        let at = |minute: i64| plan(&rows, minute * MINUTE, LIFE).unwrap();
        assert_eq!(at(12), Plan { signing: 3, published: vec![3, 2, 1] });
        assert_eq!(at(26), Plan { signing: 3, published: vec![3, 2] });
        assert_eq!(at(27), Plan { signing: 3, published: vec![3] });
    }

    #[test]
    fn a_withdrawn_key_counts_no_more() {
        let mut rows = [row(1, 0), row(2, 5)];
        rows[0].withdrawn_at = Some(5);
        assert_eq!(plan(&rows, 6, LIFE), Some(Plan { signing: 2, published: vec![2] }));
        rows[1].withdrawn_at = Some(6);
        assert_eq!(plan(&rows, 7, LIFE), None);
    }

    #[test]
    fn a_key_from_a_clock_that_is_ahead_signs_where_there_is_no_other() {
        assert_eq!(plan(&[row(1, 5)], 4, LIFE), Some(Plan { signing: 1, published: vec![1] }));
    }

    #[test]
    fn the_next_key_is_due_a_lead_before_the_last_is_too_old() {
        let settings =
            Tokens { key_age: Duration::from_mins(100), key_lead: Duration::from_mins(10), ..Tokens::default() };
        assert!(is_next_due(&[], 0, &settings));
        assert!(!is_next_due(&[row(1, 0)], 89 * MINUTE, &settings));
        assert!(is_next_due(&[row(1, 0)], 90 * MINUTE, &settings));
        assert!(!is_next_due(&[row(1, 0), row(2, 100 * MINUTE)], 90 * MINUTE, &settings));
    }
}
