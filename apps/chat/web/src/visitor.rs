//! What is known of who asks, and passed on where an account is at stake: mana-core-auth counts failed sign-ins by address
//! and lists the browsers a person is signed in on.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use reqwest::RequestBuilder;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Address and browser, as the edge and the browser said.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The last address of the list: the one the edge saw itself. This service listens on loopback only.
    address: Option<HeaderValue>,
    browser: Option<HeaderValue>,
}

impl Visitor {
    /// Adds it to a call.
    pub(crate) fn pass_on(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(address) = &self.address {
            request = request.header(FORWARDED_FOR, address);
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
        let lists = parts.headers.get_all(FORWARDED_FOR);
        let last = lists.iter().next_back().and_then(|list| list.to_str().ok()?.rsplit(',').next());
        let address = last.and_then(|address| HeaderValue::from_str(address.trim()).ok());
        Ok(Self { address, browser: parts.headers.get(header::USER_AGENT).cloned() })
    }
}
