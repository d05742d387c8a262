//! A key that signs access tokens, and what is published of it. Which one signs when is the [`crate::keyring`]'s.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kit::auth::{Claims, TOKEN_TYPE};
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};

/// Bytes of the seed.
pub(crate) const SEED_BYTES: usize = 32;

/// The DER frame around an Ed25519 seed (RFC 8410, PKCS #8 version 1): always the same bytes.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Signs tokens.
pub(crate) struct SigningKey {
    header: Header,
    private: EncodingKey,
    public: serde_json::Value,
}

impl SigningKey {
    pub(crate) fn from_seed(seed: &SecretBox<[u8; SEED_BYTES]>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose_secret()).expect("any 32 bytes are a seed");
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let id = thumbprint(&public);
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(id.clone());
        let public = serde_json::json!(
            { "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": public }
        );
        let private = EncodingKey::from_ed_der(&[&PKCS8_PREFIX, seed.expose_secret().as_slice()].concat());
        Self { header, private, public }
    }

    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&self.header, claims, &self.private)
    }
}

/// What `/.well-known/jwks.json` answers for these keys.
pub(crate) fn published(keys: impl IntoIterator<Item = Arc<SigningKey>>) -> JwkSet {
    let keys: Vec<serde_json::Value> = keys.into_iter().map(|key| key.public.clone()).collect();
    serde_json::from_value(serde_json::json!({ "keys": keys })).expect("a well-formed key set")
}

/// RFC 7638.
fn thumbprint(public: &str) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_8037() {
        assert_eq!(
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }
}
