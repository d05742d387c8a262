//! What a file and a statement are recognised by.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// How many hexadecimal digits of a fingerprint are shown, and the fewest that an override may give: 48 bits are beyond
/// chance among the thousand statements of a file, and finding a second statement for a given one takes 2⁴⁸ tries, each
/// of which a reviewer would have to overlook.
pub const SHORT_DIGITS: usize = 12;

/// SHA-256 of a file's whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum([u8; 32]);

impl Checksum {
    pub(super) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// A text that is no checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a checksum is 64 hexadecimal digits (SHA-256)")]
pub struct NotAChecksum;

impl FromStr for Checksum {
    type Err = NotAChecksum;

    fn from_str(text: &str) -> Result<Self, NotAChecksum> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAChecksum)?;
        Ok(Self(bytes))
    }
}

/// SHA-256 of a statement's exact text: one changed blank, and an override no longer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(statement: &str) -> Self {
        Self(Sha256::digest(statement.as_bytes()).into())
    }

    /// Its first digits, as refusals show it and overrides give it.
    pub fn short(&self) -> String {
        self.to_string().chars().take(SHORT_DIGITS).collect()
    }

    /// Whether `digits` are its beginning, and enough of it.
    pub fn is_named_by(&self, digits: &str) -> bool {
        digits.len() >= SHORT_DIGITS && self.to_string().starts_with(&digits.to_ascii_lowercase())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_read_back_as_it_is_shown() {
        let checksum = Checksum::of("SELECT 1;");
        assert_eq!(checksum.to_string().parse(), Ok(checksum));
        assert_eq!("17db".parse::<Checksum>(), Err(NotAChecksum));
        assert_eq!("é".repeat(32).parse::<Checksum>(), Err(NotAChecksum));
    }

    #[test]
    fn too_few_digits_name_no_statement() {
        let fingerprint = Fingerprint::of("DROP TABLE a");
        assert!(fingerprint.is_named_by(&fingerprint.short()));
        assert!(fingerprint.is_named_by(&fingerprint.to_string().to_uppercase()));
        assert!(!fingerprint.is_named_by(&fingerprint.short()[..11]));
        assert!(!Fingerprint::of("DROP TABLE  a").is_named_by(&fingerprint.short()));
    }
}
