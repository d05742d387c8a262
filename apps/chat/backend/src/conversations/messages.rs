//! `/api/conversations/{id}` read: one branch of it, with the other versions that stand beside each message; and which branch
//! is shown.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use kit::{Json, Problem, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Store;
use super::attachments::Attachment;
use super::routes::{Conversation, PageQuery, invalid, no_conversation, page, parse_id};
use crate::app::App;
use crate::caller::Caller;
use crate::entity::message;
use crate::ids::{ConversationId, MessageId};
use crate::time::timestamp;

/// Something that was said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(super) id: MessageId,
    /// What it follows; absent: it begins the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_id: Option<MessageId>,
    /// `user` or `assistant`.
    pub(super) role: String,
    pub(super) content: String,
    /// Texts that came with a question.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<Attachment>,
    /// Where it has other versions (an edited question, an answer given again): the ids of all of them, itself among them,
    /// the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) versions: Vec<MessageId>,
    /// Of answers: who gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// Of answers: `stop`, `length`, `content_filter`, or `cancelled` when its reader left before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finish: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
}

/// A conversation with a page of its messages: the newest ones of the branch that is shown, oldest of them first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConversationWithMessages {
    #[serde(flatten)]
    conversation: Conversation,
    messages: Vec<Message>,
    /// To be given as `cursor` for the page of older messages; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which branch to show.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BranchChange {
    /// A message on it, such as one of `versions`; the branch goes on to the newest message below.
    message_id: String,
}

/// `GET /api/conversations/{id}`
#[utoipa::path(
    get, path = "/api/conversations/{id}", tag = "conversations", operation_id = "readConversation",
    summary = "A conversation and its newest messages",
    description = "A conversation is a tree: an edited question (`edit` at `/api/chat/completions`) and an answer given again \
        (`regenerate`) stand beside the ones they were made from. This reads one branch, from its end up. `versions` of a \
        message lists what stands beside it; `PUT /api/conversations/{id}/branch` shows another branch.",
    params(("id" = String, Path, description = "The conversation"), PageQuery),
    responses(
        (status = 200, description = "The conversation", body = ConversationWithMessages),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
        (status = 422, description = "Cursor or limit are not valid", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<ConversationWithMessages>, Problem> {
    let id = parse_id(&id)?;
    let limit = query.limit()?;
    let cursor = match query.cursor.as_deref() {
        None => None,
        Some(text) => {
            Some(Uuid::parse_str(text).map_err(|_| invalid("cursor", "must be the nextCursor of a page".into()))?)
        }
    };
    let store = &app.conversations;
    let found = store.find(caller.user, id).await?.ok_or_else(no_conversation)?;
    let leaf = match cursor {
        Some(cursor) => store.message(id, cursor).await?.and_then(|message| message.parent_id),
        None => store.leaf(&found).await?,
    };
    let rows = match leaf {
        Some(leaf) => store.path(id, leaf, limit + 1).await?,
        None => Vec::new(),
    };
    let (mut rows, more) = page(rows, limit);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.id.to_string());
    rows.reverse();
    let messages = complete(store, id, rows).await?;
    Ok(Json(ConversationWithMessages { conversation: Conversation::from(found), messages, next_cursor }))
}

/// `PUT /api/conversations/{id}/branch`
#[utoipa::path(
    put, path = "/api/conversations/{id}/branch", tag = "conversations", operation_id = "showBranch",
    summary = "Shows another branch of a conversation",
    params(("id" = String, Path, description = "The conversation")),
    request_body = BranchChange,
    responses(
        (status = 204, description = "It is the one that is read from now on"),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation, or no such message in it", body = kit::ProblemBody),
        (status = 422, description = "The message's id is missing", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn show_branch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<BranchChange>,
) -> Result<StatusCode, Problem> {
    let id = parse_id(&id)?;
    app.conversations.find(caller.user, id).await?.ok_or_else(no_conversation)?;
    let message = Uuid::parse_str(&body.message_id).map_err(|_| Problem::not_found("message"))?;
    let shown = app.conversations.show_branch(caller.user, id, message).await?;
    if shown { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("message")) }
}

/// Messages with what stands beside them and what came with them.
async fn complete(store: &Store, id: ConversationId, rows: Vec<message::Model>) -> Result<Vec<Message>, Problem> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut attachments = store.attachments(&ids).await?;
    let siblings = store.siblings(id, &rows).await?;
    Ok(rows.into_iter().map(|row| whole(row, &mut attachments, &siblings)).collect())
}

fn whole(
    row: message::Model,
    attachments: &mut HashMap<Uuid, Vec<Attachment>>,
    siblings: &HashMap<Option<Uuid>, Vec<Uuid>>,
) -> Message {
    let beside = siblings.get(&row.parent_id).filter(|all| all.len() > 1).cloned().unwrap_or_default();
    let attachments = attachments.remove(&row.id).unwrap_or_default();
    Message { attachments, versions: beside.into_iter().map(MessageId).collect(), ..row.into() }
}

impl From<message::Model> for Message {
    fn from(row: message::Model) -> Self {
        Self {
            id: MessageId(row.id),
            parent_id: row.parent_id.map(MessageId),
            role: row.role,
            content: row.content,
            attachments: Vec::new(),
            versions: Vec::new(),
            model: row.model,
            finish: row.finish,
            created_at: timestamp(row.created_at),
        }
    }
}
