//! A row of `web_sessions`.

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "web_sessions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id_hash: String,
    pub(crate) name: String,
    pub(crate) email: String,
    /// Sealed; see [`super::Keys`].
    pub(crate) tokens: String,
    pub(crate) access_expires_at: i64,
    pub(crate) generation: i64,
    pub(crate) lease_until: i64,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    /// Whose it is; unknown of one that began under an older version, until its tokens are exchanged.
    pub(crate) user_id: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Who is signed in, and sealed tokens: neither belongs in a log.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("generation", &self.generation).finish_non_exhaustive()
    }
}
