//! Table `balances`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "balances")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: Uuid,
    /// Of what was given.
    #[sea_orm(column_name = "available")]
    pub(crate) free: i64,
    /// Of what was paid for.
    pub(crate) paid: i64,
    pub(crate) version: i64,
    pub(crate) last_posting: Option<Uuid>,
    pub(crate) closed_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
