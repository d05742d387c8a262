//! The tree of a conversation: from a message up to the beginning, and from a message down to the newest end.
//!
//! Nothing in the tree is ever changed; only which end is shown (`active_leaf`) moves. So whoever holds an end (a page, a
//! link, an answer under way) reads the same path for as long as the conversation exists.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Statement,
};
use uuid::Uuid;

use super::Store;
use crate::entity::{conversation, message};
use crate::ids::ConversationId;
use crate::limits::MAX_PATH;

const PATH: &str = "WITH RECURSIVE path (id, parent_id, depth) AS (
        SELECT id, parent_id, 0 FROM messages WHERE id = $1 AND conversation_id = $2
        UNION ALL
        SELECT above.id, above.parent_id, path.depth + 1 FROM messages AS above JOIN path ON above.id = path.parent_id
        WHERE above.conversation_id = $2 AND path.depth + 1 < $3
    )";

const BELOW: &str = "WITH RECURSIVE below (id) AS (
        SELECT id FROM messages WHERE id = $1 AND conversation_id = $2
        UNION ALL
        SELECT child.id FROM messages AS child JOIN below ON child.parent_id = below.id WHERE child.conversation_id = $2
    ) SELECT id FROM below ORDER BY id DESC LIMIT 1";

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

impl Store {
    /// The end of the branch that is shown; `None` where nothing was said yet.
    pub(crate) async fn leaf(&self, row: &conversation::Model) -> Result<Option<Uuid>, DbErr> {
        if row.active_leaf.is_some() {
            return Ok(row.active_leaf);
        }
        let newest = message::Entity::find().filter(message::Column::ConversationId.eq(row.id));
        let newest = newest.order_by_desc(message::Column::Id).select_only().column(message::Column::Id);
        newest.into_tuple().one(&*self.db).await
    }

    /// The messages from `leaf` up, the newest first, at most `limit`. The caller has checked the owner.
    pub(crate) async fn path(&self, id: ConversationId, leaf: Uuid, limit: u64) -> Result<Vec<message::Model>, DbErr> {
        self.path_beyond(id, leaf, 0, limit).await
    }

    /// The same behind the first `skip` of them, of which nothing but their ids is read.
    pub(super) async fn path_beyond(
        &self,
        id: ConversationId,
        leaf: Uuid,
        skip: u64,
        limit: u64,
    ) -> Result<Vec<message::Model>, DbErr> {
        let sql = format!(
            "{PATH} SELECT messages.* FROM path JOIN messages ON messages.id = path.id WHERE path.depth >= $4 ORDER BY path.depth"
        );
        let number = |number: u64| i64::try_from(number.min(MAX_PATH)).unwrap_or(i64::MAX);
        let end = skip.saturating_add(limit);
        let values = [leaf.into(), id.0.into(), number(end).into(), number(skip).into()];
        let statement = Statement::from_sql_and_values(self.db.engine(), sql, values);
        message::Entity::find().from_raw_sql(statement).all(&*self.db).await
    }

    /// The ids of the same, the oldest first.
    pub(super) async fn path_ids(&self, id: ConversationId, leaf: Uuid) -> Result<Vec<Uuid>, DbErr> {
        let sql = format!("{PATH} SELECT id FROM path ORDER BY depth DESC");
        let values = [leaf.into(), id.0.into(), i64::try_from(MAX_PATH).unwrap_or(i64::MAX).into()];
        let statement = Statement::from_sql_and_values(self.db.engine(), sql, values);
        let rows = self.db.query_all_raw(statement).await?;
        rows.iter().map(|row| Id::from_query_result(row, "").map(|it| it.id)).collect()
    }

    /// The newest end below a message, itself where it is one; `None` if the conversation has no such message.
    pub(super) async fn end_below(&self, id: ConversationId, from: Uuid) -> Result<Option<Uuid>, DbErr> {
        let statement = Statement::from_sql_and_values(self.db.engine(), BELOW, [from.into(), id.0.into()]);
        let row = self.db.query_one_raw(statement).await?;
        row.map(|row| Id::from_query_result(&row, "").map(|it| it.id)).transpose()
    }

    /// One message of a conversation. The caller has checked the owner.
    pub(crate) async fn message(&self, id: ConversationId, message: Uuid) -> Result<Option<message::Model>, DbErr> {
        let found = message::Entity::find_by_id(message).filter(message::Column::ConversationId.eq(id.0));
        found.one(&*self.db).await
    }

    /// How many messages follow `parent`, or begin the conversation.
    pub(crate) async fn versions(&self, id: ConversationId, parent: Option<Uuid>) -> Result<u64, DbErr> {
        use message::Column;
        let follows = parent.map_or_else(|| Column::ParentId.is_null(), |parent| Column::ParentId.eq(parent));
        message::Entity::find().filter(Column::ConversationId.eq(id.0)).filter(follows).count(&*self.db).await
    }

    /// The messages that stand side by side with each of these, itself among them, the oldest first.
    pub(crate) async fn siblings(
        &self,
        id: ConversationId,
        messages: &[message::Model],
    ) -> Result<HashMap<Option<Uuid>, Vec<Uuid>>, DbErr> {
        use message::Column;
        let mut siblings: HashMap<Option<Uuid>, Vec<Uuid>> = HashMap::new();
        if messages.is_empty() {
            return Ok(siblings);
        }
        let mut parents = Condition::any().add(Column::ParentId.is_in(messages.iter().filter_map(|it| it.parent_id)));
        if messages.iter().any(|message| message.parent_id.is_none()) {
            parents = parents.add(Column::ParentId.is_null());
        }
        let found = message::Entity::find().filter(Column::ConversationId.eq(id.0)).filter(parents);
        let found = found.order_by_asc(Column::Id).select_only().columns([Column::ParentId, Column::Id]);
        let found: Vec<(Option<Uuid>, Uuid)> = found.into_tuple().all(&*self.db).await?;
        for (parent, message) in found {
            siblings.entry(parent).or_default().push(message);
        }
        Ok(siblings)
    }

    /// Shows the branch that a message is on, down to its newest end; false if the owner has no such message.
    pub(super) async fn show_branch(&self, owner: Uuid, id: ConversationId, message: Uuid) -> Result<bool, DbErr> {
        use sea_orm::sea_query::Expr;
        let Some(end) = self.end_below(id, message).await? else { return Ok(false) };
        let updated = conversation::Entity::update_many()
            .col_expr(conversation::Column::ActiveLeaf, Expr::value(end))
            .filter(conversation::Column::Id.eq(id.0))
            .filter(conversation::Column::UserId.eq(owner))
            .exec(&*self.db)
            .await?;
        Ok(updated.rows_affected == 1)
    }
}
