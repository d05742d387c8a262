//! The two cookies: who is logged in, and whose forms these are.

use axum::http::{HeaderMap, HeaderValue, header};

use super::Site;

/// As long as a session lasts at most.
const AGE_S: u32 = 7 * 24 * 3_600;
/// Longest value that is looked at: ours have 43 characters.
const LONGEST: usize = 64;

/// What a browser sends.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Cookies {
    /// What lets in.
    pub(crate) session: Option<String>,
    /// What the forms of this browser belong to while nobody is logged in.
    pub(crate) forms: Option<String>,
}

const SESSION: &str = "mana";
const FORMS: &str = "mana-form";

/// `__Host-` makes browsers refuse the cookie from any other host and without TLS. Where there is no TLS it cannot be had.
fn name(base: &str, site: &Site) -> String {
    if site.secure { format!("__Host-{base}") } else { base.to_owned() }
}

impl Cookies {
    pub(crate) fn read(headers: &HeaderMap, site: &Site) -> Self {
        let find = |wanted: &str| {
            let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
            let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
            let value = pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)?;
            (!value.is_empty() && value.len() <= LONGEST).then(|| value.to_owned())
        };
        Self { session: find(&name(SESSION, site)), forms: find(&name(FORMS, site)) }
    }

    /// All that are there.
    pub(crate) fn all(&self) -> Vec<&str> {
        self.session.iter().chain(&self.forms).map(String::as_str).collect()
    }
}

/// Logs a browser in.
pub(crate) fn session(site: &Site, id: &str) -> Option<HeaderValue> {
    set(&name(SESSION, site), id, site, Some(AGE_S))
}

/// Logs it out.
pub(crate) fn no_session(site: &Site) -> Option<HeaderValue> {
    set(&name(SESSION, site), "", site, Some(0))
}

/// Marks a browser's forms, until it is closed.
pub(crate) fn forms(site: &Site, id: &str) -> Option<HeaderValue> {
    set(&name(FORMS, site), id, site, None)
}

fn set(name: &str, value: &str, site: &Site, age_s: Option<u32>) -> Option<HeaderValue> {
    let secure = if site.secure { "; Secure" } else { "" };
    let age = age_s.map(|age| format!("; Max-Age={age}")).unwrap_or_default();
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    let mut value = HeaderValue::from_str(&cookie).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_this_hosts_alone_where_there_is_tls() {
        let site = |secure| Site { origin: String::new(), secure };
        let text = |value: Option<HeaderValue>| value.expect("a value").to_str().expect("text").to_owned();
        assert_eq!(
            text(session(&site(true), "abc")),
            "__Host-mana=abc; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=604800"
        );
        assert_eq!(text(session(&site(false), "abc")), "mana=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800");
        assert_eq!(text(forms(&site(true), "x")), "__Host-mana-form=x; Path=/; HttpOnly; SameSite=Strict; Secure");
        assert!(text(no_session(&site(true))).ends_with("Max-Age=0"));
    }

    #[test]
    fn the_cookies_of_this_site_are_found_among_others() {
        let read = |lines: &[&'static str], secure| {
            let lines = lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line)));
            let site = Site { origin: String::new(), secure };
            let Cookies { session, forms } = Cookies::read(&lines.collect(), &site);
            (session, forms)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(&["a=b; mana=x;mana-form=y"], false), (some("x"), some("y")));
        assert_eq!(read(&["__Host-mana=x; mana=evil"], true), (some("x"), None));
        assert_eq!(read(&["mana=evil"], true), (None, None), "one without the prefix could be another host's");
        assert_eq!(read(&["xmana=x; mana="], false), (None, None));
    }
}
