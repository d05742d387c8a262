//! What a route asks of a request before it goes anywhere, and what it adds to every answer.
//!
//! [`admit`] is one walk in a fixed order: who may come at all (`access`), whose pages may ask (`cors`), whether the site is
//! closed (`maintenance`), who asks too often ([`rate`]). A route without policies pays one comparison. A new policy is a file
//! here, a field in [`crate::snapshot::Policies`], its check in `compile`, and its place in the walk.

pub(crate) mod access;
pub(crate) mod compile;
pub(crate) mod cors;
pub(crate) mod maintenance;
pub(crate) mod rate;
pub(crate) mod sticky;

use std::net::IpAddr;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Response};

use self::access::{Access, BasicAuth};
use self::cors::Cors;
use self::maintenance::Maintenance;
use self::rate::{Rates, Standing};
use self::sticky::{Place, Sticky};
use crate::answer::{Fault, Form};
use crate::body::Body;

/// A route's policies, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub(crate) access: Option<Access>,
    pub(crate) basic_auth: Option<BasicAuth>,
    pub(crate) cors: Option<Cors>,
    pub(crate) maintenance: Option<Maintenance>,
    pub(crate) rates: Rates,
    pub(crate) security_headers: bool,
    pub(crate) compress: bool,
    pub(crate) sticky: Option<Sticky>,
}

/// What was decided about a request and shows on its answer.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    rate: Option<Standing>,
    origin: Option<HeaderValue>,
    pub(crate) place: Place,
}

/// An answer instead of going on.
pub(crate) enum Refusal {
    Fault(Fault, Vec<(HeaderName, HeaderValue)>),
    Answer(Box<Response<Body>>),
    /// Not now, but perhaps before this has passed.
    Hold(Duration),
}

impl Refusal {
    pub(crate) fn answer(self, form: Form, request_id: &HeaderValue) -> Response<Body> {
        match self {
            Self::Answer(response) => *response,
            Self::Hold(_) => Fault::Maintenance.answer(form, request_id),
            Self::Fault(fault, headers) => {
                let mut response = fault.answer(form, request_id);
                for (name, value) in headers {
                    response.headers_mut().append(name, value);
                }
                response
            }
        }
    }
}

/// Whether a request may go on. What its answer is to say is in `pass`, whatever the answer is.
pub(crate) fn admit(
    policies: &Policies,
    store: &rate::Store,
    parts: &mut Parts,
    client: IpAddr,
    pass: &mut Pass,
) -> Result<(), Refusal> {
    if let Some(access) = &policies.access
        && !access.allows(client)
    {
        return Err(Refusal::Fault(Fault::Forbidden, Vec::new()));
    }
    if let Some(cors) = &policies.cors {
        pass.origin = cors.origin(parts);
        if let Some(answer) = cors.preflight(parts, pass.origin.as_ref()) {
            return Err(Refusal::Answer(Box::new(answer)));
        }
    }
    // A preflight carries no credentials, so it comes first.
    if let Some(basic_auth) = &policies.basic_auth {
        basic_auth.check(&mut parts.headers)?;
    }
    if let Some(maintenance) = &policies.maintenance {
        return Err(maintenance.refusal());
    }
    if let Some(sticky) = &policies.sticky {
        pass.place = sticky.place(&mut parts.headers);
    }
    pass.rate = policies.rates.count(store, &parts.headers, client)?;
    Ok(())
}

/// What the policies add to an answer.
pub(crate) fn dress(policies: &Policies, pass: &Pass, secure: bool, headers: &mut HeaderMap) {
    if let Some(sticky) = &policies.sticky {
        sticky.dress(pass.place, secure, headers);
    }
    if policies.security_headers {
        access::secure(headers);
    }
    if let Some(cors) = &policies.cors {
        cors.dress(pass.origin.as_ref(), headers);
    }
    if let Some(standing) = &pass.rate {
        standing.dress(headers);
    }
}
