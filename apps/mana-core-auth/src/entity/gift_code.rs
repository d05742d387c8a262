//! Table `gift_codes`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "gift_codes")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) code: String,
    pub(crate) amount: i64,
    pub(crate) funds: String,
    pub(crate) uses: i64,
    pub(crate) used: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) reason: String,
    pub(crate) made_by: String,
    pub(crate) created_at: i64,
    pub(crate) withdrawn_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
