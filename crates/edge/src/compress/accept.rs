//! `Accept-Encoding`, read once: which codings a client takes, and how gladly (RFC 9110, 12.5.3).

use http::header::{self, HeaderMap};

/// A form in which a body can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    pub(super) const COUNT: usize = 3;

    /// Its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            _ if name.eq_ignore_ascii_case("zstd") => Some(Self::Zstd),
            _ if name.eq_ignore_ascii_case("br") => Some(Self::Brotli),
            // The old name means the same, by the standard.
            _ if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// What a client takes. Weights are in thousandths; 0 is "not at all".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    weights: [u16; Coding::COUNT],
    /// `None`: nothing was said of the plain form, so it is taken where nothing better is to be had.
    identity: Option<u16>,
}

impl Accepted {
    /// A client that says nothing is sent the plain form: it may be too simple to take another one.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut weights = [None; Coding::COUNT];
        let mut identity = None;
        let mut any = None;
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for item in values.flat_map(|value| value.split(',')) {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let (name, weight) = (name.trim(), thousandths(parameters));
            if let Some(coding) = Coding::named(name) {
                weights[coding as usize].get_or_insert(weight);
            } else if name.eq_ignore_ascii_case("identity") {
                identity.get_or_insert(weight);
            } else if name == "*" {
                any.get_or_insert(weight);
            }
        }
        Self {
            weights: weights.map(|weight| weight.or(any).unwrap_or(0)),
            identity: identity.or(any.filter(|weight| *weight == 0)),
        }
    }

    /// The codings it takes of `preferred`, the best first; equals in the order given.
    pub(crate) fn codings<const N: usize>(self, mut preferred: [Coding; N]) -> impl Iterator<Item = Coding> {
        preferred.sort_by_key(|coding| std::cmp::Reverse(self.weight(*coding)));
        preferred.into_iter().filter(move |coding| self.weight(*coding) > 0)
    }

    /// The best of `preferred`, unless the client likes the plain form better than any of them.
    pub(crate) fn best<const N: usize>(self, preferred: [Coding; N]) -> Option<Coding> {
        let plain = self.identity.unwrap_or(0);
        self.codings(preferred).next().filter(|coding| self.weight(*coding) >= plain)
    }

    /// Whether it does not take the plain form.
    pub(crate) fn refuses_identity(self) -> bool {
        self.identity == Some(0)
    }

    fn weight(self, coding: Coding) -> u16 {
        self.weights[coding as usize]
    }
}

/// `q=0.8` → 800; without a weight 1000, with one that is none 0.
fn thousandths(parameters: &str) -> u16 {
    let Some((_, value)) = parameters.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q")) else {
        return 1_000;
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 1000 before")]
    value.trim().parse::<f32>().map_or(0, |weight| (weight.clamp(0.0, 1.0) * 1_000.0) as u16)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &'static str) -> Accepted {
        Accepted::read(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
    }

    #[test]
    fn codings_are_taken_as_the_client_weighs_them() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", &["zstd", "br", "gzip"][..]),
            ("gzip", &["gzip"]),
            ("x-gzip", &["gzip"]),
            ("br;q=0.5, gzip;q=0.8", &["gzip", "br"]),
            ("br;q=0, gzip", &["gzip"]),
            ("*", &["zstd", "br", "gzip"]),
            ("*;q=0.1, br;q=0", &["zstd", "gzip"]),
            ("*;q=0, gzip;q=0.2", &["gzip"]),
            ("GZIP ; Q=1.0", &["gzip"]),
            ("br;q=x", &[]),
            ("br;q=NaN", &[]),
            ("identity", &[]),
            ("", &[]),
        ] {
            let names: Vec<_> =
                read(value).codings([Coding::Zstd, Coding::Brotli, Coding::Gzip]).map(Coding::name).collect();
            assert_eq!(names, expected, "{value}");
        }
        assert_eq!(Accepted::read(&HeaderMap::new()).codings([Coding::Brotli, Coding::Gzip]).count(), 0);
    }

    #[test]
    fn the_plain_form_is_sent_to_those_who_like_it_better() {
        for (value, expected, refuses) in [
            ("gzip, identity;q=0.5", Some("gzip"), false),
            ("gzip;q=0.5, identity", None, false),
            ("gzip, identity", Some("gzip"), false),
            ("gzip;q=0.5, identity;q=0", Some("gzip"), true),
            ("gzip, *;q=0", Some("gzip"), true),
            ("gzip, *", Some("gzip"), false),
            ("identity;q=0", None, true),
        ] {
            let accepted = read(value);
            assert_eq!(accepted.best([Coding::Gzip]).map(Coding::name), expected, "{value}");
            assert_eq!(accepted.refuses_identity(), refuses, "{value}");
        }
    }
}
