//! The service over HTTP, on both stores.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kit::testing::Store;
use mana_core_auth::testing::{Auth, SERVICE_TOKEN};
use reqwest::{Client, Response, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

struct Caller<'a> {
    auth: &'a Auth,
    client: Client,
}

impl<'a> Caller<'a> {
    fn new(auth: &'a Auth) -> Self {
        Self { auth, client: Client::new() }
    }

    async fn post(&self, path: &str, body: Value) -> Response {
        self.client.post(format!("{}{path}", self.auth.url)).json(&body).send().await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> Response {
        self.client.get(format!("{}{path}", self.auth.url)).bearer_auth(token).send().await.unwrap()
    }

    async fn internal(&self, what: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/api/internal/credits/{what}", self.auth.url);
        let answer = self.client.post(url).header("x-service-token", SERVICE_TOKEN).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn register(&self, email: &str) -> Value {
        let answer = self
            .post("/api/auth/register", json!({"email": email, "password": "a good password", "name": "Ada"}))
            .await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json().await.unwrap()
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

async fn a_person_registers_signs_in_and_out(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth);
    let registered = caller.register(" Ada@Example.com ").await;
    assert_eq!((text(&registered, "tokenType"), registered["expiresIn"].as_u64()), ("Bearer", Some(900)));
    assert_eq!(registered["user"]["email"], "ada@example.com");

    let again = caller
        .post("/api/auth/register", json!({"email": "ada@example.com", "password": "a good password", "name": "Eve"}))
        .await;
    assert_eq!(again.status(), StatusCode::CONFLICT);

    let token = text(&registered, "accessToken");
    let me: Value = caller.get("/api/auth/me", token).await.json().await.unwrap();
    assert_eq!(me["name"], "Ada");
    let balance: Value = caller.get("/api/credits/balance", token).await.json().await.unwrap();
    assert_eq!(balance, json!({"balance": 50, "free": 50, "paid": 0}));

    let login = caller
        .post("/api/auth/login", json!({"email": "ADA@example.com", "password": "a good password", "appId": "chat"}))
        .await;
    assert_eq!(login.status(), StatusCode::OK);
    let login: Value = login.json().await.unwrap();
    let sessions: Value = caller.get("/api/auth/sessions", token).await.json().await.unwrap();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 2);
    let other = sessions["sessions"].as_array().unwrap().iter().find(|session| session["current"] == false).unwrap();
    assert_eq!(other["appId"], "chat");

    let revoke = format!("{}/api/auth/sessions/{}", auth.url, text(other, "id"));
    for expected in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        assert_eq!(caller.client.delete(&revoke).bearer_auth(token).send().await.unwrap().status(), expected);
    }
    assert_eq!(caller.get("/api/auth/me", text(&login, "accessToken")).await.status(), StatusCode::UNAUTHORIZED);
    let refresh = json!({"refreshToken": text(&login, "refreshToken")});
    assert_eq!(caller.post("/api/auth/refresh", refresh).await.status(), StatusCode::UNAUTHORIZED);

    let refresh = json!({"refreshToken": text(&registered, "refreshToken")});
    assert_eq!(caller.post("/api/auth/logout", refresh.clone()).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(caller.post("/api/auth/refresh", refresh).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(caller.get("/api/auth/me", token).await.status(), StatusCode::UNAUTHORIZED);
}

async fn a_wrong_registration_names_every_field(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth);
    let answer = caller.post("/api/auth/register", json!({"email": "x", "password": "short", "name": ""})).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let body: Value = answer.json().await.unwrap();
    let fields: Vec<&str> = body["errors"].as_array().unwrap().iter().map(|error| text(error, "field")).collect();
    assert_eq!(fields, ["email", "name", "password"]);
    let extra = caller
        .post(
            "/api/auth/register",
            json!({"email": "a@b.c", "password": "a good password", "name": "A", "role": "admin"}),
        )
        .await;
    assert_eq!(extra.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn internal_endpoints_are_closed_without_the_service_token() {
    let auth = Auth::start(Store::Sqlite).await;
    let caller = Caller::new(&auth);
    let person = caller.register("ada@example.com").await;
    let user = person["user"]["id"].clone();
    for what in ["grant", "reserve", "reserve/many", "settle", "settle/many", "release"] {
        let url = format!("{}/api/internal/credits/{what}", auth.url);
        let body = json!({"userId": user, "amount": 1, "idempotencyKey": "k", "reservationId": user});
        let calls = [
            caller.client.post(&url).json(&body),
            caller.client.post(&url).json(&body).header("x-service-token", "wrong"),
            caller.client.post(&url).json(&body).header("x-service-token", ""),
            caller.client.post(&url).json(&body).bearer_auth(SERVICE_TOKEN),
            caller.client.post(&url).json(&body).bearer_auth(text(&person, "accessToken")),
        ];
        for call in calls {
            assert_eq!(call.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{what}");
        }
    }
    let (status, body) = caller.internal("grant", json!({"userId": user, "amount": 0.5, "idempotencyKey": "k"})).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"balance": 50.5})));
}

async fn an_empty_schema_is_unready(store: Store) {
    let auth = Auth::start_unmigrated(store).await;
    let ready = |expected: StatusCode| {
        let url = format!("{}/api/health/ready", auth.url);
        async move { assert_eq!(Client::new().get(url).send().await.unwrap().status(), expected) }
    };
    ready(StatusCode::SERVICE_UNAVAILABLE).await;
    mana_core_auth::MIGRATIONS.run(&auth.database).await.unwrap();
    ready(StatusCode::OK).await;
}

async fn the_history_is_paged_and_tells_the_balance(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth);
    let person = caller.register("ada@example.com").await;
    let user = &person["user"]["id"];
    let (_, held) = caller
        .internal("reserve", json!({"userId": user, "amount": 3, "idempotencyKey": "a", "reason": "three"}))
        .await;
    let settle = json!({"userId": user, "reservationId": held["reservationId"], "amount": 1});
    assert_eq!(caller.internal("settle", settle).await, (StatusCode::OK, json!({"balance": 49, "version": 3})));
    let page = |query: &'static str| caller.get(query, text(&person, "accessToken"));
    let first: Value = page("/api/credits/transactions?limit=2").await.json().await.unwrap();
    let lines = first["transactions"].as_array().unwrap();
    let told: Vec<_> =
        lines.iter().map(|line| (text(line, "kind"), line["amount"].clone(), line["balance"].clone())).collect();
    assert_eq!(told, [("settle", json!(2), json!(49)), ("reserve", json!(-3), json!(47))]);
    let next = format!("/api/credits/transactions?limit=2&cursor={}", text(&first, "nextCursor"));
    let last: Value = caller.get(&next, text(&person, "accessToken")).await.json().await.unwrap();
    assert_eq!(last["transactions"][0]["reason"], "sign-up");
    assert_eq!(last.get("nextCursor"), None);
    assert_eq!(page("/api/credits/transactions?limit=0").await.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

async fn entries_cannot_be_changed(store: Store) {
    let auth = Auth::start(store).await;
    Caller::new(&auth).register("ada@example.com").await;
    let further = match store {
        Store::Sqlite => vec![
            "INSERT OR REPLACE INTO entries SELECT posting_id, account, user_id, amount + 1 FROM entries LIMIT 1",
            "REPLACE INTO postings SELECT * FROM postings LIMIT 1",
            "UPDATE OR REPLACE entries SET account = 'spent'",
            "UPDATE OR IGNORE postings SET balance_after = 1",
            "INSERT INTO entries SELECT * FROM entries LIMIT 1 ON CONFLICT DO UPDATE SET amount = 1",
        ],
        Store::Postgres => vec![
            "TRUNCATE entries",
            "TRUNCATE postings CASCADE",
            "INSERT INTO entries SELECT * FROM entries LIMIT 1 ON CONFLICT (posting_id, account) DO UPDATE SET amount = 1",
            "WITH gone AS (DELETE FROM entries RETURNING 1) SELECT COUNT(*) FROM gone",
            "MERGE INTO entries e USING (SELECT 1) one ON true WHEN MATCHED THEN DELETE",
        ],
    };
    for statement in [
        "UPDATE entries SET amount = 1",
        "DELETE FROM entries",
        "UPDATE postings SET kind = 'x'",
        "DELETE FROM postings",
    ]
    .into_iter()
    .chain(further)
    {
        let error = auth.database.execute_unprepared(statement).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
    assert_eq!(auth.ledger_findings().await, Vec::<String>::new());
}

/// Another role than the tables' owner, as production may have one for the service: it cannot even switch the rules off.
#[tokio::test]
async fn a_role_that_does_not_own_the_tables_cannot_switch_the_rules_off() {
    let auth = Auth::start(Store::Postgres).await;
    Caller::new(&auth).register("ada@example.com").await;
    let role = format!("service_{}", kit::clock::new_id().simple());
    let run = async |statement: String| auth.database.execute_unprepared(&statement).await;
    run(format!(
        "CREATE ROLE {role}; GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO {role}"
    ))
    .await
    .unwrap();
    for (statement, expected) in [
        ("ALTER TABLE entries DISABLE TRIGGER ALL", "must be owner"),
        ("DROP TRIGGER entries_are_not_changed ON entries", "must be owner"),
        ("DROP TABLE entries", "must be owner"),
        ("SET session_replication_role = replica", "permission denied"),
        ("UPDATE entries SET amount = 1", "append-only"),
        ("TRUNCATE entries", "append-only"),
    ] {
        let error = run(format!("SET LOCAL ROLE {role}; {statement}")).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{statement}: {error}");
    }
    run(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn the_openapi_document_names_every_route() {
    let auth = Auth::start(Store::Sqlite).await;
    let document: Value = Caller::new(&auth).get("/api/openapi.json", "").await.json().await.unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    for path in [
        "/api/auth/register",
        "/api/auth/login",
        "/api/auth/refresh",
        "/api/auth/logout",
        "/api/auth/me",
        "/api/auth/sessions",
        "/api/auth/sessions/{id}",
        "/api/credits/balance",
        "/api/credits/transactions",
        "/api/internal/credits/reserve",
        "/api/internal/credits/reserve/many",
        "/api/internal/credits/settle/many",
    ] {
        assert!(paths.iter().any(|known| *known == path), "{path} is not among {paths:?}");
    }
}

macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => { mod sqlite { $(#[tokio::test] async fn $name() { super::$name(super::Store::Sqlite).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(super::Store::Postgres).await; })* } };
}

on_both_stores!(
    a_person_registers_signs_in_and_out,
    a_wrong_registration_names_every_field,
    an_empty_schema_is_unready,
    the_history_is_paged_and_tells_the_balance,
    entries_cannot_be_changed,
);
