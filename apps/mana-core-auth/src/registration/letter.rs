//! The letter that answers a registration: how to go on, or, where the address has an account, that it has.

use kit::clock;
use sea_orm::DbErr;

use crate::accounts;
use crate::app::App;
use crate::entity::registration::{Entity, Model};
use crate::letters::{Kind, code, outgoing, post};
use crate::time;

/// Sends those that are due; how many those were.
pub(crate) async fn round(app: &App) -> Result<u64, DbErr> {
    let now = clock::now().as_millisecond();
    let due = outgoing::due::<Entity>(now, post::MAX_ATTEMPTS, post::AT_ONCE).all(&*app.database).await?;
    for asked in &due {
        send(app, asked).await?;
    }
    Ok(due.len() as u64)
}

async fn send(app: &App, asked: &Model) -> Result<(), DbErr> {
    let next = time::later(clock::now(), post::pause(asked.attempts));
    if !outgoing::take::<Entity>(&*app.database, asked.id, asked.attempts, next).await? {
        return Ok(());
    }
    let taken = accounts::store::by_email(&*app.database, &asked.email).await?.is_some();
    let kind = if taken { Kind::Taken } else { Kind::Register };
    let text = kind.text(&app.mail.app_url, &code(&app.secrets, Kind::Register, asked.id));
    if post::hand_over(app, asked.id, &asked.email, kind, text, asked.attempts).await {
        outgoing::sent::<Entity>(&*app.database, asked.id, clock::now().as_millisecond()).await?;
    }
    Ok(())
}
