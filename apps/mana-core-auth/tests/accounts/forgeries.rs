//! Access tokens that nobody issued.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::auth::{Refusal, Verifier};
use kit::config::Env;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Auth, Caller, ISSUER, SERVICE_TOKEN, Store};

/// What a verifier would take that believes the token's own word on its algorithm.
fn hmac_with(header: &Value, claims: &Value, public: &str) -> String {
    use aws_lc_rs::hmac;
    let mut header = header.clone();
    header["alg"] = json!("HS256");
    let unsigned = forge(&header, claims, &"03".repeat(32));
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(public).unwrap());
    format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, unsigned.as_bytes())))
}

/// A token with this header and these changes to the claims, signed with this seed.
fn forge(header: &Value, changes: &Value, seed: &str) -> String {
    use aws_lc_rs::signature::Ed25519KeyPair;
    let now = kit::clock::now().as_second();
    let id = kit::clock::new_id();
    let mut claims = json!({"sub": id, "role": "admin", "app_id": "chat", "email": "x@y.z", "sid": id, "iss": ISSUER, "aud": ISSUER, "exp": now + 600, "iat": now, "jti": id});
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(&claims));
    let key = Ed25519KeyPair::from_seed_unchecked(&hex::decode(seed).unwrap()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())))
}

async fn forged_tokens_are_refused(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let seed = auth.signing_key();
    let seed = seed.as_str();
    let keys = caller.get("/.well-known/jwks.json", "").await.body;
    let kid = keys["keys"][0]["kid"].clone();
    assert_eq!(keys["keys"][0].get("d"), None, "the private half is not published");
    let good = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid});
    let none = json!({});
    let other_seed = "02".repeat(32);
    let with = |field: &str, value: Value| {
        let mut header = good.clone();
        header[field] = value;
        header
    };
    let now = kit::clock::now().as_second();
    let balance = "/api/credits/balance";
    // The frame itself is right: with nothing forged it is the token of somebody who is there.
    let ada = caller.register("ada@example.com").await;
    let claims = ada.access().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let own = json!({"sub": claims["sub"], "sid": claims["sid"]});
    let forge = |header: &Value, changes: &Value, seed: &str| {
        let mut claims = own.clone();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        forge(header, &claims, seed)
    };
    assert_eq!(caller.get(balance, &forge(&good, &none, seed)).await.status, StatusCode::OK);
    let forgeries = [
        ("another key", forge(&good, &none, &other_seed)),
        ("no algorithm", forge(&with("alg", json!("none")), &none, seed)),
        ("HMAC", forge(&with("alg", json!("HS256")), &none, seed)),
        ("HMAC with the public key", hmac_with(&good, &own, keys["keys"][0]["x"].as_str().unwrap())),
        ("a key somewhere else", forge(&with("jku", json!("http://evil.test/jwks.json")), &none, &other_seed)),
        ("a chain of certificates", forge(&with("x5u", json!("http://evil.test/x.pem")), &none, &other_seed)),
        ("no signature", forge(&good, &none, seed).rsplit_once('.').unwrap().0.to_owned() + "."),
        ("another audience among several", forge(&good, &json!({"aud": ["http://evil.test"]}), seed)),
        ("no expiry", forge(&good, &json!({"exp": null}), seed)),
        ("another type", forge(&with("typ", json!("JWT")), &none, seed)),
        ("an unknown key id", forge(&with("kid", json!("x")), &none, seed)),
        ("no key id", forge(&with("kid", Value::Null), &none, seed)),
        (
            "a key of its own",
            forge(
                &with(
                    "jwk",
                    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
                ),
                &none,
                &other_seed,
            ),
        ),
        ("another issuer", forge(&good, &json!({"iss": "http://evil.test"}), seed)),
        ("another audience", forge(&good, &json!({"aud": "http://evil.test"}), seed)),
        ("expired", forge(&good, &json!({"exp": now - 60}), seed)),
        ("not yet valid", forge(&good, &json!({"nbf": now + 60}), seed)),
        ("issued in the future", forge(&good, &json!({"iat": now + 60}), seed)),
        ("no subject", forge(&good, &json!({"sub": null}), seed)),
        ("no token", String::new()),
        ("no token at all", "x.y".to_owned()),
    ];
    // A service elsewhere, which fetches the keys.
    let elsewhere = Env::table([
        ("TOKEN_ISSUER", ISSUER),
        ("MANA_CORE_AUTH_URL", &auth.url),
        ("SERVICE_TOKEN", SERVICE_TOKEN),
        ("TOKEN_APPS", "*"),
    ]);
    let elsewhere = Verifier::read(&elsewhere).unwrap();
    assert!(elsewhere.verify(&forge(&good, &none, seed)).await.is_ok());
    for (what, token) in forgeries {
        assert_eq!(caller.get(balance, &token).await.status, StatusCode::UNAUTHORIZED, "{what}");
        assert!(matches!(elsewhere.verify(&token).await, Err(Refusal::Invalid(_))), "{what}, elsewhere");
    }
}

/// A service for one app, as `TOKEN_APPS` makes it.
async fn a_token_of_one_app_is_refused_by_another_unless_it_is_let_in(store: Store) {
    let auth = Auth::start(store).await;
    let chat = Caller::new(&auth.url).register("ada@example.com").await;
    let verifier = |project: &str, apps: &str| {
        let env = Env::table([
            ("TOKEN_ISSUER", ISSUER),
            ("MANA_CORE_AUTH_URL", &auth.url),
            ("SERVICE_TOKEN", SERVICE_TOKEN),
            ("MANA_PROJECT", project),
            ("TOKEN_APPS", apps),
        ]);
        Verifier::read(&env).unwrap()
    };
    for (project, apps, let_in) in [
        ("chat", "", true),
        ("photos", "", false),
        ("photos", "photos, chat", true),
        ("chat", "photos", false),
        ("photos", "*", true),
    ] {
        let outcome = verifier(project, apps).verify(chat.access()).await;
        assert_eq!(outcome.is_ok(), let_in, "{project} lets in {apps:?}");
    }
}

async fn the_issuer_itself_refuses_tokens_of_other_apps_where_it_is_told_whose_count(store: Store) {
    let settings = [("TOKEN_APPS", "chat"), ("ADMIN_APPS", "chat")];
    let auth = Auth::start_with(store, &settings).await;
    let caller = Caller::new(&auth.url);
    let chat = caller.register("ada@example.com").await;
    let person = json!({"email": "eve@example.com", "password": "a good password", "name": "Eve", "appId": "photos"});
    let photos = caller.post("/api/auth/register", person).await;
    for path in ["/api/auth/me", "/api/credits/balance", "/api/admin/gift-codes"] {
        let status = if path.contains("admin") { StatusCode::FORBIDDEN } else { StatusCode::OK };
        assert_eq!(caller.get(path, chat.access()).await.status, status, "{path}");
        assert_eq!(caller.get(path, photos.access()).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    auth.make_admin("ada@example.com").await;
    assert_eq!(caller.get("/api/admin/gift-codes", chat.access()).await.status, StatusCode::OK);
}

async fn a_service_token_opens_what_it_is_for_and_nothing_else(store: Store) {
    let settings =
        [("SERVICE_CALLERS", "chat-backend=credits/balance"), ("SERVICE_TOKEN_CHAT_BACKEND", "chat's own token")];
    let auth = Auth::start_with(store, &settings).await;
    let ada = Caller::new(&auth.url).register("ada@example.com").await;
    let http = reqwest::Client::new();
    let user = ada.body["user"]["id"].as_str().unwrap();
    let call = async |method: Method, path: &str, token: &str| {
        let call = http.request(method, format!("{}/api/internal/credits/{path}", auth.url));
        let body = json!({"userId": user, "amount": 1, "idempotencyKey": "k"});
        call.header("x-service-token", token).json(&body).send().await.unwrap().status()
    };
    let balance = format!("balance?userId={user}");
    assert_eq!(call(Method::GET, &balance, "chat's own token").await, StatusCode::OK);
    assert_eq!(call(Method::POST, "grant", "chat's own token").await, StatusCode::FORBIDDEN);
    assert_eq!(call(Method::POST, "grant", "nobody's token").await, StatusCode::UNAUTHORIZED);
    assert_eq!(call(Method::POST, "grant", SERVICE_TOKEN).await, StatusCode::OK);
}

crate::support::on_both_stores!(
    forged_tokens_are_refused,
    a_token_of_one_app_is_refused_by_another_unless_it_is_let_in,
    the_issuer_itself_refuses_tokens_of_other_apps_where_it_is_told_whose_count,
    a_service_token_opens_what_it_is_for_and_nothing_else,
);
