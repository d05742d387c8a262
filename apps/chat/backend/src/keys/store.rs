//! API keys in the database.

use kit::Credits;
use kit::database::Database;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::Secret;
use crate::budgets::Limits;
use crate::caller::{Caller, CallerKey};
use crate::entity::api_key::{ActiveModel, Column, Entity, Model};

/// Keys in use that one person may have: one for each program, not one for each call.
pub(super) const MAX_KEYS: u64 = 20;

/// How exact "last used" is: a busy key writes once in this time, not on every call.
const LAST_USED_STEP_MS: i64 = 60_000;

/// The table `api_keys`.
#[derive(Clone)]
pub(crate) struct Store {
    db: Database,
}

impl Store {
    pub(crate) fn new(db: Database) -> Self {
        Self { db }
    }

    /// Adds a key; false if its owner has [`MAX_KEYS`] already. Calls at the very same moment may get a few more through on
    /// PostgreSQL: the limit is against carelessness.
    pub(super) async fn add(&self, row: Model) -> Result<bool, DbErr> {
        let transaction = self.db.begin_write().await?;
        let in_use = Entity::find().filter(Column::UserId.eq(row.user_id)).filter(Column::RevokedAt.is_null());
        if in_use.count(&*transaction).await? >= MAX_KEYS {
            return Ok(false);
        }
        let row: ActiveModel = row.into();
        Entity::insert(row.reset_all()).exec_without_returning(&*transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The owner's keys in use, the oldest first.
    pub(super) async fn list(&self, owner: Uuid) -> Result<Vec<Model>, DbErr> {
        let mine = Entity::find().filter(Column::UserId.eq(owner)).filter(Column::RevokedAt.is_null());
        mine.order_by_asc(Column::Id).limit(2 * MAX_KEYS).all(&*self.db).await
    }

    /// Ends a key; false if the owner has none of this id in use.
    pub(super) async fn revoke(&self, owner: Uuid, id: Uuid, now_ms: i64) -> Result<bool, DbErr> {
        let revoked = Entity::update_many()
            .col_expr(Column::RevokedAt, Expr::value(now_ms))
            .filter(Column::Id.eq(id))
            .filter(Column::UserId.eq(owner))
            .filter(Column::RevokedAt.is_null())
            .exec(&*self.db)
            .await?;
        Ok(revoked.rows_affected == 1)
    }

    /// Whose key it is, if it is one in use.
    pub(crate) async fn owner(&self, secret: &Secret, now_ms: i64) -> Result<Option<Caller>, DbErr> {
        let in_use = Entity::find().filter(Column::Hash.eq(secret.hash())).filter(Column::RevokedAt.is_null());
        let Some(key) = in_use.one(&*self.db).await? else { return Ok(None) };
        if key.last_used_at.is_none_or(|at| at + LAST_USED_STEP_MS <= now_ms) {
            Entity::update_many()
                .col_expr(Column::LastUsedAt, Expr::value(now_ms))
                .filter(Column::Id.eq(key.id))
                .exec(&*self.db)
                .await?;
        }
        let limits = Limits {
            requests_per_minute: key.requests_per_minute.and_then(|limit| u64::try_from(limit).ok()),
            credits_per_day: key.credits_per_day.map(Credits::from_units),
        };
        Ok(Some(Caller { user: key.user_id, key: Some(CallerKey { id: key.id, limits }) }))
    }
}
