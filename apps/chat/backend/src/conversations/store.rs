//! Conversations and messages in the database. Every question names the owner, so that none can be asked without one.

use std::sync::Arc;

use kit::database::Database;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::attachments::Attachment;
use super::cursor::Cursor;
use super::erasure;
use super::recorder::Recorder;
use crate::entity::{conversation, message};
use crate::idempotency::Keep;
use crate::ids::{ConversationId, MessageId};
use crate::outbox::Instruction;

/// What a conversation is called before its first question names it.
pub(super) const UNTITLED: &str = "New conversation";

/// Through which door a conversation came; lists show one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The native API.
    App,
    /// OpenAI's protocol: every call is a conversation of its own and would crowd a person's list.
    Api,
}

impl Origin {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Api => "api",
        }
    }
}

/// Where an exchange belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A conversation to be made of it.
    New {
        /// Its id, decided before the model is called, so that it can be told.
        id: ConversationId,
        /// Its name.
        title: String,
        /// Where it came from.
        origin: Origin,
    },
    /// One that was there.
    Existing {
        /// Its id; the owner was checked, and is checked again when it is written.
        id: ConversationId,
        /// Its name, if it has none of its own yet.
        title: String,
    },
}

impl Target {
    pub(crate) fn id(&self) -> ConversationId {
        match self {
            Self::New { id, .. } | Self::Existing { id, .. } => *id,
        }
    }
}

/// What the model said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) id: MessageId,
    pub(crate) content: String,
    pub(crate) model: String,
    /// `stop`, `length`, `content_filter`, or `cancelled` when its reader left.
    pub(crate) finish: &'static str,
    pub(crate) usage: Option<ai::Usage>,
}

/// A question, its answer, and what the ledger must be told for it: stored together or not at all.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) owner: Uuid,
    pub(crate) target: Target,
    /// What it follows; `None`: it begins the conversation.
    pub(crate) parent: Option<Uuid>,
    pub(crate) question_id: MessageId,
    /// `None` for another answer to a question that is stored already, which `parent` is then.
    pub(crate) question: Option<String>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) answer: Answer,
    pub(crate) settle: Instruction,
    /// Whether its reader was given any of it: then it is charged, though its conversation be gone.
    pub(crate) delivered: bool,
    /// When it was asked, milliseconds since 1970.
    pub(crate) begun: i64,
    /// The answer to give again to the same call, if it has a key.
    pub(crate) keep: Option<Keep>,
    /// Milliseconds since 1970.
    pub(crate) now: i64,
}

/// What came of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// All of it is stored.
    Whole,
    /// Its conversation was deleted after its reader had been given some of it: the instruction to settle is stored, and
    /// nothing that was said.
    ChargeOnly,
}

/// Why an exchange was not stored. The errors are shared by all that was to be stored with it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RecordError {
    /// Its conversation was deleted while the model was answering, before its reader was given any of it.
    #[error("the conversation was deleted while the model was answering")]
    Gone,
    /// Nothing more is stored.
    #[error("nothing is stored any more")]
    Busy,
    /// The database refused before the commit: certainly nothing was stored.
    #[error("the exchange could not be stored")]
    NotStored(#[source] Arc<DbErr>),
    /// The commit failed: it may have been stored or not.
    #[error("the exchange may not have been stored: the commit failed")]
    Unknown(#[source] Arc<DbErr>),
    /// Nobody said in time whether it was.
    #[error("the exchange may not have been stored: no word of it in time")]
    Lost,
}

/// The tables `conversations` and `messages`.
#[derive(Clone)]
pub(crate) struct Store {
    pub(super) db: Database,
    recorder: Recorder,
}

impl Store {
    /// Opens them, and starts what writes exchanges.
    pub(crate) fn start(db: Database) -> Self {
        Self { recorder: Recorder::start(db.clone()), db }
    }

    /// A conversation without messages; false if its owner's account is gone.
    pub(super) async fn create(&self, row: conversation::Model) -> Result<bool, DbErr> {
        let transaction = self.db.begin_write().await?;
        if !erasure::admits(&*transaction, row.user_id, row.created_at).await? {
            return Ok(false);
        }
        let row: conversation::ActiveModel = row.into();
        conversation::Entity::insert(row.reset_all()).exec_without_returning(&*transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The owner's conversations, the one changed last first. One more than `limit` when there are more.
    pub(super) async fn list(
        &self,
        owner: Uuid,
        origin: Origin,
        archived: bool,
        after: Option<Cursor>,
        limit: u64,
    ) -> Result<Vec<conversation::Model>, DbErr> {
        use conversation::Column;
        let mut query = conversation::Entity::find()
            .filter(Column::UserId.eq(owner))
            .filter(Column::Origin.eq(origin.as_str()))
            .filter(if archived { Column::ArchivedAt.is_not_null() } else { Column::ArchivedAt.is_null() })
            .order_by_desc(Column::UpdatedAt)
            .order_by_desc(Column::Id)
            .limit(limit + 1);
        if let Some(after) = after {
            let same_time = Condition::all().add(Column::UpdatedAt.eq(after.updated_at)).add(Column::Id.lt(after.id));
            query = query.filter(Condition::any().add(Column::UpdatedAt.lt(after.updated_at)).add(same_time));
        }
        query.all(&*self.db).await
    }

    /// The owner's conversation of this id.
    pub(crate) async fn find(&self, owner: Uuid, id: ConversationId) -> Result<Option<conversation::Model>, DbErr> {
        conversation::Entity::find_by_id(id.0).filter(conversation::Column::UserId.eq(owner)).one(&*self.db).await
    }

    /// Changes what is set of `change`; false if the owner has none of this id.
    pub(super) async fn change(
        &self,
        owner: Uuid,
        id: ConversationId,
        change: conversation::ActiveModel,
    ) -> Result<bool, DbErr> {
        let mine = conversation::Column::UserId.eq(owner);
        if !change.is_changed() {
            return Ok(self.find(owner, id).await?.is_some());
        }
        let updated = conversation::Entity::update_many()
            .set(change)
            .filter(conversation::Column::Id.eq(id.0))
            .filter(mine)
            .exec(&*self.db)
            .await?;
        Ok(updated.rows_affected == 1)
    }

    /// Gives it another name if it still has this one. Takes its turn among the writers, for it comes with every new conversation.
    pub(super) async fn retitle(&self, owner: Uuid, id: ConversationId, from: &str, to: &str) -> Result<bool, DbErr> {
        let transaction = self.db.begin_write().await?;
        let updated = conversation::Entity::update_many()
            .col_expr(conversation::Column::Title, Expr::value(to))
            .filter(conversation::Column::Id.eq(id.0))
            .filter(conversation::Column::UserId.eq(owner))
            .filter(conversation::Column::Title.eq(from))
            .exec(&*transaction)
            .await?;
        transaction.commit().await?;
        Ok(updated.rows_affected == 1)
    }

    /// Removes it with its messages; false if the owner has none of this id.
    pub(super) async fn delete(&self, owner: Uuid, id: ConversationId) -> Result<bool, DbErr> {
        let deleted = conversation::Entity::delete_many()
            .filter(conversation::Column::Id.eq(id.0))
            .filter(conversation::Column::UserId.eq(owner))
            .exec(&*self.db)
            .await?;
        Ok(deleted.rows_affected == 1)
    }

    /// Removes it if nothing was said in it; false if the owner has none of this id, or something was. What is being stored at this moment is
    /// either seen, or finds it gone: both are about the conversation's row.
    pub(super) async fn delete_empty(&self, owner: Uuid, id: ConversationId) -> Result<bool, DbErr> {
        let said = message::Entity::find()
            .select_only()
            .column(message::Column::ConversationId)
            .filter(message::Column::ConversationId.eq(id.0))
            .into_query();
        let deleted = conversation::Entity::delete_many()
            .filter(conversation::Column::Id.eq(id.0))
            .filter(conversation::Column::UserId.eq(owner))
            // Whatever is stored sets it; without it there is only what an older version has stored.
            .filter(conversation::Column::ActiveLeaf.is_null())
            .filter(conversation::Column::Id.not_in_subquery(said))
            .exec(&*self.db)
            .await?;
        Ok(deleted.rows_affected == 1)
    }

    /// Stores an exchange and its instruction to the ledger, together or not at all; of one that was delivered and whose
    /// conversation is gone, the instruction alone.
    pub(crate) async fn record(&self, exchange: &Arc<Exchange>) -> Result<Recorded, RecordError> {
        self.recorder.record(exchange.clone()).await
    }
}

/// Notes in a conversation that an exchange is added; false if it is no longer there.
pub(super) async fn touch(
    db: &impl ConnectionTrait,
    exchange: &Exchange,
    id: ConversationId,
    title: &str,
) -> Result<bool, DbErr> {
    use conversation::Column;
    let named = Expr::case(Column::Title.eq(UNTITLED), title).finally(Expr::col(Column::Title));
    // Of answers that are written side by side, the one that was asked for last is shown, not the one that took longest.
    let answer = exchange.answer.id.0;
    let earlier = Condition::any().add(Column::ActiveLeaf.is_null()).add(Column::ActiveLeaf.lt(answer));
    let leaf = Expr::case(earlier, answer).finally(Expr::col(Column::ActiveLeaf));
    let updated = conversation::Entity::update_many()
        .col_expr(Column::UpdatedAt, Expr::value(exchange.now))
        .col_expr(Column::ActiveLeaf, leaf.into())
        .col_expr(Column::Title, named.into())
        .filter(Column::Id.eq(id.0))
        .filter(Column::UserId.eq(exchange.owner))
        .exec(db)
        .await?;
    Ok(updated.rows_affected == 1)
}
