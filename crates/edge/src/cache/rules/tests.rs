//! The standard's cases as a table.

use http::HeaderName;
use http::header::HeaderValue;

use super::*;

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn headers(lines: &str) -> HeaderMap {
    let lines = lines.split('|').filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.trim().parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.trim()).unwrap()))
        .collect()
}

fn at(offset: i64) -> String {
    httpdate::fmt_http_date(
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.as_secs().checked_add_signed(offset).unwrap()),
    )
}

fn kept(status: u16, lines: &str, credentialed: bool) -> Option<Lifetime> {
    let now = SystemTime::UNIX_EPOCH + NOW;
    lifetime(StatusCode::from_u16(status).unwrap(), &headers(lines), credentialed, now, Duration::ZERO)
}

#[test]
fn what_is_kept_and_for_how_long() {
    let (past, soon, old) = (at(-100), at(60), at(-20));
    let table: Vec<(u16, String, Option<i64>)> = vec![
        // Nothing without a time.
        (200, "content-type: text/plain".into(), None),
        (200, "cache-control: public".into(), None),
        (200, "last-modified: Tue, 14 Nov 2023 00:00:00 GMT".into(), None),
        // RFC 9111, 4.2.1: s-maxage, then max-age, then Expires.
        (200, "cache-control: max-age=60".into(), Some(60)),
        (200, "cache-control: MAX-AGE=60".into(), Some(60)),
        (200, "cache-control: max-age=60, s-maxage=10".into(), Some(10)),
        (200, "cache-control: s-maxage=100 | cache-control: max-age=60".into(), Some(100)),
        (200, format!("expires: {soon}"), Some(60)),
        (200, format!("date: {old} | expires: {soon}"), Some(60)),
        (200, format!("expires: {past}"), None),
        (200, "expires: 0".into(), None),
        (200, format!("cache-control: max-age=5 | expires: {soon}"), Some(5)),
        // 4.2.3: age.
        (200, "cache-control: max-age=60 | age: 20".into(), Some(40)),
        (200, format!("cache-control: max-age=60 | date: {old}"), Some(40)),
        (200, "cache-control: max-age=60 | age: 60".into(), None),
        (200, "cache-control: max-age=60 | age: soon".into(), Some(60)),
        // 5.2: what forbids.
        (200, "cache-control: no-store, max-age=60".into(), None),
        (200, "cache-control: no-cache, max-age=60".into(), None),
        (200, "cache-control: private, max-age=60".into(), None),
        (200, "cache-control: private=\"set-cookie\", max-age=60".into(), None),
        (200, "cache-control: max-age=60 | set-cookie: a=b".into(), None),
        (200, "cache-control: max-age=60 | vary: *".into(), None),
        (200, "cache-control: max-age=60 | vary: accept, *".into(), None),
        (200, "cache-control: max-age=60 | content-type: text/event-stream; charset=utf-8".into(), None),
        // Quotes, nonsense, duplicates.
        (200, "cache-control: ext=\"no-store, private\", max-age=60".into(), Some(60)),
        (200, "cache-control: ext=\"a\\\", no-store\", max-age=60".into(), Some(60)),
        (200, "cache-control: max-age=\"60\"".into(), Some(60)),
        (200, "cache-control: max-age=-1".into(), None),
        (200, "cache-control: max-age=1.5".into(), None),
        (200, "cache-control: max-age".into(), None),
        (200, "cache-control: max-age=60, max-age=10".into(), Some(10)),
        (200, "cache-control: max-age=99999999999999999999".into(), Some(1 << 31)),
        (200, "cache-control: max-age=0".into(), None),
        // Status.
        (404, "cache-control: max-age=60".into(), Some(60)),
        (301, "cache-control: max-age=60".into(), Some(60)),
        (206, "cache-control: max-age=60".into(), None),
        (304, "cache-control: max-age=60".into(), None),
        (500, "cache-control: max-age=60".into(), None),
        (503, "cache-control: max-age=60".into(), None),
        // RFC 5861: kept though stale at once, for what comes.
        (200, "cache-control: max-age=0, stale-while-revalidate=5".into(), Some(0)),
        (200, "cache-control: max-age=0, stale-if-error=5".into(), Some(0)),
        (200, "cache-control: max-age=0, stale-if-error=5, must-revalidate".into(), None),
    ];
    for (status, lines, left) in table {
        assert_eq!(kept(status, &lines, false).map(|lifetime| lifetime.left(Duration::ZERO)), left, "{status} {lines}");
    }
}

#[test]
fn what_was_asked_for_with_credentials_is_kept_only_if_it_is_public() {
    for (lines, expected) in [
        ("cache-control: max-age=60", false),
        ("cache-control: s-maxage=60", false),
        ("cache-control: max-age=60, must-revalidate", false),
        ("cache-control: public, max-age=60", true),
    ] {
        assert_eq!(kept(200, lines, true).is_some(), expected, "{lines}");
    }
    for (lines, expected) in [("authorization: Bearer x", true), ("cookie: a=b", true), ("accept: */*", false)] {
        assert_eq!(is_credentialed(&headers(lines)), expected, "{lines}");
    }
}

#[test]
fn what_is_given_out_and_when() {
    use Verdict::{Confirm, Meanwhile, Yes};
    for (answer, request, age, expected) in [
        ("max-age=60", "", 0, Yes),
        ("max-age=60", "", 59, Yes),
        ("max-age=60", "", 60, Confirm),
        ("max-age=60", "cache-control: no-cache", 0, Confirm),
        ("max-age=60", "pragma: no-cache", 0, Confirm),
        ("max-age=60", "pragma: no-cache | cache-control: max-stale", 0, Yes),
        ("max-age=60", "cache-control: max-age=10", 10, Yes),
        ("max-age=60", "cache-control: max-age=10", 11, Confirm),
        ("max-age=60", "cache-control: max-age=0", 1, Confirm),
        ("max-age=60", "cache-control: min-fresh=10", 49, Yes),
        ("max-age=60", "cache-control: min-fresh=10", 50, Confirm),
        ("max-age=60", "cache-control: max-stale=10", 69, Yes),
        ("max-age=60", "cache-control: max-stale=10", 70, Confirm),
        ("max-age=60", "cache-control: max-stale", 1_000, Yes),
        ("max-age=60, must-revalidate", "cache-control: max-stale", 60, Confirm),
        ("max-age=60, proxy-revalidate", "cache-control: max-stale", 60, Confirm),
        ("max-age=60, stale-while-revalidate=30", "", 60, Meanwhile),
        ("max-age=60, stale-while-revalidate=30", "", 89, Meanwhile),
        ("max-age=60, stale-while-revalidate=30", "", 90, Confirm),
        ("s-maxage=60, stale-while-revalidate=30", "", 60, Meanwhile),
        ("max-age=60, stale-while-revalidate=30, must-revalidate", "", 60, Confirm),
        ("max-age=60, stale-while-revalidate=30", "cache-control: no-cache", 60, Confirm),
        ("max-age=60, stale-while-revalidate=30", "cache-control: max-age=60", 61, Confirm),
        ("max-age=60, stale-while-revalidate=30", "cache-control: min-fresh=1", 60, Confirm),
    ] {
        let lifetime = kept(200, &format!("cache-control: {answer}"), false).expect(answer);
        let verdict = lifetime.verdict(Duration::from_secs(age), &Wants::of(&headers(request)));
        assert_eq!(verdict, expected, "{answer} / {request} / {age}");
    }
}

#[test]
fn an_error_is_covered_as_long_as_the_answer_said() {
    for (answer, age, expected) in [
        ("max-age=60", 60, false),
        ("max-age=60, stale-if-error=30", 89, true),
        ("max-age=60, stale-if-error=30", 90, false),
        ("max-age=60, stale-if-error=30, must-revalidate", 60, false),
        ("max-age=60, stale-while-revalidate=30", 70, false),
    ] {
        let lifetime = kept(200, &format!("cache-control: {answer}"), false).expect(answer);
        assert_eq!(lifetime.covers_error(Duration::from_secs(age)), expected, "{answer} / {age}");
    }
}

#[test]
fn the_time_an_answer_took_makes_it_older() {
    let now = SystemTime::UNIX_EPOCH + NOW;
    let of = |lines: &str| lifetime(StatusCode::OK, &headers(lines), false, now, Duration::from_secs(7)).unwrap();
    assert_eq!(of("cache-control: max-age=60").left(Duration::ZERO), 53);
    assert_eq!(of("cache-control: max-age=60 | age: 3").age(Duration::from_secs(1)), 11);
}

#[test]
fn who_waits_for_events_or_changes_something_asks_no_cache() {
    let ask = |method: Method, lines: &str| {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        (parts.method, parts.headers) = (method, headers(lines));
        may_ask(&parts)
    };
    assert!(ask(Method::GET, "") && ask(Method::HEAD, "accept: text/html"));
    assert!(!ask(Method::POST, "") && !ask(Method::OPTIONS, ""));
    assert!(!ask(Method::GET, "upgrade: websocket") && !ask(Method::GET, "accept: text/event-stream"));
}
