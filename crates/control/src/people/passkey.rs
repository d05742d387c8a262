//! Passkeys: what a browser sends, checked against what it was asked for (WebAuthn, sections 7.1 and 7.2). Pure.
//!
//! A passkey is used only with its owner verified by the device, so it is two factors in itself. `mana-core-auth` has the same for users; the
//! platform takes no code from the apps, nor they from it.
//!
//! No attestation is asked for: who makes the key is the user's own affair. So nothing but the browser's word binds a new key
//! to the rest, and the key is taken as the browser gives it (SubjectPublicKeyInfo), without a parser of CBOR.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::{Host, Url};

/// Whose passkeys they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party {
    /// The domain that they belong to.
    pub(crate) id: String,
    /// From where they are used.
    pub(crate) origin: String,
}

impl Party {
    /// That of a site; `None` where it has no name: browsers make no passkeys for a bare address.
    pub(crate) fn of(origin: &str) -> Option<Self> {
        match Url::parse(origin).ok()?.host()? {
            Host::Domain(id) => Some(Self { id: id.to_owned(), origin: origin.to_owned() }),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// What a browser is told to make a passkey, for `parseCreationOptionsFromJSON`.
    pub(crate) fn creation(&self, challenge: &str, operator: &str, known: &[&str]) -> Value {
        json!({
            "challenge": challenge,
            "rp": { "id": self.id, "name": self.id },
            "user": { "id": handle(operator), "name": operator, "displayName": operator },
            "pubKeyCredParams": ALGORITHMS.map(|alg| json!({ "type": "public-key", "alg": alg })),
            "timeout": TIMEOUT_MS,
            "excludeCredentials": known.iter().map(|id| json!({ "type": "public-key", "id": id })).collect::<Vec<_>>(),
            "authenticatorSelection": {
                "residentKey": "required", "requireResidentKey": true, "userVerification": "required",
            },
            "attestation": "none",
        })
    }

    /// What it is told to use one, for `parseRequestOptionsFromJSON`. Whose it is says the passkey.
    pub(crate) fn request(&self, challenge: &str) -> Value {
        json!({
            "challenge": challenge, "rpId": self.id, "timeout": TIMEOUT_MS, "userVerification": "required",
            "allowCredentials": [],
        })
    }
}

/// What an operator is called on the device. Names are short enough (at most 64 bytes).
pub(crate) fn handle(operator: &str) -> String {
    URL_SAFE_NO_PAD.encode(operator)
}

/// As long as a challenge is good.
const TIMEOUT_MS: u64 = 5 * 60 * 1_000;

/// COSE's numbers of what is taken, the best first. The last one is for Windows' older chips.
const ALGORITHMS: [i64; 3] = [-8, -7, -257];

/// The frame around a P-256 key's point.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_POINT: usize = 65;

/// The frame around an Ed25519 key.
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const ED25519_KEY: usize = 32;

/// Longest of anything: an RSA key of 8192 bits fits.
const MAX_BYTES: usize = 2_048;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_CREDENTIAL: u8 = 0x40;

/// Why what a browser sent does not count; for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it cannot be read")]
    Unreadable,
    #[error("it is of another ceremony, challenge or origin")]
    Foreign,
    #[error("it is for another party")]
    OtherParty,
    #[error("nobody was there, or they were not verified")]
    Unverified,
    #[error("the algorithm is not one of those asked for, or the key is not one of it")]
    Key,
    #[error("the signature is not the key's")]
    Signature,
    #[error("its count went back: there may be a copy of the key")]
    Copy,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// A new passkey.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) algorithm: i64,
    pub(crate) public_key: String,
    pub(crate) sign_count: i64,
}

fn decode(text: &str) -> Result<Vec<u8>, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| Fault::Unreadable)?;
    if bytes.len() > MAX_BYTES { Err(Fault::Unreadable) } else { Ok(bytes) }
}

fn check_client(bytes: &[u8], kind: &str, challenge: &str, party: &Party) -> Result<(), Fault> {
    let data: ClientData = serde_json::from_slice(bytes).map_err(|_| Fault::Unreadable)?;
    let good = data.kind == kind && data.challenge == challenge && data.origin == party.origin && !data.cross_origin;
    if good { Ok(()) } else { Err(Fault::Foreign) }
}

/// Checks whom the authenticator speaks to and that its owner was there; gives its flags and count.
fn check_authenticator(bytes: &[u8], party: &Party) -> Result<(u8, u32), Fault> {
    let (head, _) = bytes.split_first_chunk::<37>().ok_or(Fault::Unreadable)?;
    if head[..32] != Sha256::digest(&party.id)[..] {
        return Err(Fault::OtherParty);
    }
    let flags = head[32];
    if flags & USER_PRESENT == 0 || flags & USER_VERIFIED == 0 {
        return Err(Fault::Unverified);
    }
    Ok((flags, u32::from_be_bytes([head[33], head[34], head[35], head[36]])))
}

/// What `navigator.credentials.create` gave, as JSON.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Creation {
    id: String,
    response: CreationResponse,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    authenticator_data: String,
    public_key: String,
    public_key_algorithm: i64,
}

/// Checks a new passkey.
pub(crate) fn created(given: &Creation, challenge: &str, party: &Party) -> Result<Made, Fault> {
    let response = &given.response;
    check_client(&decode(&response.client_data_json)?, "webauthn.create", challenge, party)?;
    let data = decode(&response.authenticator_data)?;
    let (flags, sign_count) = check_authenticator(&data, party)?;
    // Sixteen bytes say which model it is, two how long the id is that follows.
    let id = data.get(55..).filter(|_| flags & HAS_CREDENTIAL != 0).ok_or(Fault::Unreadable)?;
    let length = usize::from(u16::from_be_bytes([data[53], data[54]]));
    let id = URL_SAFE_NO_PAD.encode(id.get(..length).filter(|id| !id.is_empty()).ok_or(Fault::Unreadable)?);
    if id != given.id.trim_end_matches('=') {
        return Err(Fault::Foreign);
    }
    let key = decode(&response.public_key)?;
    verifier(response.public_key_algorithm, &key)?;
    Ok(Made {
        id,
        algorithm: response.public_key_algorithm,
        public_key: URL_SAFE_NO_PAD.encode(key),
        sign_count: i64::from(sign_count),
    })
}

/// What `navigator.credentials.get` gave, as JSON.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Assertion {
    pub(crate) id: String,
    pub(crate) response: AssertionResponse,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    authenticator_data: String,
    signature: String,
    pub(crate) user_handle: Option<String>,
}

/// Checks that a passkey was used; gives its new count.
pub(crate) fn used(
    given: &Assertion,
    challenge: &str,
    party: &Party,
    (algorithm, public_key, sign_count): (i64, &str, i64),
) -> Result<i64, Fault> {
    let response = &given.response;
    let client = decode(&response.client_data_json)?;
    check_client(&client, "webauthn.get", challenge, party)?;
    let data = decode(&response.authenticator_data)?;
    let (_, count) = check_authenticator(&data, party)?;
    let key = decode(public_key)?;
    let (verification, key) = verifier(algorithm, &key)?;
    let signed = [data.as_slice(), &Sha256::digest(&client)].concat();
    let signature = decode(&response.signature)?;
    UnparsedPublicKey::new(verification, key).verify(&signed, &signature).map_err(|_| Fault::Signature)?;
    // Passkeys that are on several devices count nothing and say 0.
    let count = i64::from(count);
    if (count != 0 || sign_count != 0) && count <= sign_count {
        return Err(Fault::Copy);
    }
    Ok(count)
}

/// How signatures of a key are verified, and the key as that takes it.
fn verifier(algorithm: i64, key: &[u8]) -> Result<(&'static dyn VerificationAlgorithm, &[u8]), Fault> {
    let framed =
        |prefix: &[u8], length: usize| key.strip_prefix(prefix).filter(|key| key.len() == length).ok_or(Fault::Key);
    match algorithm {
        -7 => Ok((&signature::ECDSA_P256_SHA256_ASN1, framed(&P256_PREFIX, P256_POINT)?)),
        -8 => Ok((&signature::ED25519, framed(&ED25519_PREFIX, ED25519_KEY)?)),
        -257 if key.len() > 256 => Ok((&signature::RSA_PKCS1_2048_8192_SHA256, key)),
        _ => Err(Fault::Key),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    };
    use serde_json::json;

    use super::*;

    const CHALLENGE: &str = "Y2hhbGxlbmdl";

    fn party() -> Party {
        Party { id: "example.org".into(), origin: "https://app.example.org".into() }
    }

    fn client(kind: &str, changes: &serde_json::Value) -> String {
        let mut data = json!({"type": kind, "challenge": CHALLENGE, "origin": "https://app.example.org"});
        data.as_object_mut().expect("good").extend(changes.as_object().expect("good").clone());
        data.to_string()
    }

    fn authenticator(party: &str, flags: u8, count: u32, id: Option<&[u8]>) -> Vec<u8> {
        let mut data = Sha256::digest(party).to_vec();
        data.push(flags);
        data.extend(count.to_be_bytes());
        if let Some(id) = id {
            data.extend([0; 16]);
            data.extend(u16::try_from(id.len()).expect("good").to_be_bytes());
            data.extend(id);
        }
        data
    }

    type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

    fn keys() -> Vec<(i64, Vec<u8>, Sign)> {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("good");
        let ec_public = [P256_PREFIX.as_slice(), ec.public_key().as_ref()].concat();
        let ed = Ed25519KeyPair::generate().expect("good");
        let edwards_public = [ED25519_PREFIX.as_slice(), ed.public_key().as_ref()].concat();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("good");
        let rsa_public: PublicKeyX509Der<'_> = rsa.public_key().as_der().expect("good");
        let rsa_public = rsa_public.as_ref().to_vec();
        let rsa_sign = move |text: &[u8]| {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).expect("good");
            signature
        };
        vec![
            (-7, ec_public, Box::new(move |text| ec.sign(&SystemRandom::new(), text).expect("good").as_ref().to_vec())),
            (-8, edwards_public, Box::new(move |text| ed.sign(text).as_ref().to_vec())),
            (-257, rsa_public, Box::new(rsa_sign)),
        ]
    }

    #[test]
    fn a_passkey_of_each_algorithm_is_made_and_used() {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        for (algorithm, public, sign) in keys() {
            let creation: Creation = serde_json::from_value(json!({"id": b64(b"id"), "response": {
                "clientDataJSON": b64(client("webauthn.create", &json!({})).as_bytes()),
                "authenticatorData": b64(&authenticator("example.org", 0x45, 1, Some(b"id"))),
                "publicKey": b64(&public), "publicKeyAlgorithm": algorithm,
            }}))
            .expect("good");
            let made = created(&creation, CHALLENGE, &party()).expect("good");
            assert_eq!((made.algorithm, made.id.as_str(), made.sign_count), (algorithm, b64(b"id").as_str(), 1));

            let assertion = |changes: &serde_json::Value, data: Vec<u8>| -> Assertion {
                let client = client("webauthn.get", changes);
                let signature = sign(&[data.as_slice(), &Sha256::digest(&client)].concat());
                serde_json::from_value(json!({"id": b64(b"id"), "response": {
                    "clientDataJSON": b64(client.as_bytes()), "authenticatorData": b64(&data), "signature": b64(&signature),
                }}))
                .expect("good")
            };
            let known = (algorithm, made.public_key.as_str(), 1);
            let check = |given: &Assertion| used(given, CHALLENGE, &party(), known);
            let good = authenticator("example.org", 0x05, 2, None);
            assert_eq!(check(&assertion(&json!({}), good.clone())), Ok(2), "{algorithm}");
            for (changes, data, fault) in [
                (json!({"type": "webauthn.create"}), good.clone(), Fault::Foreign),
                (json!({"challenge": "x"}), good.clone(), Fault::Foreign),
                (json!({"origin": "https://app.example.org.evil.test"}), good.clone(), Fault::Foreign),
                (json!({"crossOrigin": true}), good.clone(), Fault::Foreign),
                (json!({}), authenticator("evil.test", 0x05, 2, None), Fault::OtherParty),
                (json!({}), authenticator("example.org", 0x01, 2, None), Fault::Unverified),
                (json!({}), authenticator("example.org", 0x04, 2, None), Fault::Unverified),
                (json!({}), authenticator("example.org", 0x05, 1, None), Fault::Copy),
                (json!({}), Vec::new(), Fault::Unreadable),
            ] {
                assert_eq!(check(&assertion(&changes, data)), Err(fault), "{changes}");
            }
            let mut forged = assertion(&json!({}), good.clone());
            forged.response.authenticator_data = b64(&authenticator("example.org", 0x05, 9, None));
            assert_eq!(check(&forged), Err(Fault::Signature));
        }
    }

    #[test]
    fn a_site_without_a_name_has_no_passkeys() {
        assert_eq!(Party::of("http://ops.localhost:8080").expect("one").id, "ops.localhost");
        for origin in ["http://127.0.0.1:8080", "https://[::1]", "nonsense"] {
            assert_eq!(Party::of(origin), None, "{origin}");
        }
    }

    #[test]
    fn a_key_of_another_algorithm_or_shape_is_refused() {
        for (algorithm, key) in [(-7, vec![0; 91]), (-8, vec![0; 44]), (-257, vec![0; 10]), (-37, vec![0; 300])] {
            assert_eq!(verifier(algorithm, &key).err(), Some(Fault::Key), "{algorithm}");
        }
    }
}
