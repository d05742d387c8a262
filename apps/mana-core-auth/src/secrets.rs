//! What `AUTH_SIGNING_SEED` is for: a key of its own for each purpose, none of which tells another one.
//!
//! To add a purpose: a line in [`Purpose`]. Its text is part of the key, so it is never changed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretBox};

use crate::keys::SEED_BYTES;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The key pair that signs tokens, of one generation.
    Signing(i64),
    /// Makes a refresh token's successor out of it.
    Successor,
    /// Makes the tokens in letters out of their ids.
    Letters,
    /// Signs what a client brings back in the next step of a ceremony.
    Tickets,
    /// Seals second factors at rest.
    SecondFactors,
}

impl Purpose {
    fn text(self) -> String {
        match self {
            Self::Signing(generation) => format!("mana-core-auth signing key {generation}"),
            Self::Successor => "mana-core-auth refresh successors".to_owned(),
            Self::Letters => "mana-core-auth letters".to_owned(),
            Self::Tickets => "mana-core-auth tickets".to_owned(),
            Self::SecondFactors => "mana-core-auth second factors at rest".to_owned(),
        }
    }
}

/// Makes keys of the seed.
#[derive(Clone)]
pub(crate) struct Secrets {
    base: hmac::Key,
}

impl Secrets {
    pub(crate) fn new(seed: &SecretBox<[u8; SEED_BYTES]>) -> Self {
        Self { base: hmac::Key::new(hmac::HMAC_SHA256, seed.expose_secret()) }
    }

    /// The key of a purpose.
    pub(crate) fn key(&self, purpose: Purpose) -> SecretBox<[u8; SEED_BYTES]> {
        let tag = hmac::sign(&self.base, purpose.text().as_bytes());
        let mut bytes = Box::new([0; SEED_BYTES]);
        bytes.copy_from_slice(tag.as_ref());
        SecretBox::new(bytes)
    }

    /// An HMAC of `text` under a purpose's key, in base64url.
    pub(crate) fn tag(&self, purpose: Purpose, text: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.hmac_key(purpose), text))
    }

    /// Whether `tag` is the one of `text`; compared in constant time.
    pub(crate) fn is_tag(&self, purpose: Purpose, text: &[u8], tag: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(tag) else { return false };
        hmac::verify(&self.hmac_key(purpose), text, &bytes).is_ok()
    }

    /// Seals `text`, bound to what it belongs to.
    pub(crate) fn seal(&self, purpose: Purpose, owner: &[u8], text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let nonce = self.sealing_key(purpose).seal_in_place_append_tag(Aad::from(owner), &mut bytes);
        let nonce = nonce.expect("a few bytes can be sealed");
        URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &bytes].concat())
    }

    /// Opens what was sealed; `None` where the seed is another one, or it belongs to somebody else.
    pub(crate) fn open(&self, purpose: Purpose, owner: &[u8], sealed: &str) -> Option<String> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.sealing_key(purpose).open_in_place(nonce, Aad::from(owner), sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }

    fn hmac_key(&self, purpose: Purpose) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key(purpose).expose_secret())
    }

    fn sealing_key(&self, purpose: Purpose) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, self.key(purpose).expose_secret()).expect("an AES-256 key has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(byte: u8) -> Secrets {
        Secrets::new(&SecretBox::new(Box::new([byte; SEED_BYTES])))
    }

    #[test]
    fn each_purpose_and_each_seed_has_a_key_of_its_own() {
        let all = [Purpose::Signing(0), Purpose::Signing(1), Purpose::Successor, Purpose::Letters, Purpose::Tickets];
        let tags: std::collections::BTreeSet<String> =
            all.iter().flat_map(|purpose| [1, 2].map(|seed| secrets(seed).tag(*purpose, b"x"))).collect();
        assert_eq!(tags.len(), all.len() * 2);
    }

    #[test]
    fn a_tag_counts_for_its_text_only() {
        let tag = secrets(1).tag(Purpose::Tickets, b"text");
        assert!(secrets(1).is_tag(Purpose::Tickets, b"text", &tag));
        for wrong in ["", "x", &tag[1..]] {
            assert!(!secrets(1).is_tag(Purpose::Tickets, b"text", wrong), "{wrong}");
        }
        assert!(!secrets(1).is_tag(Purpose::Tickets, b"texts", &tag));
        assert!(!secrets(1).is_tag(Purpose::Letters, b"text", &tag));
    }

    #[test]
    fn what_is_sealed_opens_for_its_owner_with_the_same_seed() {
        let sealed = secrets(1).seal(Purpose::SecondFactors, b"ada", "a secret");
        assert!(!sealed.contains("secret"));
        assert_eq!(secrets(1).open(Purpose::SecondFactors, b"ada", &sealed).as_deref(), Some("a secret"));
        assert_eq!(secrets(1).open(Purpose::SecondFactors, b"eve", &sealed), None);
        assert_eq!(secrets(2).open(Purpose::SecondFactors, b"ada", &sealed), None);
        assert_eq!(secrets(1).open(Purpose::SecondFactors, b"ada", "AAAA"), None);
    }
}
