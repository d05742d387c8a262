//! Cross-origin requests (the Fetch standard): which other sites' pages may read what a route answers.

use std::collections::HashSet;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use crate::body::Body;
use crate::headers;

#[derive(Debug)]
pub(crate) struct Cors {
    /// `None`: everyone's.
    pub(crate) origins: Option<HashSet<Box<str>>>,
    pub(crate) methods: HeaderValue,
    pub(crate) request_headers: Option<HeaderValue>,
    pub(crate) exposed: Option<HeaderValue>,
    pub(crate) credentials: bool,
    pub(crate) max_age: HeaderValue,
}

impl Cors {
    /// What the answer says about the page that asks; `None` for pages that may not.
    pub(crate) fn origin(&self, parts: &Parts) -> Option<HeaderValue> {
        let origin = parts.headers.get(header::ORIGIN)?;
        match &self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(known) => known.contains(origin.to_str().ok()?).then(|| origin.clone()),
        }
    }

    /// The answer to a question that a browser asks before the request itself.
    pub(crate) fn preflight(&self, parts: &Parts, origin: Option<&HeaderValue>) -> Option<Response<Body>> {
        let asks = parts.method == Method::OPTIONS
            && parts.headers.contains_key(header::ORIGIN)
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if origin.is_some() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            if let Some(allowed) = &self.request_headers {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
            }
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        Some(response)
    }

    /// What every answer says. The policy is the route's: what the service says about it is replaced.
    pub(crate) fn dress(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.origins.is_some() {
            headers::vary(headers, "origin");
        }
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        let Some(origin) = origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = &self.exposed {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}
