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
use serde_json::{Value, json};

use crate::support::{Auth, Caller, ISSUER, PASSWORD, SERVICE_TOKEN, Store};

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

/// Every address that is for administrators, with a call that is understood.
fn for_administrators() -> Vec<(Method, &'static str, Option<Value>)> {
    let nobody = "00000000-0000-0000-0000-000000000000";
    vec![
        (
            Method::POST,
            "/api/admin/credits/grant",
            Some(json!({"userId": nobody, "amount": 1, "reason": "r", "idempotencyKey": "k"})),
        ),
        (
            Method::POST,
            "/api/admin/credits/reverse",
            Some(json!({"userId": nobody, "postingId": nobody, "reason": "r"})),
        ),
        (Method::GET, "/api/admin/credits/transactions?userId=00000000-0000-0000-0000-000000000000", None),
        (Method::POST, "/api/admin/gift-codes", Some(json!({"amount": 1, "reason": "r"}))),
        (Method::GET, "/api/admin/gift-codes", None),
        (Method::DELETE, "/api/admin/gift-codes/00000000-0000-0000-0000-000000000000", None),
    ]
}

async fn who_is_no_administrator_any_more_administers_nothing_from_then_on(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let document = caller.get("/api/openapi.json", "").await.body;
    let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/api/admin/"));
    let methods = ["get", "post", "put", "patch", "delete"];
    let there = paths.flat_map(|(_, of)| methods.iter().filter(move |method| of.get(**method).is_some())).count();
    assert_eq!(for_administrators().len(), there, "each is tried");

    for (email, command, refused) in [
        ("ada@example.com", &["set-role", "--email", "ada@example.com", "--role", "user"][..], StatusCode::FORBIDDEN),
        ("bob@example.com", &["disable", "--email", "bob@example.com"][..], StatusCode::UNAUTHORIZED),
    ] {
        caller.register(email).await;
        auth.make_admin(email).await;
        // Says that it is an administrator's for as long as it lives.
        let token = caller.login(email, PASSWORD).await.access().to_owned();
        for (method, path, body) in for_administrators() {
            let answer = caller.send(method, path, &token, body).await;
            assert!(![401, 403, 422].contains(&answer.status.as_u16()), "{path}: {answer:?}");
        }
        auth.command(command).await.unwrap();
        for (method, path, body) in for_administrators() {
            assert_eq!(caller.send(method, path, &token, body).await.status, refused, "{path} after {command:?}");
        }
    }
}

crate::support::on_both_stores!(
    a_role_opens_what_asks_for_it_and_no_other,
    who_is_no_administrator_any_more_administers_nothing_from_then_on,
);
