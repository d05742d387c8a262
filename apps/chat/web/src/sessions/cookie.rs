//! The cookies: who this browser is, and nothing else. On https their names begin with `__Host-`, so that browsers take them
//! from this host alone, and only encrypted.

use axum::http::{HeaderMap, HeaderValue};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use super::BrowserId;
use crate::config::Site;
use crate::limits::SESSION_AGE;

const SESSION: &str = "chat-session";

/// A visitor who is not signed in; the tokens of the sign-in forms belong to it.
const VISIT: &str = "chat-visit";

/// The ids a browser showed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cookies {
    /// Of a session, which may have ended.
    pub(crate) session: Option<BrowserId>,
    visit: Option<BrowserId>,
}

impl Cookies {
    pub(crate) fn read(headers: &HeaderMap, site: &Site) -> Self {
        let jar = CookieJar::from_headers(headers);
        let read = |name| jar.get(&full_name(name, site)).and_then(|cookie| BrowserId::parse(cookie.value()));
        Self { session: read(SESSION), visit: read(VISIT) }
    }

    /// The id that the tokens of this browser's forms belong to.
    pub(crate) fn of_forms(&self) -> Option<&BrowserId> {
        self.session.as_ref().or(self.visit.as_ref())
    }
}

/// `Set-Cookie` of a session that begins.
pub(crate) fn begin(id: &BrowserId, site: &Site) -> HeaderValue {
    let age = i64::try_from(SESSION_AGE.as_secs()).unwrap_or(i64::MAX);
    write(SESSION, id.expose(), age, site)
}

/// `Set-Cookie` of a visit: until the browser closes.
pub(crate) fn visit(id: &BrowserId, site: &Site) -> HeaderValue {
    header(&cookie(VISIT, id.expose(), site))
}

/// Kept while somebody is at a provider elsewhere: for the minutes that its ticket is good.
const TRIP: &str = "chat-trip";
const TRIP_SECONDS: i64 = 300;

/// `Set-Cookie` of somebody who leaves for a provider.
pub(crate) fn trip(ticket: &str, site: &Site) -> HeaderValue {
    write(TRIP, ticket.to_owned(), TRIP_SECONDS, site)
}

/// `Set-Cookie` that removes it.
pub(crate) fn end_trip(site: &Site) -> HeaderValue {
    write(TRIP, String::new(), 0, site)
}

/// The ticket of somebody who comes back.
pub(crate) fn trip_of(headers: &HeaderMap, site: &Site) -> Option<String> {
    CookieJar::from_headers(headers).get(&full_name(TRIP, site)).map(|cookie| cookie.value().to_owned())
}

/// `Set-Cookie` that removes a session's.
pub(crate) fn end(site: &Site) -> HeaderValue {
    write(SESSION, String::new(), 0, site)
}

fn write(name: &str, value: String, age_seconds: i64, site: &Site) -> HeaderValue {
    let text = format!("{}; Max-Age={age_seconds}", cookie(name, value, site));
    HeaderValue::try_from(text).expect("a cookie of ours is a header")
}

fn header(cookie: &Cookie<'_>) -> HeaderValue {
    HeaderValue::try_from(cookie.to_string()).expect("a cookie of ours is a header")
}

fn cookie(name: &str, value: String, site: &Site) -> Cookie<'static> {
    Cookie::build((full_name(name, site), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(site.secure)
        .build()
}

fn full_name(name: &str, site: &Site) -> String {
    if site.secure { format!("__Host-{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_out_of_reach_of_scripts_other_sites_and_plain_http() {
        let id = BrowserId::random();
        let site = |secure| Site { origin: String::new(), secure };
        let plain = begin(&id, &site(false));
        let text = plain.to_str().unwrap();
        assert!(text.starts_with("chat-session=") && text.contains("; HttpOnly") && text.contains("SameSite=Lax"));
        assert!(text.contains("Path=/") && text.contains("Max-Age=2592000") && !text.contains("Secure"));
        let secure = begin(&id, &site(true));
        let text = secure.to_str().unwrap();
        assert!(text.starts_with("__Host-chat-session=") && text.contains("; Secure") && !text.contains("Domain"));
        assert!(end(&site(true)).to_str().unwrap().contains("Max-Age=0"));
    }
}
