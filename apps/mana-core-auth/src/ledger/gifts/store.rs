//! Gift codes in the database. Redeeming is a call to the ledger ([`super::super::calls::Call::Redeem`]).

use kit::database::{Database, is_unique_violation};
use kit::{Credits, clock};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::Code;
use crate::entity::gift_code::{ActiveModel, Column, Entity, Model};
use crate::ledger::{Funds, Now};

/// How often a code that is taken already is made anew: with a million codes each try succeeds at 99.9 %.
const TRIES: usize = 5;

/// What a new code is to be.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) amount: Credits,
    pub(crate) funds: Funds,
    pub(crate) uses: u32,
    pub(crate) expires_at: Option<i64>,
    pub(crate) reason: String,
    pub(crate) made_by: String,
}

/// Makes a code.
pub(crate) async fn make(database: &Database, new: &New, now: Now) -> Result<Model, DbErr> {
    let mut tried = 0;
    loop {
        let model = Model {
            id: clock::new_id(),
            code: Code::random().to_string(),
            amount: new.amount.units(),
            funds: new.funds.as_str().to_owned(),
            uses: new.uses.into(),
            used: 0,
            expires_at: new.expires_at,
            reason: new.reason.clone(),
            made_by: new.made_by.clone(),
            created_at: now.as_millisecond(),
            withdrawn_at: None,
        };
        tried += 1;
        let transaction = database.begin_write().await?;
        match Entity::insert(row(&model)).exec_without_returning(&*transaction).await {
            Ok(_) => {
                transaction.commit().await?;
                return Ok(model);
            }
            Err(error) if is_unique_violation(&error) && tried < TRIES => transaction.rollback().await?,
            Err(error) => return Err(error),
        }
    }
}

fn row(model: &Model) -> ActiveModel {
    ActiveModel {
        id: Set(model.id),
        code: Set(model.code.clone()),
        amount: Set(model.amount),
        funds: Set(model.funds.clone()),
        uses: Set(model.uses),
        used: Set(model.used),
        expires_at: Set(model.expires_at),
        reason: Set(model.reason.clone()),
        made_by: Set(model.made_by.clone()),
        created_at: Set(model.created_at),
        withdrawn_at: Set(model.withdrawn_at),
    }
}

/// Codes, the newest first, those before `before`.
pub(crate) async fn list(database: &Database, before: Option<Uuid>, limit: u64) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find();
    if let Some(before) = before {
        query = query.filter(Column::Id.lt(before));
    }
    query.order_by_desc(Column::Id).limit(limit).all(&**database).await
}

/// Takes a code out of use; whether there is such a code. What was redeemed stays.
pub(crate) async fn withdraw(database: &Database, id: Uuid, now: Now) -> Result<bool, DbErr> {
    let transaction = database.begin_write().await?;
    let update = Entity::update_many()
        .col_expr(Column::WithdrawnAt, Expr::value(now.as_millisecond()))
        .filter(Column::Id.eq(id))
        .filter(Column::WithdrawnAt.is_null());
    update.exec(&*transaction).await?;
    let found = Entity::find_by_id(id).one(&*transaction).await?.is_some();
    transaction.commit().await?;
    Ok(found)
}
