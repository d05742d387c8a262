//! `messages`

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
#[expect(clippy::struct_field_names, reason = "`model` is the AI model; the struct's name is SeaORM's")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) conversation_id: Uuid,
    pub(crate) role: String,
    #[sea_orm(column_type = "Text")]
    pub(crate) content: String,
    pub(crate) model: Option<String>,
    pub(crate) finish: Option<String>,
    pub(crate) prompt_tokens: Option<i64>,
    pub(crate) completion_tokens: Option<i64>,
    pub(crate) price: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) parent_id: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
