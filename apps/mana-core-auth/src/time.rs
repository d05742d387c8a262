//! Times as stored (milliseconds since 1970) and as told (RFC 3339, UTC).

/// The stored time as text.
pub(crate) fn rfc3339(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| time.to_string())
}

/// The time this much later, as stored.
pub(crate) fn later(now: jiff::Timestamp, by: std::time::Duration) -> i64 {
    now.as_millisecond().saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

/// The time this much earlier, as stored.
pub(crate) fn earlier(now: jiff::Timestamp, by: std::time::Duration) -> i64 {
    now.as_millisecond().saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}
