//! What is known of who asks, and passed on where who asks counts: mana-core-auth counts failed sign-ins by address, chat-backend readers of what is shared,
//! and lists the browsers a person is signed in on.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use reqwest::RequestBuilder;

const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Address and browser, as the edge and the browser said.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// As the edge found it. This service listens on loopback only.
    address: Option<HeaderValue>,
    browser: Option<HeaderValue>,
}

impl Visitor {
    /// Adds it to a call.
    pub(crate) fn pass_on(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(address) = &self.address {
            request = request.header(REAL_IP, address);
        }
        if let Some(browser) = &self.browser {
            request = request.header(header::USER_AGENT, browser);
        }
        request
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = |name: HeaderName| parts.headers.get(name).cloned();
        Ok(Self { address: header(REAL_IP), browser: header(header::USER_AGENT) })
    }
}
