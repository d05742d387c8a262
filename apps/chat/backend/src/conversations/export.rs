//! Taking conversations away: `GET /api/conversations/{id}/export` and `GET /api/export`, as Markdown or JSON.
//!
//! JSON holds everything: all branches, ids, times, attachments. Markdown is for reading: the branch that is shown. Both are read
//! from the database page by page while the client reads, so that an export of any size takes little memory; an error on the way
//! breaks the connection, so that what is cut short is never taken for whole.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kit::{Problem, Query};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Store;
use super::messages::Message;
use super::routes::{Conversation, no_conversation, parse_id};
use crate::app::App;
use crate::caller::Caller;
use crate::entity::{conversation, message};
use crate::ids::ConversationId;
use crate::lifecycle::chain;
use crate::limits::{EXPORT_IN_FLIGHT, EXPORT_PAGE, EXPORT_STALL};
use crate::time::{now_ms, timestamp};

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For reading.
    #[default]
    Markdown,
    /// Everything.
    Json,
}

/// In which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FormatQuery {
    /// `markdown` (when absent) or `json`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// `GET /api/conversations/{id}/export`
#[utoipa::path(
    get, path = "/api/conversations/{id}/export", tag = "conversations", operation_id = "exportConversation",
    summary = "A conversation to take away",
    params(("id" = String, Path, description = "The conversation"), FormatQuery),
    responses(
        (status = 200, description = "As a file: the branch that is shown as Markdown, or all of it as JSON", content((String = "text/markdown"), (serde_json::Value = "application/json"))),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 404, description = "No such conversation", body = kit::ProblemBody),
        (status = 422, description = "No such format", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<FormatQuery>,
) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let found = app.conversations.find(caller.user, id).await?.ok_or_else(no_conversation)?;
    Ok(stream(&app, query.format, Source::One(Box::new(found))))
}

/// `GET /api/export`
#[utoipa::path(
    get, path = "/api/export", tag = "conversations", operation_id = "exportConversations",
    summary = "All of the caller's conversations to take away, those made through `/v1` included",
    params(FormatQuery),
    responses(
        (status = 200, description = "As a file", content((String = "text/markdown"), (serde_json::Value = "application/json"))),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 422, description = "No such format", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn all(State(app): State<Arc<App>>, caller: Caller, Query(query): Query<FormatQuery>) -> Response {
    stream(&app, query.format, Source::AllOf(caller.user))
}

/// What is exported.
enum Source {
    One(Box<conversation::Model>),
    AllOf(Uuid),
}

/// Why an export ended early.
enum Cut {
    /// Nobody reads it any more.
    Gone,
    /// The database failed.
    Failed(DbErr),
}

impl From<DbErr> for Cut {
    fn from(error: DbErr) -> Self {
        Self::Failed(error)
    }
}

/// The way to the client.
struct Writer {
    format: Format,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    /// Whether something stands before, in a JSON list.
    conversations: bool,
    messages: bool,
}

/// A conversation without its messages, in JSON.
#[derive(Serialize)]
struct Head {
    #[serde(flatten)]
    conversation: Conversation,
    /// `app` or `api`.
    origin: String,
    /// The end of the branch that is shown.
    #[serde(rename = "activeMessageId", skip_serializing_if = "Option::is_none")]
    leaf: Option<Uuid>,
}

fn stream(app: &Arc<App>, format: Format, source: Source) -> Response {
    let (sender, receiver) = mpsc::channel(EXPORT_IN_FLIGHT);
    let (store, cut) = (app.conversations.clone(), app.cut.clone());
    app.tasks.spawn(async move {
        let mut writer = Writer { format, pieces: sender, conversations: false, messages: false };
        let written = tokio::select! {
            written = write(&store, &mut writer, source) => written,
            () = cut.cancelled() => Err(Cut::Failed(DbErr::Custom("the service stops".into()))),
        };
        if let Err(Cut::Failed(error)) = written {
            tracing::error!(error = %chain(&error), "an export broke off");
            let _ = timeout(EXPORT_STALL, writer.pieces.send(Err(io::Error::other("the export broke off")))).await;
        }
    });
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    let (kind, name) = match format {
        Format::Markdown => ("text/markdown; charset=utf-8", "attachment; filename=\"chat.md\""),
        Format::Json => ("application/json", "attachment; filename=\"chat.json\""),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static(name)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

async fn write(store: &Store, writer: &mut Writer, source: Source) -> Result<(), Cut> {
    if writer.format == Format::Json {
        let at = timestamp(now_ms());
        writer
            .send(format!("{{\"format\":\"mana-chat\",\"version\":1,\"exportedAt\":\"{at}\",\"conversations\":["))
            .await?;
    }
    match source {
        Source::One(row) => conversation(store, writer, *row).await?,
        Source::AllOf(owner) => {
            let mut after = None;
            loop {
                let rows = store.after(owner, after).await?;
                let Some(last) = rows.last().map(|row| row.id) else { break };
                after = Some(last);
                for row in rows {
                    conversation(store, writer, row).await?;
                }
            }
        }
    }
    if writer.format == Format::Json {
        writer.send("]}\n".to_owned()).await?;
    }
    Ok(())
}

async fn conversation(store: &Store, writer: &mut Writer, row: conversation::Model) -> Result<(), Cut> {
    let id = ConversationId(row.id);
    let leaf = store.leaf(&row).await?;
    writer.begin(row, leaf).await?;
    match writer.format {
        Format::Json => {
            let mut after = None;
            loop {
                let rows = store.messages_after(id, after).await?;
                let Some(last) = rows.last().map(|row| row.id) else { break };
                after = Some(last);
                messages(store, writer, rows).await?;
            }
        }
        Format::Markdown => {
            let ids = match leaf {
                Some(leaf) => store.path_ids(id, leaf).await?,
                None => Vec::new(),
            };
            for part in ids.chunks(usize::try_from(EXPORT_PAGE).unwrap_or(1)) {
                let mut rows = store.messages_of(id, part).await?;
                rows.sort_by_key(|row| part.iter().position(|id| *id == row.id));
                messages(store, writer, rows).await?;
            }
        }
    }
    writer.end().await
}

async fn messages(store: &Store, writer: &mut Writer, rows: Vec<message::Model>) -> Result<(), Cut> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut attachments = store.attachments(&ids).await?;
    for row in rows {
        let attachments = attachments.remove(&row.id).unwrap_or_default();
        writer.message(Message { attachments, ..row.into() }).await?;
    }
    Ok(())
}

impl Writer {
    async fn send(&self, piece: String) -> Result<(), Cut> {
        match timeout(EXPORT_STALL, self.pieces.send(Ok(piece.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Cut::Gone),
        }
    }

    async fn begin(&mut self, row: conversation::Model, leaf: Option<Uuid>) -> Result<(), Cut> {
        let piece = match self.format {
            Format::Markdown => {
                let before = if self.conversations { "\n---\n\n" } else { "" };
                format!("{before}# {}\n\n*{}*\n", row.title, timestamp(row.created_at))
            }
            Format::Json => {
                let comma = if self.conversations { "," } else { "" };
                let origin = row.origin.clone();
                let head = json(&Head { conversation: row.into(), origin, leaf });
                format!("{comma}{},\"messages\":[", head.trim_end_matches('}'))
            }
        };
        (self.conversations, self.messages) = (true, false);
        self.send(piece).await
    }

    async fn message(&mut self, message: Message) -> Result<(), Cut> {
        let piece = match self.format {
            Format::Markdown => markdown(&message),
            Format::Json => format!("{}{}", if self.messages { "," } else { "" }, json(&message)),
        };
        self.messages = true;
        self.send(piece).await
    }

    async fn end(&self) -> Result<(), Cut> {
        match self.format {
            Format::Markdown => Ok(()),
            Format::Json => self.send("]}".to_owned()).await,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, ids and times become JSON")
}

/// A message for reading. What a person wrote stands as it is; a file stands in a fence that is longer than any within it.
fn markdown(message: &Message) -> String {
    let who = match (message.role.as_str(), &message.model) {
        ("user", _) => "You".to_owned(),
        (_, Some(model)) => format!("Chat ({model})"),
        (_, None) => "Chat".to_owned(),
    };
    let mut text = format!("\n## {who}\n\n{}\n", message.content.trim_end());
    for attachment in &message.attachments {
        let longest = attachment.content.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        let content = attachment.content.trim_end_matches('\n');
        let _ = write!(text, "\nAttached: {}\n\n{fence}\n{content}\n{fence}\n", attachment.name);
    }
    text
}

impl Store {
    /// A page of a person's conversations of both origins, the oldest first.
    async fn after(&self, owner: Uuid, after: Option<Uuid>) -> Result<Vec<conversation::Model>, DbErr> {
        use conversation::Column;
        let mut mine = conversation::Entity::find().filter(Column::UserId.eq(owner));
        if let Some(after) = after {
            mine = mine.filter(Column::Id.gt(after));
        }
        mine.order_by_asc(Column::Id).limit(EXPORT_PAGE).all(&*self.db).await
    }

    /// A page of a conversation's messages of all branches, the oldest first.
    async fn messages_after(&self, id: ConversationId, after: Option<Uuid>) -> Result<Vec<message::Model>, DbErr> {
        use message::Column;
        let mut all = message::Entity::find().filter(Column::ConversationId.eq(id.0));
        if let Some(after) = after {
            all = all.filter(Column::Id.gt(after));
        }
        all.order_by_asc(Column::Id).limit(EXPORT_PAGE).all(&*self.db).await
    }

    async fn messages_of(&self, id: ConversationId, ids: &[Uuid]) -> Result<Vec<message::Model>, DbErr> {
        use message::Column;
        let these = message::Entity::find().filter(Column::ConversationId.eq(id.0));
        these.filter(Column::Id.is_in(ids.iter().copied())).all(&*self.db).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversations::Attachment;
    use crate::ids::MessageId;

    #[test]
    fn a_file_cannot_end_its_own_fence() {
        let attachments = vec![Attachment { name: "a.md".into(), content: "```\ncode\n```\n".into() }];
        let message = Message {
            id: MessageId(Uuid::nil()),
            parent_id: None,
            role: "user".into(),
            content: "Look".into(),
            attachments,
            versions: Vec::new(),
            model: None,
            finish: None,
            created_at: timestamp(0),
        };
        assert_eq!(markdown(&message), "\n## You\n\nLook\n\nAttached: a.md\n\n````\n```\ncode\n```\n````\n");
    }
}
