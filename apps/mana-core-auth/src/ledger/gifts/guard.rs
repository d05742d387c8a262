//! Bounds how often codes may be tried: by account and by address.
//!
//! Every try counts, whether it hits or not, and counts from its beginning: parallel ones are no way around it. Without the
//! counter nothing is redeemed: unlike signing in, this can wait, and the counter is all that stands before the codes.

use std::time::Duration;

use http::HeaderMap;
use kit::Problem;
use kit::visitors::client_network;
use uuid::Uuid;

use crate::app::App;

/// Over which time tries are counted.
const WINDOW: Duration = Duration::from_mins(15);

/// Tries of one account: enough for typing errors.
const BY_ACCOUNT: u64 = 10;

/// Tries from one address: an office or a class behind one.
const BY_ADDRESS: u64 = 50;

/// Lets a try pass, or refuses it.
pub(crate) async fn allow(app: &App, user: Uuid, headers: &HeaderMap) -> Result<(), Problem> {
    let by_account = (format!("gift-tries:{user}"), BY_ACCOUNT);
    let by_address = (format!("gift-tries-from:{}", client_network(headers)), BY_ADDRESS);
    for (key, most) in [by_account, by_address] {
        match app.counters.add_together(&key, WINDOW).await {
            Ok(count) if count > most => {
                metrics::counter!("gift_tries_throttled_total").increment(1);
                return Err(Problem::throttled(WINDOW.as_secs()));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "tries of gift codes cannot be counted, so none is redeemed");
                let detail = "Gift codes cannot be redeemed at the moment; try again shortly.";
                return Err(Problem::unavailable("cache_unavailable", detail));
            }
        }
    }
    Ok(())
}
