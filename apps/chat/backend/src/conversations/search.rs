//! `GET /api/search`: conversations by their title and by what was said in them. One's own only.
//!
//! Words are runs of letters and digits, in any case; all must be there, the last may be the beginning of one. SQLite answers
//! by FTS5, PostgreSQL by a GIN index over a tsvector (`migrations/0042_search`).

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use kit::{Json, Problem, Query};
use sea_orm::sea_query::{Expr, ExprTrait, Func, LikeExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Store;
use super::routes::{Conversation, invalid};
use crate::app::App;
use crate::caller::Caller;
use crate::entity::conversation;
use crate::ids::MessageId;
use crate::limits::{MAX_SEARCH_CHARS, MAX_SEARCH_WORDS};
use crate::time::timestamp;

/// Hits of one search when the caller does not say.
const HITS_DEFAULT: u64 = 20;

/// Hits of one search, at most: whoever needs more adds a word.
const HITS_MAX: u64 = 50;

/// Characters before and after the first word that was found.
const AROUND_CHARS: usize = 80;

const SQLITE: &str =
    "SELECT messages.id, messages.conversation_id, messages.role, messages.content, messages.created_at
    FROM messages_by_words
    JOIN messages ON messages.id = messages_by_words.message_id
    JOIN conversations ON conversations.id = messages.conversation_id
    WHERE messages_by_words MATCH $1 AND conversations.user_id = $2 ORDER BY messages.id DESC LIMIT $3";

/// The expression is the index's own.
const POSTGRES: &str = "SELECT messages.id, messages.conversation_id, messages.role, messages.content, messages.created_at
    FROM messages JOIN conversations ON conversations.id = messages.conversation_id
    WHERE to_tsvector('simple', regexp_replace(left(content, 100000), '[!-/:-@[-`{-~]+', ' ', 'g')) @@ to_tsquery('simple', $1)
    AND conversations.user_id = $2 ORDER BY messages.id DESC LIMIT $3";

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// Words, 1 to 200 characters.
    q: String,
    /// Hits, 1 to 50; 20 when absent.
    limit: Option<u64>,
}

/// A conversation in which the words are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hit {
    conversation: Conversation,
    /// The message they are in; absent where they are in the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageHit>,
}

/// A message in which the words are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageHit {
    id: MessageId,
    /// `user` or `assistant`.
    role: String,
    /// The text around the first of them.
    excerpt: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// What was found: titles first, then messages, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hits {
    hits: Vec<Hit>,
}

#[derive(FromQueryResult)]
struct Found {
    id: Uuid,
    conversation_id: Uuid,
    role: String,
    content: String,
    created_at: i64,
}

/// `GET /api/search`
#[utoipa::path(
    get, path = "/api/search", tag = "conversations", operation_id = "searchConversations",
    summary = "The caller's conversations in whose title or messages all the words are",
    params(SearchQuery),
    responses(
        (status = 200, description = "What was found", body = Hits),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 422, description = "No words, too many characters, or too many hits asked for", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<SearchQuery>,
) -> Result<Json<Hits>, Problem> {
    let limit = query.limit.unwrap_or(HITS_DEFAULT);
    if !(1..=HITS_MAX).contains(&limit) {
        return Err(invalid("limit", format!("must be 1 to {HITS_MAX}")));
    }
    if query.q.chars().count() > MAX_SEARCH_CHARS {
        return Err(invalid("q", format!("must have at most {MAX_SEARCH_CHARS} characters")));
    }
    let words = words(&query.q);
    if words.is_empty() {
        return Err(invalid("q", "must hold a word: letters or digits".into()));
    }
    let store = &app.conversations;
    let titled = store.titled(caller.user, &words, limit).await?;
    let mut hits: Vec<_> = titled.into_iter().map(|row| Hit { conversation: row.into(), message: None }).collect();
    let left = limit.saturating_sub(hits.len() as u64);
    for (row, found) in store.said(caller.user, &words, left).await? {
        let message = MessageHit {
            id: MessageId(found.id),
            role: found.role,
            excerpt: excerpt(&found.content, &words),
            created_at: timestamp(found.created_at),
        };
        hits.push(Hit { conversation: row.into(), message: Some(message) });
    }
    Ok(Json(Hits { hits }))
}

impl Store {
    /// Conversations with all the words in their title, the one changed last first.
    async fn titled(&self, owner: Uuid, words: &[String], limit: u64) -> Result<Vec<conversation::Model>, DbErr> {
        use conversation::Column;
        let mut query = conversation::Entity::find().filter(Column::UserId.eq(owner));
        for word in words {
            // A word holds neither of the wildcards.
            let title = Expr::expr(Func::lower(Expr::col(Column::Title)));
            query = query.filter(title.like(LikeExpr::new(format!("%{word}%"))));
        }
        query.order_by_desc(Column::UpdatedAt).order_by_desc(Column::Id).limit(limit).all(&*self.db).await
    }

    /// Messages with all the words, the newest first, each with its conversation.
    async fn said(
        &self,
        owner: Uuid,
        words: &[String],
        limit: u64,
    ) -> Result<Vec<(conversation::Model, Found)>, DbErr> {
        let (engine, limit) = (self.db.engine(), i64::try_from(limit).unwrap_or(i64::MAX));
        let (sql, query) = match engine {
            DbBackend::Sqlite => (SQLITE, fts5(words)),
            _ => (POSTGRES, tsquery(words)),
        };
        let statement = Statement::from_sql_and_values(engine, sql, [query.into(), owner.into(), limit.into()]);
        let rows = self.db.query_all_raw(statement).await?;
        let found = rows.iter().map(|row| Found::from_query_result(row, "")).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<_> = found.iter().map(|it| it.conversation_id).collect();
        let mine = conversation::Entity::find().filter(conversation::Column::UserId.eq(owner));
        let rows = mine.filter(conversation::Column::Id.is_in(ids)).all(&*self.db).await?;
        // One that was deleted in between is left out.
        let with_its = |it: Found| Some((rows.iter().find(|row| row.id == it.conversation_id)?.clone(), it));
        Ok(found.into_iter().filter_map(with_its).collect())
    }
}

/// The words of a search, in small letters.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(MAX_SEARCH_WORDS).map(str::to_lowercase).collect()
}

/// Words hold letters and digits alone, so that none is read as an operator within its quotes.
fn fts5(words: &[String]) -> String {
    let mut query = String::new();
    for word in words {
        let _ = write!(query, "\"{word}\" ");
    }
    format!("{}*", query.trim_end())
}

fn tsquery(words: &[String]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    format!("{}:*", quoted.join(" & "))
}

/// The text around the first word that is found as it was typed, on one line.
fn excerpt(content: &str, words: &[String]) -> String {
    let chars: Vec<char> = content.chars().collect();
    let small: Vec<char> = chars.iter().map(|c| c.to_lowercase().next().unwrap_or(*c)).collect();
    let at = words.iter().filter_map(|word| {
        let word: Vec<char> = word.chars().collect();
        small.windows(word.len()).position(|window| window == word)
    });
    let at = at.min().unwrap_or(0);
    let (from, to) = (at.saturating_sub(AROUND_CHARS), (at + AROUND_CHARS).min(chars.len()));
    let text: String = chars[from..to].iter().collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}{text}{}", if from > 0 { "…" } else { "" }, if to < chars.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_typed_becomes_words_and_never_an_operator() {
        for (text, sqlite, postgres) in [
            ("Heat", "\"heat\"*", "'heat':*"),
            ("heat  pump", "\"heat\" \"pump\"*", "'heat' & 'pump':*"),
            ("a OR \"b\" NEAR(c) *", "\"a\" \"or\" \"b\" \"near\" \"c\"*", "'a' & 'or' & 'b' & 'near' & 'c':*"),
            ("x' & !y:*", "\"x\" \"y\"*", "'x' & 'y':*"),
            ("Grüße", "\"grüße\"*", "'grüße':*"),
        ] {
            let words = words(text);
            assert_eq!((fts5(&words).as_str(), tsquery(&words).as_str()), (sqlite, postgres), "{text}");
        }
        assert!(words("-- %_ \0").is_empty());
        assert_eq!(words(&"w ".repeat(100)).len(), MAX_SEARCH_WORDS);
    }

    #[test]
    fn an_excerpt_stands_around_the_word() {
        let long = format!("{}NEEDLE{}", "a ".repeat(200), " b".repeat(200));
        let text = excerpt(&long, &["needle".into()]);
        assert!(text.starts_with('…') && text.ends_with('…') && text.contains("NEEDLE"), "{text}");
        assert_eq!(excerpt("short\n text", &["absent".into()]), "short text");
    }
}
