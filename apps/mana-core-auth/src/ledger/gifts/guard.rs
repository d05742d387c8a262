//! Bounds how often codes may be tried: by account and by address.
//!
//! Every try counts, whether it hits or not, and counts from its beginning: parallel ones are no way around it. Without the
//! counter nothing is redeemed: unlike signing in, this can wait, and the counter is all that stands before the codes.

use http::HeaderMap;
use kit::Problem;
use kit::visitors::client_network;
use uuid::Uuid;

use crate::app::App;

/// Lets a try pass, or refuses it.
pub(crate) async fn allow(app: &App, user: Uuid, headers: &HeaderMap) -> Result<(), Problem> {
    let limits = &app.limits;
    let by_account = (format!("gift-tries:{user}"), limits.gift_tries);
    let by_address = (format!("gift-tries-from:{}", client_network(headers)), limits.gift_tries_per_address);
    for (key, most) in [by_account, by_address] {
        match app.counters.add_together(&key, limits.gift_window).await {
            Ok(count) if count > most => {
                metrics::counter!("gift_tries_throttled_total").increment(1);
                return Err(Problem::throttled(limits.gift_window.as_secs()));
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
