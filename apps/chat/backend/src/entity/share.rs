//! `shares`

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "shares")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) conversation_id: Uuid,
    pub(crate) token: String,
    pub(crate) hash: String,
    pub(crate) title: String,
    pub(crate) leaf: Uuid,
    pub(crate) created_at: i64,
}

impl std::fmt::Debug for Model {
    /// Without what opens the link.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share").field("id", &self.id).field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
