//! What people do with all that is theirs: take it along, and delete it.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Auth, Caller, PASSWORD, Store, number};

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
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM entries").await, 4, "entries stay");
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

crate::support::on_both_stores!(
    a_deleted_account_leaves_a_balanced_ledger_that_names_nobody,
    an_export_holds_everything_and_no_secret,
);
