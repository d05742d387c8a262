//! Table `passkeys`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "passkeys")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) user_id: Uuid,
    pub(crate) name: String,
    pub(crate) algorithm: i64,
    pub(crate) public_key: String,
    pub(crate) sign_count: i64,
    pub(crate) created_at: i64,
    pub(crate) last_used_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
