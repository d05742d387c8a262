//! Codes of an app, and codes for when it is lost.

use reqwest::StatusCode;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use crate::support::{Answer, Auth, Caller, PASSWORD, Store, number, sql};

/// An app with codes.
fn app(secret: &str) -> Totp {
    let secret = Secret::try_from_base32(secret).unwrap();
    Builder::new().with_digits(6).with_step_duration(30).with_secret(secret).build().unwrap()
}

fn code(app: &Totp) -> String {
    app.generate(u64::try_from(kit::clock::now().as_second()).unwrap()).to_string()
}

/// Ada with a second factor, her app, and her recovery codes.
async fn ada(caller: &Caller) -> (Answer, Totp, Vec<String>) {
    let ada = caller.register("ada@example.com").await;
    let at = |path: &str| format!("/api/auth/second-factor{path}");
    let begun = caller.post_as(ada.access(), &at("/totp"), json!({"password": PASSWORD})).await;
    assert!(begun.text("link").starts_with("otpauth://totp/auth.test:ada%40example.com?secret="), "{begun:?}");
    let app = app(begun.text("secret"));
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::OK, "it does not count yet");
    let wrong = caller.post_as(ada.access(), &at("/totp/confirm"), json!({"code": "000000"})).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let confirmed = caller.post_as(ada.access(), &at("/totp/confirm"), json!({"code": code(&app)})).await;
    let codes: Vec<String> = serde_json::from_value(confirmed.body["recoveryCodes"].clone()).unwrap();
    assert_eq!(codes.len(), 10);
    (ada, app, codes)
}

async fn second(caller: &Caller, ticket: &str, code: &str) -> Answer {
    caller.post("/api/auth/login/second-factor", json!({"ticket": ticket, "code": code})).await
}

async fn a_code_of_the_app_is_asked_for_and_counts_once(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let (_, app, _) = ada(&caller).await;
    let first = caller.login("ada@example.com", PASSWORD).await;
    assert_eq!((first.status, first.body.get("accessToken")), (StatusCode::ACCEPTED, None));
    let ticket = first.text("ticket");
    assert_eq!(second(&caller, ticket, &code(&app)).await.status, StatusCode::UNAUTHORIZED, "it was used to confirm");
    // Later.
    sql(&auth, "UPDATE second_factors SET last_step = 0").await;
    let inside = second(&caller, ticket, &code(&app)).await;
    assert!(caller.is_in(inside.access()).await);
    assert_eq!(second(&caller, ticket, &code(&app)).await.status, StatusCode::UNAUTHORIZED);
    for forged in ["", "x.y", inside.access()] {
        assert_eq!(second(&caller, forged, &code(&app)).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(caller.login("ada@example.com", "wrong password").await.status, StatusCode::UNAUTHORIZED);
}

async fn a_recovery_code_counts_once_however_it_is_typed(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let (ada, _, codes) = ada(&caller).await;
    let first = caller.login("ada@example.com", PASSWORD).await;
    let typed = codes[0].to_uppercase().replace('-', " ");
    assert_eq!(second(&caller, first.text("ticket"), &typed).await.status, StatusCode::OK);
    assert_eq!(second(&caller, first.text("ticket"), &codes[0]).await.status, StatusCode::UNAUTHORIZED);
    let state = caller.get("/api/auth/second-factor", ada.access()).await;
    assert_eq!(state.body, json!({"totp": true, "recoveryCodesLeft": 9}));
    let renew = "/api/auth/second-factor/recovery-codes";
    assert_eq!(caller.post_as(ada.access(), renew, json!({"password": PASSWORD})).await.status, StatusCode::OK);
    assert_eq!(second(&caller, first.text("ticket"), &codes[1]).await.status, StatusCode::UNAUTHORIZED);
}

async fn codes_cannot_be_tried_without_end(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    ada(&caller).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        // A new ticket is no new beginning.
        let first = caller.login("ada@example.com", PASSWORD).await;
        statuses.push(second(&caller, first.text("ticket"), "000000").await.status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
}

async fn a_ticket_ends_with_the_password_it_was_got_with(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let (ada, _, codes) = ada(&caller).await;
    let first = caller.login("ada@example.com", PASSWORD).await;
    let change = json!({"currentPassword": PASSWORD, "newPassword": "another good password"});
    assert_eq!(caller.post_as(ada.access(), "/api/auth/password", change).await.status, StatusCode::OK);
    assert_eq!(second(&caller, first.text("ticket"), &codes[0]).await.status, StatusCode::UNAUTHORIZED);
}

async fn it_is_removed_by_the_password_and_stored_sealed(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    let password = || -> Value { json!({"password": PASSWORD}) };
    let begun = caller.post_as(ada.access(), "/api/auth/second-factor/totp", password()).await;
    let plain = format!("SELECT COUNT(*) FROM second_factors WHERE secret LIKE '%{}%'", begun.text("secret"));
    assert_eq!(number(&auth, &plain).await, 0);
    let confirm = json!({"code": code(&app(begun.text("secret")))});
    caller.post_as(ada.access(), "/api/auth/second-factor/totp/confirm", confirm).await;
    let again = caller.post_as(ada.access(), "/api/auth/second-factor/totp", password()).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let remove = "/api/auth/second-factor/totp/remove";
    assert_eq!(
        caller.post_as(ada.access(), remove, json!({"password": "wrong one"})).await.code(),
        (403, "wrong_password")
    );
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::ACCEPTED);
    assert_eq!(caller.post_as(ada.access(), remove, password()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::OK);
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM recovery_codes").await, 0);
}

crate::support::on_both_stores!(
    a_code_of_the_app_is_asked_for_and_counts_once,
    a_recovery_code_counts_once_however_it_is_typed,
    codes_cannot_be_tried_without_end,
    a_ticket_ends_with_the_password_it_was_got_with,
    it_is_removed_by_the_password_and_stored_sealed,
);
