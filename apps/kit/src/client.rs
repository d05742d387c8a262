//! Calls to other services and to the outside: bounded in time, and part of the request they are made for.

use std::time::Duration;

use reqwest::{Client, RequestBuilder};

use crate::context;

/// Longest time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time for a whole call, its answer's body included.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections kept open to one address while unused.
const MAX_IDLE: usize = 32;

/// A client for calls between services.
pub fn internal() -> Client {
    builder().timeout(TOTAL_TIMEOUT).build().expect("the client's settings are constants")
}

/// A client without a bound on the whole call, for answers that stream; the caller bounds the waits in between.
pub fn streaming() -> Client {
    builder().build().expect("the client's settings are constants")
}

fn builder() -> reqwest::ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
}

/// Makes a call part of the request that is being answered: its id and trace go along.
pub trait InContext {
    /// Adds them.
    #[must_use]
    fn in_context(self) -> Self;
}

impl InContext for RequestBuilder {
    fn in_context(self) -> Self {
        let Some(context) = context::current() else { return self };
        let with_id = self.header(context::REQUEST_ID, context.request_id);
        match context.traceparent {
            Some(trace) => with_id.header(context::TRACEPARENT, trace),
            None => with_id,
        }
    }
}
