//! Sends the letters that are due, and tries again where that fails.

use std::sync::Arc;
use std::time::Duration;

use kit::clock;
use sea_orm::DbErr;

use super::{Kind, code, store};
use crate::app::App;
use crate::entity::letter::Model;
use crate::time;

/// How often it looks by itself; a new letter of this instance is sent at once.
const EVERY: Duration = Duration::from_secs(5);

/// Letters of one look.
const AT_ONCE: u64 = 20;

/// Tries of one letter; with the pauses in between they take longer than a code counts.
const MAX_ATTEMPTS: i64 = 10;

/// The pause after the first try, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// Sends for ever.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        match round(&app).await {
            // There may be more.
            Ok(found) if found >= AT_ONCE => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "letters cannot be looked at now; it is tried again"),
        }
        // A wait that ends early or late is the same look again.
        drop(tokio::time::timeout(EVERY, app.letter_written.notified()).await);
    }
}

async fn round(app: &App) -> Result<u64, DbErr> {
    let due = store::due(&*app.database, clock::now().as_millisecond(), MAX_ATTEMPTS, AT_ONCE).await?;
    for letter in &due {
        send(app, letter).await?;
    }
    Ok(due.len() as u64)
}

async fn send(app: &App, letter: &Model) -> Result<(), DbErr> {
    let now = clock::now();
    let pause = FIRST_PAUSE * 2_u32.saturating_pow(u32::try_from(letter.attempts).unwrap_or(0));
    if !store::take(&*app.database, letter, time::later(now, pause)).await? {
        return Ok(());
    }
    let Some(kind) = Kind::parse(&letter.kind) else { return Ok(()) };
    let text = kind.text(&app.mail.app_url, &code(&app.secrets, kind, letter.id));
    match app.mail.send(letter.id, &letter.email, kind.subject(), text).await {
        Ok(()) => {
            metrics::counter!("letters_sent_total", "kind" => kind.as_str()).increment(1);
            store::sent(&*app.database, letter.id, clock::now().as_millisecond()).await
        }
        Err(why) => {
            metrics::counter!("letters_failed_total", "kind" => kind.as_str()).increment(1);
            tracing::warn!(letter = %letter.id, attempt = letter.attempts + 1, why, "a letter could not be sent");
            Ok(())
        }
    }
}
