//! What time alone resolves: sessions whose time is over go, and with them whose they were; stops that everybody has seen go, too. Several
//! instances may do it at once.

use kit::clock;
use sea_orm::DbErr;

use crate::app::{App, Shared};
use crate::limits::SWEEP_EVERY;

/// Does it for ever.
pub(crate) async fn run(app: Shared) {
    loop {
        if let Err(error) = round(&app).await {
            metrics::counter!("housekeeping_failures_total").increment(1);
            tracing::warn!(%error, "what is too old cannot be removed now; it is tried again");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn round(app: &App) -> Result<(), DbErr> {
    app.sessions.sweep(clock::now()).await?;
    app.stops.sweep(clock::now()).await
}
