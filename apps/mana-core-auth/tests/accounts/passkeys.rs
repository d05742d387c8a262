//! Passkeys over HTTP, with an authenticator made of a key pair. A real browser's is in chat-web's tests.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Answer, Auth, Caller, ISSUER, PASSWORD, Store};

const P256_PREFIX: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

struct Authenticator {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    count: u32,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Authenticator {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { key, id: kit::clock::new_id().as_bytes().to_vec(), count: 0 }
    }

    fn data(&mut self, made: bool) -> Vec<u8> {
        self.count += 1;
        let mut data = Sha256::digest("auth.test").to_vec();
        data.push(if made { 0x45 } else { 0x05 });
        data.extend(self.count.to_be_bytes());
        if made {
            data.extend([0; 16]);
            data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
            data.extend(&self.id);
        }
        data
    }

    fn client(kind: &str, options: &Value) -> String {
        json!({"type": kind, "challenge": options["challenge"], "origin": ISSUER, "crossOrigin": false}).to_string()
    }

    fn create(&mut self, options: &Value) -> Value {
        let public = [hex::decode(P256_PREFIX).unwrap().as_slice(), self.key.public_key().as_ref()].concat();
        json!({"id": b64(&self.id), "type": "public-key", "clientExtensionResults": {}, "response": {
            "clientDataJSON": b64(Self::client("webauthn.create", options)), "authenticatorData": b64(self.data(true)),
            "publicKey": b64(public), "publicKeyAlgorithm": -7, "attestationObject": "", "transports": ["internal"],
        }})
    }

    fn get(&mut self, options: &Value, user: &str) -> Value {
        let (client, data) = (Self::client("webauthn.get", options), self.data(false));
        let signed = [data.as_slice(), &Sha256::digest(&client)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        let handle = b64(uuid::Uuid::parse_str(user).unwrap().as_bytes());
        json!({"id": b64(&self.id), "type": "public-key", "response": {
            "clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": handle,
        }})
    }
}

async fn make(caller: &Caller, who: &Answer, device: &mut Authenticator) -> Answer {
    let asked = caller.post_as(who.access(), "/api/auth/passkeys/begin", json!({"password": PASSWORD})).await;
    assert_eq!(asked.body["options"]["rp"]["id"], "auth.test", "{asked:?}");
    let credential = device.create(&asked.body["options"]);
    let body = json!({"ticket": asked.text("ticket"), "name": "Ada's laptop", "credential": credential});
    caller.post_as(who.access(), "/api/auth/passkeys/finish", body).await
}

async fn ask(caller: &Caller) -> Answer {
    caller.send(Method::POST, "/api/auth/login/passkey/begin", "", None).await
}

async fn enter(caller: &Caller, ticket: &str, credential: &Value) -> Answer {
    let body = json!({"ticket": ticket, "credential": credential, "appId": "chat"});
    caller.post("/api/auth/login/passkey", body).await
}

async fn a_passkey_signs_in_once_for_each_challenge_until_it_is_removed(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let (ada, eve) = (caller.register("ada@example.com").await, caller.register("eve@example.com").await);
    let mut device = Authenticator::new();
    let made = make(&caller, &ada, &mut device).await;
    assert_eq!((made.status, made.text("name")), (StatusCode::CREATED, "Ada's laptop"), "{made:?}");
    assert_eq!(make(&caller, &eve, &mut device).await.status, StatusCode::CONFLICT, "it is Ada's");

    let asked = ask(&caller).await;
    let user = ada.body["user"]["id"].as_str().unwrap();
    let credential = device.get(&asked.body["options"], user);
    let inside = enter(&caller, asked.text("ticket"), &credential).await;
    assert_eq!(inside.body["user"]["email"], "ada@example.com", "{inside:?}");
    assert_eq!(enter(&caller, asked.text("ticket"), &credential).await.status, StatusCode::UNAUTHORIZED, "again");
    let next = ask(&caller).await;
    assert_eq!(enter(&caller, next.text("ticket"), &credential).await.status, StatusCode::UNAUTHORIZED, "replayed");

    let listed = caller.get("/api/auth/passkeys", ada.access()).await;
    assert_eq!(listed.body["passkeys"].as_array().unwrap().len(), 1);
    let path = format!("/api/auth/passkeys/{}/remove", made.text("id"));
    let proof = |password: &str| Some(json!({ "password": password }));
    for (who, password, status) in [
        (&eve, PASSWORD, StatusCode::NOT_FOUND),
        (&ada, "whoever found her token", StatusCode::FORBIDDEN),
        (&ada, PASSWORD, StatusCode::NO_CONTENT),
    ] {
        assert_eq!(caller.send(Method::POST, &path, who.access(), proof(password)).await.status, status);
    }
    let removed = ask(&caller).await;
    let credential = device.get(&removed.body["options"], user);
    assert_eq!(enter(&caller, removed.text("ticket"), &credential).await.status, StatusCode::UNAUTHORIZED);
}

async fn another_key_a_copy_and_a_closed_account_do_not_get_in(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    let user = ada.body["user"]["id"].as_str().unwrap().to_owned();
    let mut device = Authenticator::new();
    make(&caller, &ada, &mut device).await;
    let mut forged = Authenticator { id: device.id.clone(), ..Authenticator::new() };
    forged.count = 7;
    let mut copy = Authenticator { count: 0, ..device };
    for (device, what) in [(&mut forged, "another key"), (&mut copy, "a copy that counts from the start")] {
        let asked = ask(&caller).await;
        let credential = device.get(&asked.body["options"], &user);
        assert_eq!(enter(&caller, asked.text("ticket"), &credential).await.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    auth.command(&["disable", "--email", "ada@example.com"]).await.unwrap();
    copy.count = 20;
    let asked = ask(&caller).await;
    let credential = copy.get(&asked.body["options"], &user);
    assert_eq!(enter(&caller, asked.text("ticket"), &credential).await.code(), (403, "account_disabled"));
}

async fn making_one_takes_the_password(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    let begin = "/api/auth/passkeys/begin";
    assert_eq!(caller.post_as(ada.access(), begin, json!({})).await.code(), (403, "wrong_password"));
    assert_eq!(caller.post(begin, json!({"password": PASSWORD})).await.status, StatusCode::UNAUTHORIZED);
}

crate::support::on_both_stores!(
    a_passkey_signs_in_once_for_each_challenge_until_it_is_removed,
    another_key_a_copy_and_a_closed_account_do_not_get_in,
    making_one_takes_the_password,
);
