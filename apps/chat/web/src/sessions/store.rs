//! The rows. Each function is one statement, so each is atomic on both engines.

use kit::database::Database;
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::entity::{Column, Entity, Model};

/// Where sessions are kept.
#[derive(Clone)]
pub(super) struct Store {
    database: Database,
}

impl Store {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(super) async fn insert(&self, row: Model) -> Result<(), DbErr> {
        row.into_active_model().insert(&*self.database).await.map(|_| ())
    }

    pub(super) async fn find(&self, id_hash: &str) -> Result<Option<Model>, DbErr> {
        Entity::find_by_id(id_hash).one(&*self.database).await
    }

    pub(super) async fn remove(&self, id_hash: &str) -> Result<(), DbErr> {
        Entity::delete_by_id(id_hash).exec(&*self.database).await.map(|_| ())
    }

    /// Removes all of a person; how many those were.
    pub(super) async fn remove_of(&self, user: Uuid) -> Result<u64, DbErr> {
        let removed = Entity::delete_many().filter(Column::UserId.eq(user)).exec(&*self.database).await?;
        Ok(removed.rows_affected)
    }

    pub(super) async fn remove_expired(&self, now: i64) -> Result<(), DbErr> {
        Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(&*self.database).await.map(|_| ())
    }

    /// Takes the right to exchange the tokens of `generation`; false when they were exchanged, or somebody has the right.
    pub(super) async fn take_lease(&self, row: &Model, now: i64, until: i64) -> Result<bool, DbErr> {
        let taken = Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(until))
            .filter(Column::IdHash.eq(&row.id_hash))
            .filter(Column::Generation.eq(row.generation))
            .filter(Column::LeaseUntil.lte(now))
            .exec(&*self.database)
            .await?;
        Ok(taken.rows_affected == 1)
    }

    /// Gives the right back without having used it.
    pub(super) async fn give_lease_back(&self, row: &Model) -> Result<(), DbErr> {
        Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(0_i64))
            .filter(Column::IdHash.eq(&row.id_hash))
            .filter(Column::Generation.eq(row.generation))
            .exec(&*self.database)
            .await
            .map(|_| ())
    }

    /// Puts the successors of `generation`'s tokens, and whose they are; false when the session has ended meanwhile.
    pub(super) async fn replace_tokens(
        &self,
        row: &Model,
        tokens: String,
        expires_at: i64,
        user: Uuid,
    ) -> Result<bool, DbErr> {
        let replaced = Entity::update_many()
            .col_expr(Column::Tokens, Expr::value(tokens))
            .col_expr(Column::AccessExpiresAt, Expr::value(expires_at))
            .col_expr(Column::UserId, Expr::value(user))
            .col_expr(Column::Generation, Expr::value(row.generation + 1))
            .col_expr(Column::LeaseUntil, Expr::value(0_i64))
            .filter(Column::IdHash.eq(&row.id_hash))
            .filter(Column::Generation.eq(row.generation))
            .exec(&*self.database)
            .await?;
        Ok(replaced.rows_affected == 1)
    }
}
