//! What people and administrators do with credits, over HTTP, on both stores: gift codes, grants, the history.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use futures_util::future::join_all;
use kit::KeptBalance;
use kit::testing::Store;
use mana_core_auth::testing::{Auth, SERVICE_TOKEN};
use reqwest::{Client, Method, Response, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

struct World {
    auth: Auth,
    client: Client,
}

struct Person {
    id: Value,
    token: String,
}

impl World {
    async fn start(store: Store) -> Self {
        Self::start_with(store, &[]).await
    }

    async fn start_with(store: Store, settings: &[(&str, &str)]) -> Self {
        Self { auth: Auth::start_with(store, settings).await, client: Client::new() }
    }

    async fn person(&self, name: &str) -> Person {
        let email = format!("{name}@example.com");
        let body = json!({"email": email, "password": "a good password", "name": name});
        let answer = self.client.post(format!("{}/api/auth/register", self.auth.url)).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        Person { id: answer["user"]["id"].clone(), token: answer["accessToken"].as_str().unwrap().to_owned() }
    }

    async fn admin(&self) -> Person {
        self.person("root").await;
        self.auth.make_admin("root@example.com").await;
        self.admin_for("mana").await
    }

    /// The administrator, with a token for an app.
    async fn admin_for(&self, app: &str) -> Person {
        let body = json!({"email": "root@example.com", "password": "a good password", "appId": app});
        let answer = self.client.post(format!("{}/api/auth/login", self.auth.url)).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        Person { id: answer["user"]["id"].clone(), token: answer["accessToken"].as_str().unwrap().to_owned() }
    }

    async fn send(&self, person: &Person, method: Method, path: &str, body: Option<Value>) -> Response {
        let call = self.client.request(method, format!("{}{path}", self.auth.url)).bearer_auth(&person.token);
        let call = if let Some(body) = body { call.json(&body) } else { call };
        call.send().await.unwrap()
    }

    async fn call(&self, person: &Person, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let answer = self.send(person, method, path, body).await;
        let status = answer.status();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn get(&self, person: &Person, path: &str) -> Value {
        let (status, body) = self.call(person, Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn redeem(&self, person: &Person, code: &str) -> (StatusCode, Value) {
        self.call(person, Method::POST, "/api/credits/redeem", Some(json!({"code": code}))).await
    }

    async fn make_code(&self, admin: &Person, mut body: Value) -> Value {
        body["reason"] = json!("for a test");
        let (status, made) = self.call(admin, Method::POST, "/api/admin/gift-codes", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made
    }

    async fn internal(&self, what: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/api/internal/credits/{what}", self.auth.url);
        let answer = self.client.post(url).header("x-service-token", SERVICE_TOKEN).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn finish(self) {
        assert_eq!(self.auth.ledger_findings().await, Vec::<String>::new());
    }
}

async fn a_gift_code_gives_its_credits_once_to_each(store: Store) {
    let world = World::start(store).await;
    let (admin, ada, grace, eve) =
        (world.admin().await, world.person("ada").await, world.person("grace").await, world.person("eve").await);
    let made = world.make_code(&admin, json!({"amount": 12.5, "uses": 2})).await;
    let code = made["code"].as_str().unwrap();
    assert!(code.len() == 6 && !code.contains(['I', 'O', '0', '1']), "{code}");

    let written = format!(" {}-{} ", &code[..3].to_lowercase(), &code[3..]);
    assert_eq!(world.redeem(&ada, &written).await, (StatusCode::OK, json!({"balance": 62.5})));
    assert_eq!(world.redeem(&ada, code).await.0, StatusCode::CONFLICT, "once");
    assert_eq!(world.redeem(&grace, code).await.0, StatusCode::OK);
    assert_eq!(world.redeem(&eve, code).await.0, StatusCode::NOT_FOUND, "it is used up");
    assert_eq!(world.redeem(&ada, code).await.0, StatusCode::CONFLICT, "whoever had it is told so");
    assert_eq!(world.redeem(&eve, "ABC").await.0, StatusCode::UNPROCESSABLE_ENTITY);

    let codes = world.get(&admin, "/api/admin/gift-codes").await;
    assert_eq!((&codes["codes"][0]["used"], &codes["codes"][0]["uses"]), (&json!(2), &json!(2)));
    assert_eq!(codes["codes"][0]["madeBy"], format!("admin {}", admin.id.as_str().unwrap()));
    let history = world.get(&ada, "/api/credits/transactions").await;
    let line = &history["transactions"][0];
    assert_eq!((&line["kind"], &line["amount"], &line["balance"]), (&json!("gift"), &json!(12.5), &json!(62.5)));
    world.finish().await;
}

async fn of_many_who_redeem_a_code_at_once_exactly_as_many_as_it_allows_get_it(store: Store) {
    let world = World::start(store).await;
    let admin = world.admin().await;
    let made = world.make_code(&admin, json!({"amount": 5, "uses": 3})).await;
    let mut people = Vec::new();
    for n in 0..8 {
        people.push(world.person(&format!("person{n}")).await);
    }
    // Each twice: nobody gets it twice either.
    let tries = people.iter().chain(&people).map(|person| world.redeem(person, made["code"].as_str().unwrap()));
    let outcomes = join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.0 == StatusCode::OK).count(), 3, "{outcomes:?}");
    let mut rich = 0;
    for person in &people {
        let balance = world.get(person, "/api/credits/balance").await["balance"].as_i64().unwrap();
        rich += i64::from(balance == 55);
        assert!([50, 55].contains(&balance), "{balance}");
    }
    assert_eq!(rich, 3);
    world.finish().await;
}

async fn a_grant_with_a_key_is_given_once_however_often_its_command_is_run(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let grant = async |credits: &str, key: &[&str]| {
        let usual = ["grant", "--email", "ada@example.com", "--credits", credits, "--reason", "owed"];
        let arguments: Vec<_> = usual.iter().chain(key).copied().collect();
        world.auth.command(&arguments).await.map_err(|error| error.to_string())
    };
    let balance = async || world.get(&ada, "/api/credits/balance").await["balance"].clone();
    for _ in 0..3 {
        grant("9", &["--key", "invoice 17"]).await.unwrap();
        assert_eq!(balance().await, json!(59));
    }
    // A month later somebody looks through the invoices once more.
    let aged = "UPDATE idempotency_keys SET created_at = created_at - 2592000000";
    world.auth.database.execute_unprepared(aged).await.unwrap();
    world.auth.keep_house().await;
    grant("9", &["--key", "invoice 17"]).await.unwrap();
    assert_eq!(balance().await, json!(59));
    let other = grant("10", &["--key", "invoice 17"]).await.unwrap_err();
    assert_eq!(other, "this idempotency key was used for something else");
    grant("1", &[]).await.unwrap();
    grant("1", &[]).await.unwrap();
    assert_eq!(balance().await, json!(61), "without a key each is one of its own");
    world.finish().await;
}

async fn codes_expire_are_withdrawn_and_cannot_be_guessed_for_long(store: Store) {
    let world = World::start(store).await;
    let (admin, ada, eve) = (world.admin().await, world.person("ada").await, world.person("eve").await);
    let expired = world.make_code(&admin, json!({"amount": 5, "expiresInDays": 1})).await;
    world.auth.database.execute_unprepared("UPDATE gift_codes SET expires_at = 1").await.unwrap();
    assert_eq!(world.redeem(&ada, expired["code"].as_str().unwrap()).await.0, StatusCode::NOT_FOUND);
    let withdrawn = world.make_code(&admin, json!({"amount": 5})).await;
    let path = format!("/api/admin/gift-codes/{}", withdrawn["id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(world.call(&admin, Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(world.redeem(&ada, withdrawn["code"].as_str().unwrap()).await.0, StatusCode::NOT_FOUND);

    let good = world.make_code(&admin, json!({"amount": 5})).await;
    let tries = join_all((0..20).map(|_| world.redeem(&eve, "ZZZZZZ"))).await;
    let count = |status| tries.iter().filter(|answer| answer.0 == status).count();
    assert_eq!((count(StatusCode::NOT_FOUND), count(StatusCode::TOO_MANY_REQUESTS)), (10, 10), "{tries:?}");
    let answer = world.send(&eve, Method::POST, "/api/credits/redeem", Some(json!({"code": good["code"]}))).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS, "even the right one");
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(world.redeem(&ada, good["code"].as_str().unwrap()).await.0, StatusCode::OK, "others are not hindered");
    world.finish().await;
}

async fn how_often_codes_may_be_tried_is_a_setting(store: Store) {
    let world =
        World::start_with(store, &[("GIFT_TRIES", "3"), ("GIFT_TRIES_PER_ADDRESS", "5"), ("GIFT_WINDOW", "2m")]).await;
    let mut refused = Vec::new();
    for name in ["ada", "eve"] {
        let person = world.person(name).await;
        for _ in 0..4 {
            let body = json!({"code": "ZZZZZZ"});
            let answer = world.send(&person, Method::POST, "/api/credits/redeem", Some(body)).await;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                assert_eq!(answer.headers()["retry-after"], "120");
                refused.push(name);
            }
        }
    }
    // By account the one's fourth; by address the sixth of those that no account's count refused, which is the other's third.
    assert_eq!(refused, ["ada", "eve", "eve"]);
    world.finish().await;
}

async fn only_administrators_make_codes_and_give_credits(store: Store) {
    let world = World::start(store).await;
    let (admin, ada) = (world.admin().await, world.person("ada").await);
    let grant =
        json!({"userId": ada.id, "amount": 9, "reason": "=cmd|' /C calc'!A0", "funds": "paid", "idempotencyKey": "k"});
    let code = json!({"amount": 1, "reason": "mine"});
    for (path, body) in [("/api/admin/credits/grant", &grant), ("/api/admin/gift-codes", &code)] {
        assert_eq!(world.call(&ada, Method::POST, path, Some(body.clone())).await.0, StatusCode::FORBIDDEN, "{path}");
        let anyone = world.client.post(format!("{}{path}", world.auth.url)).json(body).send().await.unwrap();
        assert_eq!(anyone.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    for _ in 0..2 {
        let granted = world.call(&admin, Method::POST, "/api/admin/credits/grant", Some(grant.clone())).await;
        assert_eq!(granted, (StatusCode::OK, json!({"balance": 59})));
    }
    for (app, status) in [("chat", StatusCode::FORBIDDEN), ("mana-core-auth", StatusCode::OK)] {
        let there = world.admin_for(app).await;
        let codes = world.call(&there, Method::GET, "/api/admin/gift-codes", None).await;
        assert_eq!(codes.0, status, "with a token for {app}");
        assert_eq!(world.call(&there, Method::GET, "/api/credits/balance", None).await.0, StatusCode::OK, "{app}");
    }
    let mut silent = grant.clone();
    silent["reason"] = json!(" ");
    let refused = world.call(&admin, Method::POST, "/api/admin/credits/grant", Some(silent)).await;
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "without a reason");

    let whose = format!("/api/admin/credits/transactions?userId={}", ada.id.as_str().unwrap());
    let line = world.get(&admin, &whose).await["transactions"][0].clone();
    assert_eq!(line["actor"], format!("admin {}", admin.id.as_str().unwrap()));
    assert_eq!(line["reason"], grant["reason"]);
    let own = world.get(&ada, "/api/credits/transactions").await;
    assert_eq!(own["transactions"][0].get("actor"), None, "who it was is not the user's business");

    // Whoever was an administrator is none from the moment on, whatever the token says.
    world.auth.database.execute_unprepared("UPDATE users SET role = 'user'").await.unwrap();
    assert_eq!(world.call(&admin, Method::GET, &whose, None).await.0, StatusCode::FORBIDDEN);
    world.finish().await;
}

async fn free_credits_are_spent_before_paid_ones_and_go_back_to_where_they_came_from(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let grant = json!({"userId": ada.id, "amount": 30, "funds": "paid", "idempotencyKey": "k"});
    assert_eq!(world.internal("grant", grant).await.1["balance"], 80);
    let standing = async || world.get(&ada, "/api/credits/balance").await;
    let reserve = async |amount: i64, key: &str| {
        let body = json!({"userId": ada.id, "amount": amount, "idempotencyKey": key});
        world.internal("reserve", body).await.1["reservationId"].clone()
    };
    let (first, second) = (reserve(40, "a").await, reserve(25, "b").await);
    assert_eq!(standing().await, json!({"balance": 15, "free": 0, "paid": 15}), "10 free and 15 paid are held by b");
    world.internal("release", json!({"userId": ada.id, "reservationId": first})).await;
    assert_eq!(standing().await, json!({"balance": 55, "free": 40, "paid": 15}));
    // Of 10 free and 15 paid, 12 are spent: all of the free ones, and 2 of the paid.
    world.internal("settle", json!({"userId": ada.id, "reservationId": second, "amount": 12})).await;
    assert_eq!(standing().await, json!({"balance": 68, "free": 40, "paid": 28}));
    world.finish().await;
}

async fn the_history_is_exported_whole_and_safe_to_open(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    // More than a page of the export.
    let calls = (0..700).map(|n| {
        let reason = if n == 0 { "=1+1" } else { "a \"reason\", with a comma" };
        let body = json!({"userId": ada.id, "amount": 1, "idempotencyKey": n.to_string(), "reason": reason});
        world.internal("grant", body)
    });
    assert!(join_all(calls).await.iter().all(|answer| answer.0 == StatusCode::OK));
    let answer = world.send(&ada, Method::GET, "/api/credits/transactions.csv", None).await;
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8; header=present");
    assert!(answer.headers()["content-disposition"].to_str().unwrap().contains("credits.csv"));
    let text = answer.text().await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 702, "a head, 700 grants and the sign-up");
    assert!(lines[1].contains(r#""grant",1,750,"#), "{}", lines[1]);
    assert!(lines[701].contains(r#""grant",50,50,"sign-up""#), "{}", lines[701]);
    assert_eq!(lines.iter().filter(|line| line.contains("\"'=1+1\"")).count(), 1);
    assert!(!text.contains("\"=1"), "nothing begins a formula");
    // The running balance of each line is the one below it and its amount.
    let balances: Vec<i64> = lines[1..].iter().map(|line| line.split(',').nth(3).unwrap().parse().unwrap()).collect();
    assert!(balances.windows(2).all(|pair| pair[0] == pair[1] + 1), "{balances:?}");
    let all = world.get(&ada, "/api/auth/account/export").await;
    let told = all["transactions"].as_array().unwrap().iter().map(|line| line["balance"].as_i64().unwrap());
    assert_eq!(told.collect::<Vec<_>>(), balances, "and all of it is among what the account takes along");
    assert_eq!(all["account"]["email"], "ada@example.com");
    world.finish().await;
}

async fn a_closed_account_gives_back_what_it_holds_and_takes_nothing_more(store: Store) {
    let world = World::start(store).await;
    let (admin, ada) = (world.admin().await, world.person("ada").await);
    let made = world.make_code(&admin, json!({"amount": 5})).await;
    let body = json!({"userId": ada.id, "amount": 20, "idempotencyKey": "a"});
    let held = world.internal("reserve", body.clone()).await.1["reservationId"].clone();
    let user = ada.id.as_str().unwrap().parse().unwrap();
    for _ in 0..2 {
        world.auth.close(user).await;
    }
    assert_eq!(world.internal("reserve", body).await.0, StatusCode::NOT_FOUND);
    let grant = json!({"userId": ada.id, "amount": 20, "idempotencyKey": "g"});
    assert_eq!(world.internal("grant", grant).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.redeem(&ada, made["code"].as_str().unwrap()).await.0, StatusCode::NOT_FOUND);
    let settle = json!({"userId": ada.id, "reservationId": held});
    assert_eq!(world.internal("settle", settle).await.0, StatusCode::CONFLICT, "it was released");
    assert_eq!(world.get(&ada, "/api/credits/balance").await["balance"], 0);
    world.finish().await;
}

#[tokio::test]
async fn what_changes_here_shows_in_the_cache_that_services_share() {
    let world = World::start(Store::Postgres).await;
    let (admin, ada) = (world.admin().await, world.person("ada").await);
    let user = ada.id.as_str().unwrap().parse().unwrap();
    let kept = async || {
        KeptBalance::kept(&world.auth.shared_cache(), user).await.unwrap().map(|kept| kept.balance.to_string())
    };
    assert_eq!(kept().await, None);
    let grant = json!({"userId": ada.id, "amount": 9, "reason": "why", "idempotencyKey": "k"});
    world.call(&admin, Method::POST, "/api/admin/credits/grant", Some(grant)).await;
    assert_eq!(kept().await.as_deref(), Some("59"));
    let made = world.make_code(&admin, json!({"amount": 1})).await;
    world.redeem(&ada, made["code"].as_str().unwrap()).await;
    assert_eq!(kept().await.as_deref(), Some("60"));
    world.finish().await;
}

macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => { mod sqlite { $(#[tokio::test] async fn $name() { super::$name(super::Store::Sqlite).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(super::Store::Postgres).await; })* } };
}

on_both_stores!(
    a_gift_code_gives_its_credits_once_to_each,
    of_many_who_redeem_a_code_at_once_exactly_as_many_as_it_allows_get_it,
    how_often_codes_may_be_tried_is_a_setting,
    a_grant_with_a_key_is_given_once_however_often_its_command_is_run,
    codes_expire_are_withdrawn_and_cannot_be_guessed_for_long,
    only_administrators_make_codes_and_give_credits,
    free_credits_are_spent_before_paid_ones_and_go_back_to_where_they_came_from,
    the_history_is_exported_whole_and_safe_to_open,
    a_closed_account_gives_back_what_it_holds_and_takes_nothing_more,
);
