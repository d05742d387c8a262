//! Links by which anybody reads a conversation: up to the message that was its end when the link was made, under the title it had
//! then, and for as long as the link is not revoked. Who made it is not told, and neither is any id.
//!
//! A link is 256 random bits in its address. It is found by its SHA-256, so that no comparison tells how much of a guess was right.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use kit::{Json, Problem, Query, clock};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Store;
use super::attachments::Attachment;
use super::routes::{PageQuery, invalid, no_conversation, page, parse_id};
use crate::app::App;
use crate::caller::Caller;
use crate::entity::share;
use crate::ids::{ConversationId, ShareId};
use crate::limits::{MAX_PATH, MAX_SHARES};
use crate::time::{now_ms, timestamp};

/// Random bytes of a link.
const TOKEN_BYTES: usize = 32;

/// A link, for its owner.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Share {
    id: ShareId,
    /// What opens it: the last part of `/api/shared/{token}`.
    token: String,
    /// The conversation's title when the link was made, which is the one that is shown.
    title: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// All links to a conversation.
#[derive(Serialize, ToSchema)]
pub(crate) struct Shares {
    shares: Vec<Share>,
}

/// What a link shows: a page of messages, the newest page first, oldest of them first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SharedConversation {
    title: String,
    /// When the link was made.
    #[schema(value_type = String, format = DateTime)]
    shared_at: Timestamp,
    messages: Vec<SharedMessage>,
    /// To be given as `cursor` for the page of older messages; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Something that was said, without any id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SharedMessage {
    /// `user` or `assistant`.
    role: String,
    content: String,
    /// Texts that came with a question.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment>,
    /// Of answers: who gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// `GET /api/conversations/{id}/shares`
#[utoipa::path(
    get, path = "/api/conversations/{id}/shares", tag = "conversations", operation_id = "listShares",
    summary = "The links to a conversation",
    params(("id" = String, Path, description = "The conversation")),
    responses(
        (status = 200, description = "The links, the oldest first", body = Shares),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Shares>, Problem> {
    let id = parse_id(&id)?;
    app.conversations.find(caller.user, id).await?.ok_or_else(no_conversation)?;
    let rows = app.conversations.shares(id).await?;
    Ok(Json(Shares { shares: rows.into_iter().map(Share::from).collect() }))
}

/// `POST /api/conversations/{id}/shares`
#[utoipa::path(
    post, path = "/api/conversations/{id}/shares", tag = "conversations", operation_id = "createShare",
    summary = "Makes a link by which anybody reads the branch that is shown, up to its last message at this moment",
    params(("id" = String, Path, description = "The conversation")),
    responses(
        (status = 201, description = "Made", body = Share),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
        (status = 409, description = "Nothing was said yet, or there are as many links as there may be", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Share>), Problem> {
    let id = parse_id(&id)?;
    let found = app.conversations.find(caller.user, id).await?.ok_or_else(no_conversation)?;
    let leaf = app.conversations.leaf(&found).await?;
    let leaf = leaf.ok_or_else(|| Problem::conflict("Nothing was said in this conversation yet."))?;
    let token = token();
    let row = share::Model {
        id: clock::new_id(),
        conversation_id: id.0,
        hash: hash(&token),
        token,
        title: found.title,
        leaf,
        created_at: now_ms(),
    };
    if !app.conversations.share(row.clone()).await? {
        let says = format!("There are {MAX_SHARES} links to this conversation already; revoke one that is not needed.");
        return Err(Problem::conflict(says));
    }
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// `DELETE /api/conversations/{id}/shares/{share}`
#[utoipa::path(
    delete, path = "/api/conversations/{id}/shares/{share}", tag = "conversations", operation_id = "revokeShare",
    summary = "Revokes a link: it opens nothing any more",
    params(("id" = String, Path, description = "The conversation"), ("share" = String, Path, description = "The link's id")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation or link", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, share)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = parse_id(&id)?;
    app.conversations.find(caller.user, id).await?.ok_or_else(no_conversation)?;
    let share = Uuid::parse_str(&share).map_err(|_| Problem::not_found("link"))?;
    let revoked = app.conversations.unshare(id, share).await?;
    if revoked { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("link")) }
}

/// `GET /api/shared/{token}`
#[utoipa::path(
    get, path = "/api/shared/{token}", tag = "conversations", operation_id = "readShared",
    summary = "What a link shows, to anybody",
    params(("token" = String, Path, description = "The link's token"), PageQuery),
    responses(
        (status = 200, description = "The conversation up to the message that was shared", body = SharedConversation),
        (status = 404, description = "No such link, or it was revoked", body = kit::ProblemBody),
        (status = 422, description = "Cursor or limit are not valid", body = kit::ProblemBody),
        (status = 429, description = "Too many requests from this address; see Retry-After", body = kit::ProblemBody),
    ),
)]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(token): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<(HeaderMap, Json<SharedConversation>), Problem> {
    app.visitors.admit(&headers).await?;
    let limit = query.limit()?;
    let store = &app.conversations;
    let share = store.shared(&token).await?.ok_or_else(|| Problem::not_found("link"))?;
    let id = ConversationId(share.conversation_id);
    // The cursor counts messages from the end, so that no id is told.
    let skip = match query.cursor.as_deref() {
        None => 0,
        Some(text) => {
            let skip = text.parse::<u64>().ok().filter(|skip| *skip < MAX_PATH);
            skip.ok_or_else(|| invalid("cursor", "must be the nextCursor of a page".into()))?
        }
    };
    let rows = store.path_beyond(id, share.leaf, skip, limit + 1).await?;
    let (mut rows, more) = page(rows, limit);
    rows.reverse();
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut attachments = store.attachments(&ids).await?;
    let messages = rows.into_iter().map(|row| SharedMessage {
        attachments: attachments.remove(&row.id).unwrap_or_default(),
        role: row.role,
        content: row.content,
        model: row.model,
        created_at: timestamp(row.created_at),
    });
    let shared = SharedConversation {
        title: share.title,
        shared_at: timestamp(share.created_at),
        messages: messages.collect(),
        next_cursor: more.then(|| (skip + limit).to_string()),
    };
    let headers = [
        (header::HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow")),
        // A link that is revoked shows nothing, from a cache neither.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers.into_iter().collect(), Json(shared)))
}

impl Store {
    /// The links to a conversation, the oldest first. The caller has checked the owner.
    async fn shares(&self, id: ConversationId) -> Result<Vec<share::Model>, DbErr> {
        let shares = share::Entity::find().filter(share::Column::ConversationId.eq(id.0));
        shares.order_by_asc(share::Column::Id).limit(2 * MAX_SHARES).all(&*self.db).await
    }

    /// Stores a link; false if there are [`MAX_SHARES`] already. Calls at the very same moment may get a few more through on
    /// PostgreSQL: the limit is against carelessness.
    async fn share(&self, row: share::Model) -> Result<bool, DbErr> {
        let transaction = self.db.begin_write().await?;
        let there = share::Entity::find().filter(share::Column::ConversationId.eq(row.conversation_id));
        if there.count(&*transaction).await? >= MAX_SHARES {
            return Ok(false);
        }
        let row: share::ActiveModel = row.into();
        share::Entity::insert(row.reset_all()).exec_without_returning(&*transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn unshare(&self, id: ConversationId, share: Uuid) -> Result<bool, DbErr> {
        let deleted = share::Entity::delete_many()
            .filter(share::Column::Id.eq(share))
            .filter(share::Column::ConversationId.eq(id.0))
            .exec(&*self.db)
            .await?;
        Ok(deleted.rows_affected == 1)
    }

    async fn shared(&self, token: &str) -> Result<Option<share::Model>, DbErr> {
        share::Entity::find().filter(share::Column::Hash.eq(hash(token))).one(&*self.db).await
    }
}

/// A new link.
fn token() -> String {
    let mut random = [0; TOKEN_BYTES];
    rand::fill(&mut random);
    hex::encode(random)
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

impl From<share::Model> for Share {
    fn from(row: share::Model) -> Self {
        Self { id: ShareId(row.id), token: row.token, title: row.title, created_at: timestamp(row.created_at) }
    }
}
