//! `/api/conversations`: list, make, read, rename, delete. Someone else's is answered as one that does not exist.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use kit::{FieldError, Json, Problem, Query, clock};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::cursor::Cursor;
use super::store::{Origin, UNTITLED};
use crate::app::App;
use crate::caller::Caller;
use crate::entity::{conversation, message};
use crate::ids::{ConversationId, MessageId};
use crate::limits::{MAX_TITLE_CHARS, PAGE_DEFAULT, PAGE_MAX};
use crate::time::{now_ms, timestamp};

/// A conversation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conversation {
    id: ConversationId,
    title: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When something was last said in it.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// A page of conversations, the one changed last first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConversationPage {
    conversations: Vec<Conversation>,
    /// To be given as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Something that was said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    id: MessageId,
    /// `user` or `assistant`.
    role: String,
    content: String,
    /// Of answers: who gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// Of answers: `stop`, `length`, `content_filter`, or `cancelled` when its reader left before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    finish: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A conversation with a page of its messages: the newest ones, oldest of them first.
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

/// A conversation to make.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewConversation {
    /// Its name, 1 to 200 characters; absent: it is named by its first question.
    #[serde(default)]
    title: Option<String>,
}

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ConversationChange {
    /// The new name, 1 to 200 characters.
    title: String,
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// Entries, 1 to 100; 50 when absent.
    limit: Option<u64>,
}

impl PageQuery {
    fn limit(&self) -> Result<u64, Problem> {
        match self.limit.unwrap_or(PAGE_DEFAULT) {
            limit @ 1..=PAGE_MAX => Ok(limit),
            _ => Err(invalid("limit", format!("must be 1 to {PAGE_MAX}"))),
        }
    }
}

/// `GET /api/conversations`
#[utoipa::path(
    get, path = "/api/conversations", tag = "conversations", operation_id = "listConversations",
    summary = "The caller's conversations",
    params(PageQuery),
    responses(
        (status = 200, description = "A page", body = ConversationPage),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 422, description = "Cursor or limit are not valid", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<ConversationPage>, Problem> {
    let limit = query.limit()?;
    let after = match query.cursor.as_deref() {
        None => None,
        Some(text) => {
            Some(Cursor::parse(text).ok_or_else(|| invalid("cursor", "must be the nextCursor of a page".into()))?)
        }
    };
    let rows = app.conversations.list(caller.user, Origin::App, after, limit).await?;
    let (rows, more) = page(rows, limit);
    let next_cursor =
        rows.last().filter(|_| more).map(|row| Cursor { updated_at: row.updated_at, id: row.id }.to_string());
    Ok(Json(ConversationPage { conversations: rows.into_iter().map(Conversation::from).collect(), next_cursor }))
}

/// `POST /api/conversations`
#[utoipa::path(
    post, path = "/api/conversations", tag = "conversations", operation_id = "createConversation",
    summary = "Makes an empty conversation",
    request_body = NewConversation,
    responses(
        (status = 201, description = "Made", body = Conversation),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 422, description = "The title is not valid", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<NewConversation>,
) -> Result<(StatusCode, Json<Conversation>), Problem> {
    let title = body.title.map_or_else(|| Ok(UNTITLED.to_owned()), |title| checked_title(&title))?;
    let now = now_ms();
    let row = conversation::Model {
        id: clock::new_id(),
        user_id: caller.user,
        title,
        origin: Origin::App.as_str().to_owned(),
        created_at: now,
        updated_at: now,
    };
    app.conversations.create(row.clone()).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// `GET /api/conversations/{id}`
#[utoipa::path(
    get, path = "/api/conversations/{id}", tag = "conversations", operation_id = "readConversation",
    summary = "A conversation and its newest messages",
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
    let before = match query.cursor.as_deref() {
        None => None,
        Some(text) => {
            Some(Uuid::parse_str(text).map_err(|_| invalid("cursor", "must be the nextCursor of a page".into()))?)
        }
    };
    let found = app.conversations.find(caller.user, id).await?;
    let conversation = Conversation::from(found.ok_or_else(no_conversation)?);
    let rows = app.conversations.messages(id, before, limit).await?;
    let (mut rows, more) = page(rows, limit);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.id.to_string());
    rows.reverse();
    let messages = rows.into_iter().map(Message::from).collect();
    Ok(Json(ConversationWithMessages { conversation, messages, next_cursor }))
}

/// `PATCH /api/conversations/{id}`
#[utoipa::path(
    patch, path = "/api/conversations/{id}", tag = "conversations", operation_id = "renameConversation",
    summary = "Renames a conversation",
    params(("id" = String, Path, description = "The conversation")),
    request_body = ConversationChange,
    responses(
        (status = 200, description = "Renamed", body = Conversation),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
        (status = 422, description = "The title is not valid", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn rename(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<ConversationChange>,
) -> Result<Json<Conversation>, Problem> {
    let id = parse_id(&id)?;
    let title = checked_title(&body.title)?;
    let renamed = app.conversations.rename(caller.user, id, &title).await?;
    if !renamed {
        return Err(no_conversation());
    }
    let found = app.conversations.find(caller.user, id).await?;
    Ok(Json(found.ok_or_else(no_conversation)?.into()))
}

/// `DELETE /api/conversations/{id}`
#[utoipa::path(
    delete, path = "/api/conversations/{id}", tag = "conversations", operation_id = "deleteConversation",
    summary = "Deletes a conversation and everything said in it",
    params(("id" = String, Path, description = "The conversation")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = parse_id(&id)?;
    let deleted = app.conversations.delete(caller.user, id).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(no_conversation()) }
}

/// What is no id is no conversation.
fn parse_id(text: &str) -> Result<ConversationId, Problem> {
    Uuid::parse_str(text).map(ConversationId).map_err(|_| no_conversation())
}

fn no_conversation() -> Problem {
    Problem::not_found("conversation")
}

fn invalid(field: &str, message: String) -> Problem {
    Problem::invalid(vec![FieldError::new(field, message)])
}

fn checked_title(title: &str) -> Result<String, Problem> {
    let title = title.trim();
    let chars = title.chars().count();
    if chars == 0 || chars > MAX_TITLE_CHARS || title.chars().any(char::is_control) {
        return Err(invalid(
            "title",
            format!("must have 1 to {MAX_TITLE_CHARS} characters, without control characters"),
        ));
    }
    Ok(title.to_owned())
}

/// The first `limit` rows, and whether there were more.
fn page<T>(mut rows: Vec<T>, limit: u64) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    (rows, more)
}

impl From<conversation::Model> for Conversation {
    fn from(row: conversation::Model) -> Self {
        Self {
            id: ConversationId(row.id),
            title: row.title,
            created_at: timestamp(row.created_at),
            updated_at: timestamp(row.updated_at),
        }
    }
}

impl From<message::Model> for Message {
    fn from(row: message::Model) -> Self {
        Self {
            id: MessageId(row.id),
            role: row.role,
            content: row.content,
            model: row.model,
            finish: row.finish,
            created_at: timestamp(row.created_at),
        }
    }
}
