//! The key's text: made once, shown once, recognised by its hash.

use sha2::{Digest, Sha256};

/// What every key begins with, so that people and secret scanners know what they look at. An access token never does.
const MARK: &str = "mana_";

/// Random bytes of a key: nothing to guess, so a fast hash is enough.
const RANDOM_BYTES: usize = 32;

/// Characters of a key that may be shown later.
const SHOWN_CHARS: usize = 12;

/// A key's whole text. Never printed by accident: its `Debug` shows nothing.
pub(crate) struct Secret(String);

impl Secret {
    /// A new one; the crate's one use of chance.
    pub(super) fn generate() -> Self {
        let mut random = [0; RANDOM_BYTES];
        rand::fill(&mut random);
        Self(format!("{MARK}{}", hex::encode(random)))
    }

    /// What a caller shows, if it looks like a key.
    pub(crate) fn from_bearer(text: &str) -> Option<Self> {
        text.starts_with(MARK).then(|| Self(text.to_owned()))
    }

    /// What is stored of it.
    pub(super) fn hash(&self) -> String {
        hex::encode(Sha256::digest(&self.0))
    }

    /// What may be shown of it.
    pub(super) fn prefix(&self) -> String {
        self.0.chars().take(SHOWN_CHARS).collect()
    }

    /// The text, for the one answer that holds it.
    pub(super) fn reveal(self) -> String {
        self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_different_recognisable_and_not_printed() {
        let (one, other) = (Secret::generate(), Secret::generate());
        assert_ne!(one.hash(), other.hash());
        assert!(!format!("{one:?}").contains(MARK));
        assert_eq!((one.prefix().len(), one.hash().len()), (SHOWN_CHARS, 64));
        let text = one.reveal();
        assert_eq!(text.len(), MARK.len() + 2 * RANDOM_BYTES);
        assert!(Secret::from_bearer(&text).is_some() && Secret::from_bearer("eyJhbGciOiJFZERTQSJ9").is_none());
    }
}
