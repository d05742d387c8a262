//! Tells other services that somebody's account was deleted, so that they forget what they keep of them: `DELETE URL/ID` with the service token, at each address of `FORGET_URLS`.
//!
//! What is to be told is a row in the transaction that deletes the account, and stays until the service has answered that it is done: however long it is away.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::auth::SERVICE_TOKEN_HEADER;
use kit::clock;
use kit::config::{Env, Error};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use uuid::Uuid;

use crate::app::App;
use crate::entity::farewell::{ActiveModel, Column, Entity, Model};
use crate::time;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);

/// Of one look.
const AT_ONCE: u64 = 20;

/// The pause after the first try, doubled with each further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Who is told, and with what.
#[derive(Clone)]
pub(crate) struct Told {
    urls: Vec<Url>,
    token: SecretString,
    http: reqwest::Client,
}

impl Told {
    pub(crate) fn read(env: &Env) -> Result<Self, Error> {
        let text = env.optional("FORGET_URLS").unwrap_or_default();
        let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(|url| {
            let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            parsed.ok_or_else(|| Error::Invalid {
                name: "FORGET_URLS".into(),
                value: url.into(),
                allowed: "addresses such as http://127.0.0.1:3002/api/internal/users, separated by commas".into(),
            })
        });
        let token = env.secret("SERVICE_TOKEN", "the token that services show each other")?;
        Ok(Self { urls: urls.collect::<Result<_, _>>()?, token, http: kit::client::internal() })
    }

    /// Writes down that all of them are to forget somebody.
    pub(crate) async fn write(
        &self,
        connection: &impl ConnectionTrait,
        user: Uuid,
        now: Timestamp,
    ) -> Result<(), DbErr> {
        let rows = self.urls.iter().map(|url| ActiveModel {
            user_id: Set(user),
            url: Set(url.as_str().trim_end_matches('/').to_owned()),
            attempts: Set(0),
            next_try_at: Set(now.as_millisecond()),
        });
        if self.urls.is_empty() {
            return Ok(());
        }
        Entity::insert_many(rows).exec_without_returning(connection).await.map(|_| ())
    }
}

/// Tells them, for ever.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = round(&app).await {
            tracing::warn!(%error, "who is still to forget a deleted account cannot be read now; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn round(app: &App) -> Result<(), DbErr> {
    let due = Entity::find()
        .filter(Column::NextTryAt.lte(clock::now().as_millisecond()))
        .order_by_asc(Column::NextTryAt)
        .limit(AT_ONCE)
        .all(&*app.database)
        .await?;
    for farewell in due {
        say(app, &farewell).await?;
    }
    Ok(())
}

async fn say(app: &App, farewell: &Model) -> Result<(), DbErr> {
    let this = || Condition::all().add(Column::UserId.eq(farewell.user_id)).add(Column::Url.eq(farewell.url.as_str()));
    let doublings = u32::try_from(farewell.attempts).unwrap_or(u32::MAX).min(16);
    let pause = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    let take = Entity::update_many()
        .col_expr(Column::Attempts, Expr::value(farewell.attempts + 1))
        .col_expr(Column::NextTryAt, Expr::value(time::later(clock::now(), pause)))
        .filter(this())
        .filter(Column::Attempts.eq(farewell.attempts));
    if take.exec(&*app.database).await?.rows_affected == 0 {
        // Another instance was faster.
        return Ok(());
    }
    let call = app.told.http.delete(format!("{}/{}", farewell.url, farewell.user_id));
    let answer = call.header(SERVICE_TOKEN_HEADER, app.told.token.expose_secret()).send().await;
    let why = match answer {
        Ok(answer) if answer.status().is_success() => {
            Entity::delete_many().filter(this()).exec(&*app.database).await?;
            return Ok(());
        }
        Ok(answer) => format!("it answers {}", answer.status()),
        Err(error) => {
            if error.is_timeout() {
                "no answer in time".to_owned()
            } else {
                error.without_url().to_string()
            }
        }
    };
    metrics::counter!("farewells_failed_total").increment(1);
    tracing::warn!(
        url = farewell.url,
        attempt = farewell.attempts + 1,
        why,
        "a service has not forgotten a deleted account yet"
    );
    Ok(())
}
