//! The random value that a browser shows: 256 bits, so it cannot be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use sha2::{Digest, Sha256};

const BYTES: usize = 32;

/// A browser's id, of a session or of a visitor who has none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BrowserId([u8; BYTES]);

impl BrowserId {
    /// A new one.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// From a cookie; `None` for anything that we did not make.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// For the cookie, and nothing else.
    pub(crate) fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What is stored: from it, nobody can make the cookie.
    pub(crate) fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for BrowserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BrowserId(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_none() {
        let id = BrowserId::random();
        assert_eq!(BrowserId::parse(&id.expose()), Some(id.clone()));
        for text in ["", "x", "AAAA", &format!("{}A", id.expose()), &"ä".repeat(43)] {
            assert_eq!(BrowserId::parse(text), None, "{text}");
        }
        assert!(!id.hash().contains(&id.expose()) && !format!("{id:?}").contains(&id.expose()));
    }
}
