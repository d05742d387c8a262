//! Bounds guessing and asking.
//!
//! Passwords and codes ([`Attempt`]): failures are counted for an account together with the client's address, so that a
//! stranger cannot lock someone out; and, more widely, for the account from all addresses that never signed in to it, so that
//! many addresses help no one. From an address that did, its owner always gets in; and from one where they have chosen another
//! password by a letter ([`vouch`]), so that strangers who never stop lock nobody out for good. An attempt counts as failed from
//! its beginning, so parallel guesses are no way around it.
//!
//! Requests ([`limit_requests`], [`limit_readings`]): of one client address on everything that needs no token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use kit::Problem;
use kit::visitors::{Visitors, client_network};
use sha2::{Digest, Sha256};

use crate::app::App;

/// How long an address stays known to an account after a sign-in.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);

/// One attempt to show that one is somebody.
pub(crate) struct Attempt {
    pair: String,
    known: String,
}

impl Attempt {
    fn of(account: &str, headers: &HeaderMap) -> Self {
        let address = client_network(headers);
        let pair = digest(&format!("{account}\n{address}"));
        Self { pair: format!("login-failures:{pair}"), known: format!("login-known:{pair}") }
    }

    /// Counts it, or refuses it where there were too many. `account` is whatever names it: the address, or its id.
    pub(crate) async fn begin(app: &App, account: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let limits = &app.limits;
        let it = Self::of(account, headers);
        let mut refused = app.counters.add(&it.pair, limits.login_window).await > limits.login_failures;
        if !refused && !app.counters.is_marked(&it.known).await {
            let all = format!("login-failures-of:{}", digest(account));
            refused = app.counters.add(&all, limits.login_window).await > limits.login_failures_per_account;
        }
        if refused {
            metrics::counter!("logins_throttled_total").increment(1);
            return Err(Problem::throttled(limits.login_window.as_secs()));
        }
        Ok(it)
    }

    /// Forgets the failures from here, and remembers that this address is a good one.
    pub(crate) async fn succeeded(self, app: &App) {
        app.counters.forget(&self.pair, app.limits.login_window).await;
        app.counters.mark(&self.known, KNOWN_FOR).await;
    }
}

/// Remembers that the client's address is a good one for an account whose owner has shown there that they are it, otherwise than by a try.
pub(crate) async fn vouch(app: &App, account: &str, headers: &HeaderMap) {
    Attempt::of(account, headers).succeeded(app).await;
}

/// Around what can be called without a token: bounds the requests of one client address.
pub(crate) async fn limit_requests(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    admitted(&app.visitors, request, next).await
}

/// Around what is published: keys and metadata.
pub(crate) async fn limit_readings(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    admitted(&app.readers, request, next).await
}

async fn admitted(visitors: &Visitors, request: Request, next: Next) -> Response {
    match visitors.admit(request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}
