//! `/api/preferences`: what a person wants in every conversation, which is so far the instructions for the model.

use std::sync::Arc;

use axum::extract::State;
use kit::{FieldError, Json, Problem};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, DbErr, EntityTrait};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Store, erasure};
use crate::app::App;
use crate::caller::Caller;
use crate::entity::{conversation, preference};
use crate::limits::MAX_SYSTEM_PROMPT_CHARS;
use crate::time::now_ms;

/// What a person wants in every conversation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preferences {
    /// Instructions for the model where a conversation has none of its own; up to 8 000 characters, empty for none.
    system_prompt: String,
}

/// The instructions for a conversation: its own, else the person's; `None` where there are none.
pub(super) async fn system_prompt(
    store: &Store,
    user: Uuid,
    conversation: Option<&conversation::Model>,
) -> Result<Option<String>, DbErr> {
    let own = conversation.and_then(|row| row.system_prompt.clone());
    let prompt = match own {
        Some(own) => own,
        None => store.preferences(user).await?.map(|row| row.system_prompt).unwrap_or_default(),
    };
    Ok(Some(prompt).filter(|prompt| !prompt.is_empty()))
}

/// Instructions as they may be stored.
pub(super) fn checked(prompt: &str) -> Result<String, Problem> {
    let prompt = prompt.trim();
    if prompt.chars().count() > MAX_SYSTEM_PROMPT_CHARS || prompt.contains('\0') {
        let says = format!("must have at most {MAX_SYSTEM_PROMPT_CHARS} characters, without U+0000");
        return Err(Problem::invalid(vec![FieldError::new("systemPrompt", says)]));
    }
    Ok(prompt.to_owned())
}

impl Store {
    async fn preferences(&self, user: Uuid) -> Result<Option<preference::Model>, DbErr> {
        preference::Entity::find_by_id(user).one(&*self.db).await
    }

    /// Stores them; false if the account is gone.
    async fn prefer(&self, user: Uuid, system_prompt: String, now: i64) -> Result<bool, DbErr> {
        let transaction = self.db.begin_write().await?;
        if !erasure::admits(&*transaction, user, now).await? {
            return Ok(false);
        }
        let row =
            preference::ActiveModel { user_id: Set(user), system_prompt: Set(system_prompt), updated_at: Set(now) };
        let changed = [preference::Column::SystemPrompt, preference::Column::UpdatedAt];
        let again = OnConflict::column(preference::Column::UserId).update_columns(changed).to_owned();
        preference::Entity::insert(row).on_conflict(again).exec_without_returning(&*transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// `GET /api/preferences`
#[utoipa::path(
    get, path = "/api/preferences", tag = "conversations", operation_id = "readPreferences",
    summary = "What the caller wants in every conversation",
    responses(
        (status = 200, description = "The preferences", body = Preferences),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn read(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Preferences>, Problem> {
    let found = app.conversations.preferences(caller.user).await?;
    Ok(Json(Preferences { system_prompt: found.map(|row| row.system_prompt).unwrap_or_default() }))
}

/// `PUT /api/preferences`
#[utoipa::path(
    put, path = "/api/preferences", tag = "conversations", operation_id = "changePreferences",
    summary = "Changes what the caller wants in every conversation",
    request_body = Preferences,
    responses(
        (status = 200, description = "As they are now", body = Preferences),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
        (status = 422, description = "Too long", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<Preferences>,
) -> Result<Json<Preferences>, Problem> {
    let system_prompt = checked(&body.system_prompt)?;
    if !app.conversations.prefer(caller.user, system_prompt.clone(), now_ms()).await? {
        return Err(erasure::gone());
    }
    Ok(Json(Preferences { system_prompt }))
}
