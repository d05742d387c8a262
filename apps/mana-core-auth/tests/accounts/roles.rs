//! Roles beside user and admin: what commands give, tokens say, and services ask for.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use kit::Problem;
use kit::auth::{User, Verifier};
use kit::config::Env;
use kit::service::Service;
use kit::testing::Running;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Auth, Caller, ISSUER, SERVICE_TOKEN, Store};

/// A service with something that is for one role.
async fn desk(auth: &Auth) -> Running {
    let env = Env::table([
        ("TOKEN_ISSUER", ISSUER),
        ("MANA_CORE_AUTH_URL", auth.url.as_str()),
        ("SERVICE_TOKEN", SERVICE_TOKEN),
        ("MANA_PROJECT", "chat"),
    ]);
    let tickets = async |user: User| -> Result<&'static str, Problem> {
        user.require_role("support")?;
        Ok("all tickets")
    };
    let service = Service::new(Router::new().route("/tickets", get(tickets)));
    Running::start(service.verifier(Arc::new(Verifier::read(&env).unwrap())).into_router()).await
}

async fn a_role_opens_what_asks_for_it_and_no_other(store: Store) {
    let auth = Auth::start_with(store, &[("ROLES", "support billing")]).await;
    let (caller, desk) = (Caller::new(&auth.url), desk(&auth).await);
    let desk = Caller::new(&desk.url);
    let ada = caller.register("ada@example.com").await;
    let role = async |change: &str, name: &str| {
        auth.command(&["role", "--email", "ada@example.com", change, name]).await.map_err(|error| error.to_string())
    };
    assert_eq!(desk.get("/tickets", ada.access()).await.code(), (403, "forbidden"));
    role("--add", "billing").await.unwrap();
    let ada = caller.refresh(ada.refresh()).await;
    assert_eq!(ada.body["user"]["roles"], json!(["billing"]));
    assert_eq!(desk.get("/tickets", ada.access()).await.code(), (403, "forbidden"));
    role("--add", "support").await.unwrap();
    let ada = caller.refresh(ada.refresh()).await;
    assert_eq!(ada.body["user"]["roles"], json!(["billing", "support"]));
    assert_eq!(desk.get("/tickets", ada.access()).await.status, StatusCode::OK);
    assert_eq!(caller.get("/api/auth/me", ada.access()).await.body["role"], "user");

    let gift = json!({"amount": 1, "reason": "for nobody"});
    for (method, path, body) in [
        (Method::POST, "/api/admin/gift-codes", Some(gift)),
        (Method::GET, "/api/admin/gift-codes", None),
        (Method::GET, "/api/admin/credits/transactions?userId=00000000-0000-0000-0000-000000000000", None),
    ] {
        let answer = caller.send(method, path, ada.access(), body).await;
        assert_eq!(answer.code(), (403, "forbidden"), "{path} is for administrators");
    }

    role("--remove", "support").await.unwrap();
    let ada = caller.refresh(ada.refresh()).await;
    assert_eq!(desk.get("/tickets", ada.access()).await.code(), (403, "forbidden"));
    let unknown = role("--add", "suport").await.unwrap_err();
    assert_eq!(unknown, "\"suport\" is no role; ROLES names billing support");
    assert!(role("--add", "admin").await.is_err(), "that is what `make-admin` is for");
}

crate::support::on_both_stores!(a_role_opens_what_asks_for_it_and_no_other);
