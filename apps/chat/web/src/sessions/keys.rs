//! What `SESSION_KEY` is for: two keys made of it, one that seals tokens at rest, one that makes the tokens of forms.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};

use super::{BrowserId, Tokens, entity};

/// The keys.
pub(crate) struct Keys {
    tokens: RandomizedNonceKey,
    forms: hmac::Key,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    access: String,
    refresh: String,
}

impl Keys {
    /// Makes both out of the one that is configured.
    pub(crate) fn new(session_key: &SecretBox<[u8; 32]>) -> Self {
        let base = hmac::Key::new(hmac::HMAC_SHA256, session_key.expose_secret());
        let derive = |purpose: &str| hmac::sign(&base, purpose.as_bytes());
        let tokens = RandomizedNonceKey::new(&AES_256_GCM, derive("chat-web tokens at rest").as_ref());
        Self {
            tokens: tokens.expect("an HMAC-SHA256 is as long as the key"),
            forms: hmac::Key::new(hmac::HMAC_SHA256, derive("chat-web forms").as_ref()),
        }
    }

    /// Seals tokens, bound to the session they belong to.
    pub(super) fn seal(&self, id: &BrowserId, tokens: &Tokens) -> String {
        let plain = Sealed {
            access: tokens.access.expose_secret().to_owned(),
            refresh: tokens.refresh.expose_secret().to_owned(),
        };
        let mut bytes = serde_json::to_vec(&plain).expect("strings become JSON");
        let nonce = self.tokens.seal_in_place_append_tag(Aad::from(id.bytes()), &mut bytes);
        let nonce = nonce.expect("a few kilobytes can be sealed");
        URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &bytes].concat())
    }

    /// Opens a row's tokens. `None` when they were sealed with another key or belong to another row: that session is over.
    pub(super) fn open(&self, id: &BrowserId, row: &entity::Model) -> Option<Tokens> {
        let opened = self.unseal(id, &row.tokens);
        if opened.is_none() {
            metrics::counter!("sessions_not_opened_total").increment(1);
            tracing::warn!("a session's tokens cannot be opened (another SESSION_KEY?); it counts as signed out");
        }
        let sealed = opened?;
        let access_expires_at = Timestamp::from_millisecond(row.access_expires_at).ok()?;
        Some(Tokens { access: sealed.access.into(), refresh: sealed.refresh.into(), access_expires_at })
    }

    fn unseal(&self, id: &BrowserId, text: &str) -> Option<Sealed> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.tokens.open_in_place(nonce, Aad::from(id.bytes()), sealed).ok()?;
        serde_json::from_slice(plain).ok()
    }

    /// What a form of this browser must carry.
    pub(crate) fn form_token(&self, id: &BrowserId) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.forms, id.bytes()))
    }

    /// Whether a form carries what it must; compared in constant time.
    pub(crate) fn is_form_token(&self, id: &BrowserId, token: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
        hmac::verify(&self.forms, id.bytes(), &bytes).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: u8) -> Keys {
        Keys::new(&SecretBox::new(Box::new([byte; 32])))
    }

    fn row(tokens: String) -> entity::Model {
        entity::Model {
            id_hash: String::new(),
            name: String::new(),
            email: String::new(),
            tokens,
            access_expires_at: 0,
            generation: 0,
            lease_until: 0,
            created_at: 0,
            expires_at: 0,
            user_id: None,
        }
    }

    #[test]
    fn tokens_open_only_with_the_same_key_for_the_same_session_unchanged() {
        let (id, other) = (BrowserId::random(), BrowserId::random());
        let tokens =
            Tokens { access: "access".into(), refresh: "refresh".into(), access_expires_at: Timestamp::UNIX_EPOCH };
        let sealed = keys(1).seal(&id, &tokens);
        assert!(!sealed.contains("access"));
        assert_ne!(sealed, keys(1).seal(&id, &tokens), "a nonce is used once");
        let opened = keys(1).open(&id, &row(sealed.clone())).unwrap();
        assert_eq!((opened.access.expose_secret(), opened.refresh.expose_secret()), ("access", "refresh"));
        assert!(keys(2).open(&id, &row(sealed.clone())).is_none());
        assert!(keys(1).open(&other, &row(sealed.clone())).is_none());
        let first = if sealed.starts_with('A') { "B" } else { "A" };
        for changed in ["", "AAAA", &format!("{first}{}", &sealed[1..])] {
            assert!(keys(1).open(&id, &row(changed.to_owned())).is_none(), "{changed}");
        }
    }

    #[test]
    fn a_forms_token_is_good_for_its_browser_only() {
        let (id, other, keys_) = (BrowserId::random(), BrowserId::random(), keys(1));
        let token = keys_.form_token(&id);
        assert!(keys_.is_form_token(&id, &token));
        for (browser, text) in [(&other, token.as_str()), (&id, ""), (&id, "x"), (&id, &token[..42])] {
            assert!(!keys_.is_form_token(browser, text), "{text}");
        }
        assert!(!keys(2).is_form_token(&id, &token));
    }
}
