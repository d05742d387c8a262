//! Keeping a client on one slot while weights move, so that one user stays on one version.
//!
//! Each client has a place, a number that never changes: in a cookie that the edge gives it, or worked out from a header. A slot
//! has the range of places that its weight asks for. When a weight grows, its range does, and whoever is in it stays in it.
//!
//! A client without a place goes where the exact sequence sends it, and gets a place within that slot's range: shares of new
//! clients are as exact as shares of requests.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// A year: longer than any roll-out.
const MAX_AGE_S: u32 = 31_536_000;

/// How a client is known again.
#[derive(Debug)]
pub(crate) enum Sticky {
    /// By a cookie of this name, which is the edge's alone.
    Cookie(Box<str>),
    /// By the value of this header; requests without it are shared out one by one.
    Header(HeaderName),
}

/// What is known of a client's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// It needs none.
    #[default]
    None,
    /// It has one.
    At(u64),
    /// It is to get one.
    Wanted,
    /// It gets this one with its answer.
    Given(u64),
}

impl Place {
    pub(crate) fn at(self) -> Option<u64> {
        match self {
            Self::At(place) => Some(place),
            _ => None,
        }
    }
}

impl Sticky {
    /// The place of whoever sent this. The edge's own cookie goes no further: it would be taken for credentials.
    pub(crate) fn place(&self, headers: &mut HeaderMap) -> Place {
        match self {
            Self::Header(name) => headers.get(name).map_or(Place::None, |value| Place::At(hash(value.as_bytes()))),
            Self::Cookie(name) => take(headers, name).map_or(Place::Wanted, Place::At),
        }
    }

    /// Tells the client its place.
    pub(crate) fn dress(&self, place: Place, secure: bool, headers: &mut HeaderMap) {
        let (Self::Cookie(name), Place::Given(place)) = (self, place) else { return };
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!("{name}={place:016x}; Path=/; Max-Age={MAX_AGE_S}; HttpOnly; SameSite=Lax{secure}");
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

/// Takes the cookie of this name out of the request; gives its place, if it is one.
fn take(headers: &mut HeaderMap, name: &str) -> Option<u64> {
    let is_own = |pair: &&str| pair.trim().split_once('=').is_some_and(|(own, _)| own == name);
    let has = |value: &HeaderValue| value.to_str().is_ok_and(|pairs| pairs.split(';').any(|pair| is_own(&pair)));
    if !headers.get_all(header::COOKIE).iter().any(has) {
        return None;
    }
    let mut place = None;
    let all: Vec<_> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    for value in all {
        let Ok(pairs) = value.to_str() else {
            headers.append(header::COOKIE, value);
            continue;
        };
        let (own, rest): (Vec<_>, Vec<_>) = pairs.split(';').partition(is_own);
        let said = own.first().and_then(|pair| pair.trim().split_once('='));
        place = place.or_else(|| said.and_then(|(_, digits)| parse(digits)));
        let rest = rest.iter().map(|pair| pair.trim()).filter(|pair| !pair.is_empty()).collect::<Vec<_>>().join("; ");
        if let Some(rest) = HeaderValue::try_from(rest).ok().filter(|rest| !rest.is_empty()) {
            headers.append(header::COOKIE, rest);
        }
    }
    place
}

fn parse(digits: &str) -> Option<u64> {
    let hexadecimal = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if hexadecimal { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// FNV-1a and a last mix: the same on every thread, in every process, for ever. Whoever can choose the header can choose the
/// slot anyway.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::COOKIE, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_edges_cookie_is_taken_out_and_others_stay() {
        let sticky = Sticky::Cookie("slot".into());
        for (given, place, left) in [
            (vec![], Place::Wanted, vec![]),
            (vec!["a=b; c=d"], Place::Wanted, vec!["a=b; c=d"]),
            (vec!["slot=00000000000000ff"], Place::At(255), vec![]),
            (vec!["a=b; slot=00000000000000ff; c=d"], Place::At(255), vec!["a=b; c=d"]),
            (vec!["a=b", "slot=00000000000000ff"], Place::At(255), vec!["a=b"]),
            (vec!["slot=ff"], Place::Wanted, vec![]),
            (vec!["slot=+0000000000000ff"], Place::Wanted, vec![]),
            (vec!["myslot=00000000000000ff"], Place::Wanted, vec!["myslot=00000000000000ff"]),
        ] {
            let mut headers = cookies(&given);
            assert_eq!(sticky.place(&mut headers), place, "{given:?}");
            assert_eq!(headers, cookies(&left), "{given:?}");
        }
    }

    #[test]
    fn places_of_headers_are_spread_and_never_change() {
        assert_eq!(hash(b"user-1"), 0x37e1_a4c1_4b42_972d);
        let low = (0..10_000).filter(|user| hash(format!("user-{user}").as_bytes()) < u64::MAX / 10).count();
        assert!((900..1_100).contains(&low), "{low} of 10,000 in a tenth");
    }
}
