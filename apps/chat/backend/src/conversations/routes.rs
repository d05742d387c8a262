//! `/api/conversations`: list, make, change, delete. Someone else's is answered as one that does not exist.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use kit::{FieldError, Json, Problem, Query, clock};
use sea_orm::ActiveValue::Set;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::cursor::Cursor;
use super::store::{Origin, UNTITLED};
use super::{erasure, preferences};
use crate::app::App;
use crate::caller::Caller;
use crate::entity::conversation;
use crate::ids::ConversationId;
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
    /// Whether it is put away.
    archived: bool,
    /// Its own instructions for the model; absent: the caller's (`/api/preferences`).
    #[serde(skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
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

/// A conversation to make.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewConversation {
    /// Its name, 1 to 200 characters; absent: it is named by its first question.
    #[serde(default)]
    title: Option<String>,
}

/// What to change; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConversationChange {
    /// The new name, 1 to 200 characters.
    #[serde(default)]
    title: Option<String>,
    /// Whether it is put away: out of the list, still found, read and gone on with.
    #[serde(default)]
    archived: Option<bool>,
    /// Instructions for the model in this conversation, up to 8 000 characters; empty: none; null: the caller's own
    /// (`/api/preferences`) again.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    system_prompt: Change,
}

/// What becomes of a value that can be absent.
#[derive(Debug, Default)]
enum Change {
    #[default]
    Stays,
    Becomes(Option<String>),
}

/// Tells `null` from what is absent.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Change, D::Error> {
    Option::deserialize(value).map(Change::Becomes)
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `nextCursor` of the page before.
    pub(super) cursor: Option<String>,
    /// Entries, 1 to 100; 50 when absent.
    limit: Option<u64>,
}

impl PageQuery {
    pub(super) fn limit(&self) -> Result<u64, Problem> {
        match self.limit.unwrap_or(PAGE_DEFAULT) {
            limit @ 1..=PAGE_MAX => Ok(limit),
            _ => Err(invalid("limit", format!("must be 1 to {PAGE_MAX}"))),
        }
    }
}

/// Which list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ArchivedQuery {
    /// Whether those that are put away are meant; the others when absent.
    archived: Option<bool>,
}

/// `GET /api/conversations`
#[utoipa::path(
    get, path = "/api/conversations", tag = "conversations", operation_id = "listConversations",
    summary = "The caller's conversations",
    params(PageQuery, ArchivedQuery),
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
    Query(which): Query<ArchivedQuery>,
) -> Result<Json<ConversationPage>, Problem> {
    let limit = query.limit()?;
    let after = match query.cursor.as_deref() {
        None => None,
        Some(text) => {
            Some(Cursor::parse(text).ok_or_else(|| invalid("cursor", "must be the nextCursor of a page".into()))?)
        }
    };
    let rows = app.conversations.list(caller.user, Origin::App, which.archived.unwrap_or(false), after, limit).await?;
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
        archived_at: None,
        active_leaf: None,
        system_prompt: None,
    };
    if !app.conversations.create(row.clone()).await? {
        return Err(erasure::gone());
    }
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// `PATCH /api/conversations/{id}`
#[utoipa::path(
    patch, path = "/api/conversations/{id}", tag = "conversations", operation_id = "changeConversation",
    summary = "Renames a conversation, puts it away or back, or changes its instructions for the model",
    params(("id" = String, Path, description = "The conversation")),
    request_body = ConversationChange,
    responses(
        (status = 200, description = "As it is now", body = Conversation),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
        (status = 422, description = "The title or the instructions are not valid", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<ConversationChange>,
) -> Result<Json<Conversation>, Problem> {
    let id = parse_id(&id)?;
    let mut change = conversation::ActiveModel::default();
    if let Some(title) = &body.title {
        change.title = Set(checked_title(title)?);
    }
    if let Some(archived) = body.archived {
        change.archived_at = Set(archived.then(now_ms));
    }
    if let Change::Becomes(prompt) = &body.system_prompt {
        change.system_prompt = Set(prompt.as_deref().map(preferences::checked).transpose()?);
    }
    if !app.conversations.change(caller.user, id, change).await? {
        return Err(no_conversation());
    }
    let found = app.conversations.find(caller.user, id).await?;
    Ok(Json(found.ok_or_else(no_conversation)?.into()))
}

/// When a conversation is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DeleteIf {
    Empty,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteQuery {
    /// `empty`: only if nothing was said in it. In any case when absent.
    #[serde(rename = "if")]
    #[param(inline)]
    only_if: Option<DeleteIf>,
}

/// `DELETE /api/conversations/{id}`
#[utoipa::path(
    delete, path = "/api/conversations/{id}", tag = "conversations", operation_id = "deleteConversation",
    summary = "Deletes a conversation and everything said in it",
    params(("id" = String, Path, description = "The conversation"), DeleteQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
        (status = 409, description = "With `if=empty`: something was said in it", body = kit::ProblemBody),
        (status = 422, description = "The condition is not known", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, Problem> {
    let id = parse_id(&id)?;
    let deleted = match query.only_if {
        None => app.conversations.delete(caller.user, id).await?,
        Some(DeleteIf::Empty) => app.conversations.delete_empty(caller.user, id).await?,
    };
    if deleted {
        return Ok(StatusCode::NO_CONTENT);
    }
    match app.conversations.find(caller.user, id).await? {
        Some(_) if query.only_if.is_some() => Err(Problem::conflict("Something was said in this conversation.")),
        _ => Err(no_conversation()),
    }
}

/// What is no id is no conversation.
pub(super) fn parse_id(text: &str) -> Result<ConversationId, Problem> {
    Uuid::parse_str(text).map(ConversationId).map_err(|_| no_conversation())
}

pub(super) fn no_conversation() -> Problem {
    Problem::not_found("conversation")
}

pub(super) fn invalid(field: &str, message: String) -> Problem {
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
pub(super) fn page<T>(mut rows: Vec<T>, limit: u64) -> (Vec<T>, bool) {
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
            archived: row.archived_at.is_some(),
            system_prompt: row.system_prompt,
        }
    }
}
