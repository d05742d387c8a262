//! Deleting all that a person has here, for good: at their wish, or because their account is deleted.
//!
//! An answer under way must not bring back what was deleted. One that goes on in a conversation finds it gone; for one that
//! would make a conversation, the time of the deletion is kept, and whoever stores looks at it in the same transaction. On
//! PostgreSQL both take a lock for it: shared to store, exclusive to delete. On SQLite there is one writer anyway.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use kit::Problem;
use kit::auth::ServiceCaller;
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, Statement};
use uuid::Uuid;

use super::Store;
use crate::app::App;
use crate::caller::Caller;
use crate::entity::{api_key, conversation, preference};
use crate::time::now_ms;

const REMEMBER: &str = "INSERT INTO erasures (user_id, erased_at, account) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET erased_at = excluded.erased_at, account = erasures.account OR excluded.account";

const LOOK: &str = "SELECT 1 AS found FROM erasures WHERE user_id = $1 AND (account OR erased_at >= $2)";

/// What is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All conversations.
    Conversations,
    /// These, the person's keys and preferences; nothing is stored for this person ever again.
    Account,
}

/// Whether something that began at `begun` may still be stored for this person. Within the transaction that stores it.
pub(super) async fn admits(transaction: &impl ConnectionTrait, user: Uuid, begun: i64) -> Result<bool, DbErr> {
    lock(transaction, user, "pg_advisory_xact_lock_shared").await?;
    let engine = transaction.get_database_backend();
    let look = Statement::from_sql_and_values(engine, LOOK, [user.into(), begun.into()]);
    Ok(transaction.query_one_raw(look).await?.is_none())
}

async fn lock(transaction: &impl ConnectionTrait, user: Uuid, function: &str) -> Result<(), DbErr> {
    if transaction.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let (_, random) = user.as_u64_pair();
    let take = format!("SELECT {function}($1)");
    let take = Statement::from_sql_and_values(DbBackend::Postgres, take, [random.cast_signed().into()]);
    transaction.query_one_raw(take).await.map(drop)
}

impl Store {
    async fn erase(&self, user: Uuid, extent: Extent, now: i64) -> Result<(), DbErr> {
        let transaction = self.db.begin_write().await?;
        lock(&*transaction, user, "pg_advisory_xact_lock").await?;
        let account = extent == Extent::Account;
        let values = [user.into(), now.into(), account.into()];
        transaction.execute_raw(Statement::from_sql_and_values(self.db.engine(), REMEMBER, values)).await?;
        let mine = conversation::Column::UserId.eq(user);
        conversation::Entity::delete_many().filter(mine).exec(&*transaction).await?;
        if account {
            preference::Entity::delete_by_id(user).exec(&*transaction).await?;
            api_key::Entity::delete_many().filter(api_key::Column::UserId.eq(user)).exec(&*transaction).await?;
        }
        transaction.commit().await
    }
}

/// `DELETE /api/conversations`
#[utoipa::path(
    delete, path = "/api/conversations", tag = "conversations", operation_id = "deleteConversations",
    summary = "Deletes all of the caller's conversations, those made through `/v1` included, for good",
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn delete_all(State(app): State<Arc<App>>, caller: Caller) -> Result<StatusCode, Problem> {
    app.conversations.erase(caller.user, Extent::Conversations, now_ms()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/internal/users/{id}`
#[utoipa::path(
    delete, path = "/api/internal/users/{id}", tag = "internal", operation_id = "deleteUser",
    summary = "Deletes all that a person has here, for good, because their account is deleted",
    description = "For mana-core-auth. Asked again it does the same again; a person it does not know is a person without anything.",
    params(("id" = String, Path, description = "The person")),
    responses(
        (status = 204, description = "Nothing of theirs is here any more"),
        (status = 401, description = "Not a service", body = kit::ProblemBody),
        (status = 404, description = "Not an id", body = kit::ProblemBody),
    ),
    security(("serviceToken" = []))
)]
pub(crate) async fn delete_user(
    State(app): State<Arc<App>>,
    _: ServiceCaller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = Uuid::parse_str(&id).map_err(|_| Problem::not_found("user"))?;
    app.conversations.erase(id, Extent::Account, now_ms()).await?;
    app.balances.forget(id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The answer to someone whose account is deleted, and whose token is still good for some minutes.
pub(super) fn gone() -> Problem {
    Problem::unauthorized("This account was deleted.")
}
