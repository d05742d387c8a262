//! What strangers try, and that it neither gets them in nor keeps anybody out.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Auth, Caller, PASSWORD, Store};

async fn the_sixth_bad_login_is_throttled_alike_for_known_and_unknown(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    caller.register("ada@example.com").await;
    let mut told = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        let before = auth.hashes();
        let mut answers = Vec::new();
        for _ in 0..6 {
            let mut answer = caller.login(email, "wrong password").await;
            answer.body["requestId"] = Value::Null;
            answers.push((answer.status, answer.retry_after, answer.body));
        }
        assert_eq!(auth.hashes() - before, 5, "the same work for each, and none for the one that is refused");
        assert_eq!((answers[4].0, answers[5].0), (StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(answers[5].1, Some(900));
        told.push(answers);
    }
    assert_eq!(told[0], told[1]);
}

async fn a_stranger_elsewhere_locks_nobody_out(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    caller.register("ada@example.com").await;
    let (stranger, ada) = (caller.from("203.0.113.7"), caller.from("198.51.100.9"));
    for _ in 0..7 {
        stranger.login("ada@example.com", "wrong password").await;
    }
    assert_eq!(stranger.login("ada@example.com", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ada.login("ada@example.com", PASSWORD).await.status, StatusCode::OK);
}

async fn many_addresses_help_no_one_and_the_owners_own_still_gets_in(store: Store) {
    let auth = Auth::start_with(store, &[("LOGIN_FAILURES_PER_ACCOUNT", "8")]).await;
    let caller = Caller::new(&auth.url);
    caller.register("ada@example.com").await;
    let ada = caller.from("198.51.100.9");
    assert_eq!(ada.login("ada@example.com", PASSWORD).await.status, StatusCode::OK);
    for index in 0..9 {
        caller.from(&format!("203.0.113.{index}")).login("ada@example.com", "wrong password").await;
    }
    let elsewhere = caller.from("203.0.113.200");
    assert_eq!(elsewhere.login("ada@example.com", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ada.login("ada@example.com", PASSWORD).await.status, StatusCode::OK);
}

async fn strangers_keep_nobody_out_where_the_account_was_made(store: Store) {
    for way in ["immediate", "confirmed"] {
        let auth = Auth::start_with(store, &[("REGISTRATION", way), ("LOGIN_FAILURES_PER_ACCOUNT", "8")]).await;
        let caller = Caller::new(&auth.url);
        let (ada, elsewhere) = (caller.from("198.51.100.9"), caller.from("203.0.113.200"));
        let asked = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
        let mut made = ada.post("/api/auth/register", asked).await;
        if way == "confirmed" {
            let code = auth.code_of_letter("Finish making your account").await;
            made = ada.post("/api/auth/register/confirm", json!({"code": code, "password": PASSWORD})).await;
        }
        assert_eq!(made.status, StatusCode::CREATED, "{way}: {made:?}");
        for index in 0..9 {
            caller.from(&format!("203.0.113.{index}")).login("ada@example.com", "wrong password").await;
        }
        let refused = elsewhere.login("ada@example.com", PASSWORD).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{way}");
        assert_eq!(ada.login("ada@example.com", PASSWORD).await.status, StatusCode::OK, "{way}");
    }
}

async fn strangers_who_never_stop_lock_nobody_out_who_reads_their_letters(store: Store) {
    let auth = Auth::start_with(store, &[("LOGIN_FAILURES_PER_ACCOUNT", "8")]).await;
    let caller = Caller::new(&auth.url);
    caller.register("ada@example.com").await;
    let (ada, elsewhere) = (caller.from("198.51.100.9"), caller.from("203.0.113.200"));
    let mut index = 0;
    let mut strangers = async || {
        for _ in 0..9 {
            index += 1;
            caller.from(&format!("203.0.113.{index}")).login("ada@example.com", "wrong password").await;
        }
    };
    strangers().await;
    assert_eq!(ada.login("ada@example.com", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    ada.post("/api/auth/password/forgot", json!({"email": "ada@example.com"})).await;
    let code = auth.code_of_letter("Choose another password").await;
    let reset = json!({"code": code, "newPassword": "another good password"});
    assert_eq!(ada.post("/api/auth/password/reset", reset).await.status, StatusCode::NO_CONTENT);
    strangers().await;
    assert_eq!(ada.login("ada@example.com", "another good password").await.status, StatusCode::OK);
    let refused = elsewhere.login("ada@example.com", "another good password").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "the rest of the world is still kept out");
}

async fn one_address_has_a_hundred_requests_a_minute_on_whichever_instance(store: Store) {
    let auth = Auth::start(store).await;
    let beside = auth.beside().await;
    // In the process each instance counts by itself.
    let urls = if store == Store::Postgres { [&auth.url, &beside.url] } else { [&auth.url, &auth.url] };
    let callers = urls.map(|url| Caller::new(url).from("203.0.113.7"));
    let mut answers = Vec::new();
    for index in 0..101 {
        answers.push(callers[index % 2].refresh("nothing").await);
    }
    assert!(answers[..100].iter().all(|answer| answer.status == StatusCode::UNAUTHORIZED));
    assert_eq!((answers[100].status, answers[100].retry_after), (StatusCode::TOO_MANY_REQUESTS, Some(60)));
    assert_eq!(Caller::new(&auth.url).from("203.0.113.8").refresh("nothing").await.status, StatusCode::UNAUTHORIZED);
    // What is published has a count of its own.
    let names = ["jwks.json", "openid-configuration", "oauth-authorization-server"];
    let paths = names.map(|name| format!("/.well-known/{name}"));
    for index in 0..100 {
        assert_eq!(callers[index % 2].get(&paths[index % 3], "").await.status, StatusCode::OK);
    }
    for path in &paths {
        assert_eq!(callers[0].get(path, "").await.status, StatusCode::TOO_MANY_REQUESTS);
        let here = Caller::new(&auth.url).get(path, "").await;
        assert_eq!(here.status, StatusCode::OK, "services on this machine ask for nobody");
    }
}

#[tokio::test]
async fn without_redis_logins_go_on_and_are_bounded_by_each_instance() {
    let auth = Auth::start_with(Store::Sqlite, &[("REDIS_URL", "redis://127.0.0.1:1/")]).await;
    let caller = Caller::new(&auth.url);
    caller.register("ada@example.com").await;
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::OK);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(caller.login("ada@example.com", "wrong password").await.status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
}

crate::support::on_both_stores!(
    the_sixth_bad_login_is_throttled_alike_for_known_and_unknown,
    a_stranger_elsewhere_locks_nobody_out,
    many_addresses_help_no_one_and_the_owners_own_still_gets_in,
    strangers_keep_nobody_out_where_the_account_was_made,
    strangers_who_never_stop_lock_nobody_out_who_reads_their_letters,
    one_address_has_a_hundred_requests_a_minute_on_whichever_instance,
);
