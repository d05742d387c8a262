//! What people do with all that is theirs: take it along, and delete it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::routing::delete;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Auth, Caller, PASSWORD, Store, number, sql};

async fn a_deleted_account_leaves_a_balanced_ledger_that_names_nobody(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let (ada, eve) = (caller.register("ada@example.com").await, caller.register("eve@example.com").await);
    let delete = async |body| caller.post_as(ada.access(), "/api/auth/account/delete", body).await;
    assert_eq!(delete(json!({})).await.code(), (403, "wrong_password"));
    assert_eq!(delete(json!({"password": "wrong password"})).await.code(), (403, "wrong_password"));
    assert!(caller.is_in(ada.access()).await);
    assert_eq!(delete(json!({"password": PASSWORD})).await.status, StatusCode::NO_CONTENT);

    assert!(!caller.is_in(ada.access()).await);
    assert_eq!(caller.refresh(ada.refresh()).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(auth.ledger_findings().await, Vec::<String>::new());
    assert_eq!(
        number(&auth, "SELECT COUNT(*) FROM entries").await,
        6,
        "entries stay, and one more posting says what was given up"
    );
    let named = "SELECT COUNT(*) FROM users WHERE email LIKE '%ada%' OR name = 'Ada' OR password_hash LIKE '$%'";
    assert_eq!(number(&auth, named).await, 1, "only the other one is named");
    for table in ["sessions", "letters"] {
        let left = format!(
            "SELECT COUNT(*) FROM {table} WHERE user_id IN (SELECT id FROM users WHERE deleted_at IS NOT NULL)"
        );
        assert_eq!(number(&auth, &left).await, 0, "{table}");
    }
    assert!(caller.is_in(eve.access()).await);
    let again = caller.register("ada@example.com").await;
    assert_ne!(again.body["user"]["id"], ada.body["user"]["id"], "the address is free again, for somebody new");
}

async fn an_export_holds_everything_and_no_secret(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    caller.login("ada@example.com", PASSWORD).await;
    let export = caller.get("/api/auth/account/export", ada.access()).await;
    assert_eq!(export.status, StatusCode::OK);
    assert_eq!(export.body["account"]["email"], "ada@example.com");
    assert_eq!(export.body["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(export.body["transactions"][0]["balance"], json!(50));
    let text = export.body.to_string();
    assert!(!text.contains("argon2") && !text.contains(ada.refresh()), "{text}");
    assert_eq!(caller.get("/api/auth/account/export", "").await.status, StatusCode::UNAUTHORIZED);
}

async fn an_export_of_many_sessions_is_one_whole_document(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    // Several pages' worth: one more than fill pages, then as many as fill them.
    for (more, all) in [(1_000, 1_001), (499, 1_500)] {
        let (numbers, id) = match store {
            Store::Sqlite => (
                format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {more})"),
                "randomblob(16)",
            ),
            Store::Postgres => (format!("WITH n AS (SELECT generate_series(1, {more}) AS i)"), "gen_random_uuid()"),
        };
        let statement = format!(
            "{numbers} INSERT INTO sessions (id, user_id, app_id, user_agent, created_at, last_used_at)
            SELECT {id}, s.user_id, s.app_id, 'a \"browser\", it says', s.created_at, s.last_used_at FROM n,
            (SELECT user_id, app_id, created_at, last_used_at FROM sessions LIMIT 1) s"
        );
        sql(&auth, &statement).await;
        let export = caller.get("/api/auth/account/export", ada.access()).await;
        let sessions = export.body["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), all);
        let quoted = sessions.iter().filter(|session| session["browser"] == "a \"browser\", it says").count();
        assert_eq!(quoted, all - 1);
        assert_eq!(export.body["transactions"].as_array().unwrap().len(), 1);
        assert_eq!(export.body["account"]["email"], "ada@example.com");
    }
}

/// What a deletion was told with: whose it was, and the token.
type Told = Arc<Mutex<Vec<(String, String)>>>;

/// A service that keeps something of people, and fails when it is told for the first time.
async fn keeper(told: Told) -> String {
    let forget = async move |Path(id): Path<String>, headers: HeaderMap| {
        let token = headers.get("x-service-token").and_then(|token| token.to_str().ok()).unwrap_or_default();
        let mut told = told.lock().unwrap();
        told.push((id, token.to_owned()));
        if told.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/internal/users", listener.local_addr().unwrap());
    let router = Router::new().route("/api/internal/users/{id}", delete(forget));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn other_services_forget_a_deleted_account_however_often_they_have_to_be_told(store: Store) {
    let told = Told::default();
    let url = keeper(Arc::clone(&told)).await;
    let auth = Auth::start_with(store, &[("FORGET_URLS", &url)]).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    let deleted = caller.post_as(ada.access(), "/api/auth/account/delete", json!({"password": PASSWORD})).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    let left = async || number(&auth, "SELECT COUNT(*) FROM farewells").await;
    assert_eq!(left().await, 1, "it is written down until it is done");
    let began = std::time::Instant::now();
    while left().await > 0 {
        assert!(began.elapsed() < Duration::from_mins(1), "{told:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let id = ada.body["user"]["id"].as_str().unwrap().to_owned();
    let once = (id, mana_core_auth::testing::SERVICE_TOKEN.to_owned());
    assert_eq!(*told.lock().unwrap(), [once.clone(), once]);
}

crate::support::on_both_stores!(
    other_services_forget_a_deleted_account_however_often_they_have_to_be_told,
    a_deleted_account_leaves_a_balanced_ledger_that_names_nobody,
    an_export_holds_everything_and_no_secret,
    an_export_of_many_sessions_is_one_whole_document,
);
