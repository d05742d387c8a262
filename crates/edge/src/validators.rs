//! What tells two versions of the same thing apart, and what a client's conditions make of it (RFC 9110, section 13).

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderValue};

/// The last second of the year 9999.
const LAST_DATE: u64 = 253_402_300_799;

/// An entity tag, a time, or both.
#[derive(Debug)]
pub(crate) struct Validators {
    pub(crate) etag: Option<HeaderValue>,
    /// Seconds since 1970.
    pub(crate) modified: Option<u64>,
}

impl Validators {
    /// As an answer's headers say.
    pub(crate) fn said(headers: &HeaderMap) -> Self {
        let modified = headers.get(header::LAST_MODIFIED).and_then(date);
        Self { etag: headers.get(header::ETAG).cloned(), modified }
    }

    pub(crate) fn last_modified(&self) -> Option<HeaderValue> {
        // A file's time can be any, and what writes dates panics at those that are none.
        let modified = self.modified.filter(|modified| *modified <= LAST_DATE)?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(modified);
        HeaderValue::try_from(httpdate::fmt_http_date(time)).ok()
    }

    /// Whether what the client has is what it would get (304).
    pub(crate) fn are_current(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            // Tags decide alone where there are any.
            let own = self.etag.as_ref().map(|etag| opaque(etag.as_bytes()));
            return tags
                .flat_map(|tags| tags.as_bytes().split(|byte| *byte == b','))
                .map(<[u8]>::trim_ascii)
                .any(|tag| tag == b"*" || own.is_some_and(|own| opaque(tag) == own));
        }
        let since = headers.get(header::IF_MODIFIED_SINCE).and_then(date);
        since.zip(self.modified).is_some_and(|(since, modified)| modified <= since)
    }

    /// Whether a part may be joined to what the client has (`If-Range`): only to exactly this version.
    pub(crate) fn is_same(&self, condition: &HeaderValue) -> bool {
        let strong = self.etag.as_ref().filter(|etag| !etag.as_bytes().starts_with(b"W/"));
        strong == Some(condition) || date(condition).is_some_and(|date| self.modified == Some(date))
    }
}

/// A tag without its mark of weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn date(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok()).and_then(whole_seconds)
}

/// A time in whole seconds, as HTTP dates have it.
pub(crate) fn whole_seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_date_can_say_is_not_said() {
        let said = |modified| Validators { etag: None, modified: Some(modified) }.last_modified();
        assert_eq!(said(LAST_DATE).expect("the last one"), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(said(LAST_DATE + 1), None);
        assert_eq!(said(u64::MAX), None);
    }
}
