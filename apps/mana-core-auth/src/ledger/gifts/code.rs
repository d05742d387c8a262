//! The form of a gift code.

use std::fmt;
use std::str::FromStr;

use rand::Rng as _;

/// Characters of a code.
pub(crate) const LENGTH: usize = 6;

/// What a code is made of: no I, O, 0 or 1.
const ALPHABET: [u8; 32] = *b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A gift code, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Code(String);

impl Code {
    /// A new one, by chance.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; LENGTH];
        rand::rng().fill_bytes(&mut bytes);
        // 256 is a multiple of 32: each character is as likely as any other.
        Self(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Code {
    type Err = &'static str;

    /// As people write it: in any case, with blanks and hyphens where they like.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let written = text.chars().filter(|char| !char.is_whitespace() && *char != '-');
        let code: String = written.map(|char| char.to_ascii_uppercase()).take(LENGTH + 1).collect();
        if code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte)) {
            Ok(Self(code))
        } else {
            Err("must be six letters and digits, without I, O, 0 and 1")
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_six_characters_that_nobody_mixes_up() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            let code = Code::random();
            assert_eq!(code.as_str().parse::<Code>().as_ref(), Ok(&code));
            assert!(!code.as_str().contains(['I', 'O', '0', '1']), "{code}");
            seen.extend(code.as_str().bytes());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), {
            let mut all = ALPHABET.to_vec();
            all.sort_unstable();
            all
        });
    }

    #[test]
    fn people_may_write_it_as_they_like() {
        for (text, code) in [("abc234", Some("ABC234")), (" ABC-234 ", Some("ABC234")), ("a b c 2 3 4", Some("ABC234"))]
        {
            assert_eq!(text.parse::<Code>().ok().as_ref().map(Code::as_str), code, "{text}");
        }
        for text in ["", "ABC23", "ABC2345", "ABC10O", "ÄBC234", "ABC23\u{0}"] {
            assert!(text.parse::<Code>().is_err(), "{text}");
        }
    }
}
