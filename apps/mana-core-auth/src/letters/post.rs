//! Sends the letters that are due, and tries again where that fails.

use std::sync::Arc;
use std::time::Duration;

use kit::clock;
use sea_orm::DbErr;
use uuid::Uuid;

use super::{Kind, code, outgoing, store};
use crate::app::App;
use crate::entity::letter::{Entity, Model};
use crate::{registration, time};

/// How often it looks by itself; a new letter of this instance is sent at once.
const EVERY: Duration = Duration::from_secs(5);

/// Letters of one look.
pub(crate) const AT_ONCE: u64 = 20;

/// Tries of one letter; with the pauses in between they take longer than a code counts.
pub(crate) const MAX_ATTEMPTS: i64 = 10;

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
    let registrations = registration::letter::round(app).await?;
    Ok(registrations.max(due.len() as u64))
}

/// How long after the last of so many tries the next one is made.
pub(crate) fn pause(attempts: i64) -> Duration {
    FIRST_PAUSE * 2_u32.saturating_pow(u32::try_from(attempts).unwrap_or(0))
}

/// Gives a letter to the mail server; whether it was taken. `attempts` were made before.
pub(crate) async fn hand_over(app: &App, id: Uuid, to: &str, kind: Kind, text: String, attempts: i64) -> bool {
    match app.mail.send(id, to, kind.subject(), text).await {
        Ok(()) => {
            metrics::counter!("letters_sent_total", "kind" => kind.as_str()).increment(1);
            true
        }
        Err(why) => {
            metrics::counter!("letters_failed_total", "kind" => kind.as_str()).increment(1);
            tracing::warn!(letter = %id, attempt = attempts + 1, why, "a letter could not be sent");
            false
        }
    }
}

async fn send(app: &App, letter: &Model) -> Result<(), DbErr> {
    let next = time::later(clock::now(), pause(letter.attempts));
    if !outgoing::take::<Entity>(&*app.database, letter.id, letter.attempts, next).await? {
        return Ok(());
    }
    let Some(kind) = Kind::parse(&letter.kind) else { return Ok(()) };
    let text = kind.text(&app.mail.app_url, &code(&app.secrets, kind, letter.id));
    if hand_over(app, letter.id, &letter.email, kind, text, letter.attempts).await {
        outgoing::sent::<Entity>(&*app.database, letter.id, clock::now().as_millisecond()).await?;
    }
    Ok(())
}
