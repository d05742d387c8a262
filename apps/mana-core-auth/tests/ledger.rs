//! The ledger's promises, over HTTP, on both stores.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use kit::testing::Store;
use mana_core_auth::testing::{Auth, SERVICE_TOKEN};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

struct Ledger {
    auth: Auth,
    client: Client,
    user: Value,
}

impl Ledger {
    async fn start(store: Store) -> Self {
        let auth = Auth::start(store).await;
        let client = Client::new();
        let user = register(&client, &auth).await;
        Self { auth, client, user }
    }

    async fn call(&self, what: &str, mut body: Value) -> (StatusCode, Value) {
        body["userId"] = self.user.clone();
        let url = format!("{}/api/internal/credits/{what}", self.auth.url);
        let answer = self.client.post(url).header("x-service-token", SERVICE_TOKEN).json(&body).send().await.unwrap();
        let (status, mut body) = (answer.status(), answer.json::<Value>().await.unwrap());
        // Absent in repeated answers.
        body.as_object_mut().unwrap().remove("version");
        (status, body)
    }

    async fn reserve(&self, amount: i64, key: &str) -> (StatusCode, Value) {
        self.call("reserve", json!({"amount": amount, "idempotencyKey": key})).await
    }

    async fn balance(&self) -> Value {
        let url = format!("{}/api/internal/credits/balance?userId={}", self.auth.url, self.user.as_str().unwrap());
        let answer = self.client.get(url).header("x-service-token", SERVICE_TOKEN).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["balance"].clone()
    }

    async fn finish(self) {
        assert_eq!(self.auth.ledger_findings().await, Vec::<String>::new());
    }
}

async fn register(client: &Client, auth: &Auth) -> Value {
    let email = format!("{}@example.com", kit::clock::new_id());
    let body = json!({"email": email, "password": "a good password", "name": "Ada"});
    let answer = client.post(format!("{}/api/auth/register", auth.url)).json(&body).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["user"]["id"].clone()
}

async fn what_nobody_resolves_is_given_back_after_its_time(store: Store) {
    let ledger = Ledger::start(store).await;
    let mut reservations = Vec::new();
    for key in ["a", "b", "c"] {
        let body = json!({"amount": 10, "idempotencyKey": key, "ttlSeconds": 60});
        reservations.push(ledger.call("reserve", body).await.1["reservationId"].clone());
    }
    assert_eq!(ledger.call("settle", json!({"reservationId": reservations[0]})).await.0, StatusCode::OK);
    assert_eq!(ledger.auth.expire_reservations(Duration::from_secs(30)).await, 0, "their time has not come");
    assert_eq!(ledger.balance().await, 20);
    // Several instances may do it at the same time, and somebody may settle at that moment.
    let later = Duration::from_mins(2);
    let settle = ledger.call("settle", json!({"reservationId": reservations[1]}));
    let (settled, one, two) =
        tokio::join!(settle, ledger.auth.expire_reservations(later), ledger.auth.expire_reservations(later));
    let spent = if settled.0 == StatusCode::OK { 20 } else { 10 };
    assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&settled.0), "{settled:?}");
    assert!(one + two >= 1, "both may have found the same");
    assert_eq!(ledger.balance().await, 50 - spent);
    assert_eq!(ledger.call("settle", json!({"reservationId": reservations[2]})).await.0, StatusCode::CONFLICT);
    ledger.finish().await;
}

async fn fifty_parallel_retries_of_one_charge_make_one_debit(store: Store) {
    let ledger = Ledger::start(store).await;
    let answers = join_all((0..50).map(|_| ledger.reserve(1, "the same key"))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == StatusCode::OK), "{answers:?}");
    assert_eq!(ledger.balance().await, 49);
    let reservation = &answers[0].1["reservationId"];
    let settled = join_all((0..50).map(|_| ledger.call("settle", json!({"reservationId": reservation})))).await;
    assert!(settled.iter().all(|answer| *answer == (StatusCode::OK, json!({"balance": 49}))), "{settled:?}");
    ledger.finish().await;
}

async fn two_hundred_parallel_reserves_at_fifty_admit_exactly_fifty(store: Store) {
    let ledger = Ledger::start(store).await;
    let keys: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let answers = join_all(keys.iter().map(|key| ledger.reserve(1, key))).await;
    let count = |status| answers.iter().filter(|answer| answer.0 == status).count();
    assert_eq!((count(StatusCode::OK), count(StatusCode::PAYMENT_REQUIRED)), (50, 150), "{answers:?}");
    assert_eq!(ledger.balance().await, 0);
    ledger.finish().await;
}

async fn a_key_means_one_thing(store: Store) {
    let ledger = Ledger::start(store).await;
    let first = ledger.reserve(60, "k").await;
    assert_eq!(first.0, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(ledger.reserve(60, "k").await.0, StatusCode::PAYMENT_REQUIRED, "a refusal is remembered");
    assert_eq!(ledger.reserve(1, "k").await.0, StatusCode::CONFLICT, "another body is another call");
    let grant = json!({"amount": 10, "idempotencyKey": "k"});
    for _ in 0..2 {
        assert_eq!(ledger.call("grant", grant.clone()).await, (StatusCode::OK, json!({"balance": 60})));
    }
    assert_eq!(
        ledger.reserve(60, "k").await.0,
        StatusCode::PAYMENT_REQUIRED,
        "the same answer, whatever has changed since"
    );
    assert_eq!(ledger.balance().await, 60);
    ledger.finish().await;
}

async fn a_reservation_resolves_once(store: Store) {
    let ledger = Ledger::start(store).await;
    for round in 0..10 {
        let (_, held) = ledger.reserve(2, &format!("round {round}")).await;
        let body = json!({"reservationId": held["reservationId"]});
        let both = [ledger.call("settle", body.clone()), ledger.call("release", body.clone())].map(Box::pin);
        let outcomes = join_all(both).await;
        let won: Vec<_> = outcomes.iter().filter(|answer| answer.0 == StatusCode::OK).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        assert!(outcomes.iter().any(|answer| answer.0 == StatusCode::CONFLICT), "{outcomes:?}");
    }
    let (_, held) = ledger.reserve(2, "more").await;
    let more = ledger.call("settle", json!({"reservationId": held["reservationId"], "amount": 3})).await;
    assert_eq!(more.0, StatusCode::UNPROCESSABLE_ENTITY);
    let unknown = ledger.call("settle", json!({"reservationId": ledger.user})).await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);
    ledger.finish().await;
}

async fn someone_elses_reservation_is_unknown(store: Store) {
    let mut ledger = Ledger::start(store).await;
    let (_, held) = ledger.reserve(2, "mine").await;
    ledger.user = register(&ledger.client, &ledger.auth).await;
    let body = json!({"reservationId": held["reservationId"]});
    for what in ["settle", "release"] {
        assert_eq!(ledger.call(what, body.clone()).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(ledger.balance().await, 50);
    ledger.finish().await;
}

async fn amounts_that_make_no_sense_are_refused(store: Store) {
    let ledger = Ledger::start(store).await;
    for amount in [json!(0), json!(-1), json!(0.0001), json!("1"), json!(1e300), Value::Null] {
        for what in ["grant", "reserve"] {
            let (status, body) = ledger.call(what, json!({"amount": amount, "idempotencyKey": "k"})).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{what} {amount}: {body}");
        }
    }
    let most = json!({"amount": 9_007_199_254_740_i64, "idempotencyKey": "most"});
    assert_eq!(ledger.call("grant", most).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ledger.balance().await, 50);
    ledger.finish().await;
}

/// What a caller may do next.
#[derive(Debug, Clone)]
enum Step {
    Grant { amount: i64, key: u8 },
    Reserve { amount: i64, key: u8 },
    Settle { which: usize, amount: Option<i64> },
    Release { which: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..40_i64, 0..6_u8).prop_map(|(amount, key)| Step::Grant { amount, key }),
        (1..60_i64, 0..10_u8).prop_map(|(amount, key)| Step::Reserve { amount, key }),
        (0..8_usize, proptest::option::of(0..70_i64)).prop_map(|(which, amount)| Step::Settle { which, amount }),
        (0..8_usize).prop_map(|which| Step::Release { which }),
    ]
}

/// How a reservation was resolved: settled for this much, or released.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Resolved {
    Settled(i64),
    Released,
}

/// The ledger as a few lines of plain code: what the real one must answer.
#[derive(Default)]
struct Model {
    balance: i64,
    answers: HashMap<(&'static str, u8), (i64, StatusCode)>,
    /// Id, amount held, and how it was resolved.
    reservations: Vec<(Value, i64, Option<Resolved>)>,
}

impl Model {
    fn keyed(
        &mut self,
        what: &'static str,
        key: u8,
        amount: i64,
        run: impl FnOnce(&mut Self) -> StatusCode,
    ) -> StatusCode {
        if let Some((before, status)) = self.answers.get(&(what, key)) {
            return if *before == amount { *status } else { StatusCode::CONFLICT };
        }
        let status = run(self);
        self.answers.insert((what, key), (amount, status));
        status
    }

    fn resolve(&mut self, which: usize, how: Resolved) -> StatusCode {
        let (_, held, state) = &mut self.reservations[which];
        let spent = if let Resolved::Settled(spent) = how { spent } else { 0 };
        if spent > *held {
            return StatusCode::UNPROCESSABLE_ENTITY;
        }
        match state {
            None => {
                *state = Some(how);
                self.balance += *held - spent;
                StatusCode::OK
            }
            Some(before) if *before == how => StatusCode::OK,
            Some(_) => StatusCode::CONFLICT,
        }
    }
}

async fn run_steps(ledger: &mut Ledger, steps: &[Step]) {
    ledger.user = register(&ledger.client, &ledger.auth).await;
    let mut model = Model { balance: 50, ..Model::default() };
    for step in steps {
        let (expected, (status, body)) = match step {
            Step::Grant { amount, key } => {
                let body = json!({"amount": amount, "idempotencyKey": key.to_string()});
                let expected = model.keyed("grant", *key, *amount, |model| {
                    model.balance += amount;
                    StatusCode::OK
                });
                (expected, ledger.call("grant", body).await)
            }
            Step::Reserve { amount, key } => {
                let answer = ledger.reserve(*amount, &key.to_string()).await;
                let id = answer.1["reservationId"].clone();
                let expected = model.keyed("reserve", *key, *amount, |model| {
                    if model.balance < *amount {
                        return StatusCode::PAYMENT_REQUIRED;
                    }
                    model.balance -= amount;
                    model.reservations.push((id, *amount, None));
                    StatusCode::OK
                });
                (expected, answer)
            }
            Step::Settle { which, amount } => {
                let Some((id, held, _)) = model.reservations.get(*which) else { continue };
                let (body, spent) = (json!({"reservationId": id, "amount": amount}), amount.unwrap_or(*held));
                (model.resolve(*which, Resolved::Settled(spent)), ledger.call("settle", body).await)
            }
            Step::Release { which } => {
                let Some((id, ..)) = model.reservations.get(*which) else { continue };
                let body = json!({"reservationId": id});
                (model.resolve(*which, Resolved::Released), ledger.call("release", body).await)
            }
        };
        assert_eq!(status, expected, "{step:?}: {body}");
        assert_eq!(ledger.balance().await, model.balance, "after {step:?}");
    }
    assert_eq!(ledger.auth.ledger_findings().await, Vec::<String>::new());
}

fn any_sequence_agrees_with_the_model(store: Store, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ledger = std::cell::RefCell::new(runtime.block_on(Ledger::start(store)));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&proptest::collection::vec(any_step(), 1..25), |steps| {
        runtime.block_on(run_steps(&mut ledger.borrow_mut(), &steps));
        Ok(())
    });
    runtime.block_on(async { drop(ledger) });
    outcome.unwrap();
}

#[test]
fn any_sequence_agrees_with_the_model_on_sqlite() {
    any_sequence_agrees_with_the_model(Store::Sqlite, 24);
}

#[test]
fn any_sequence_agrees_with_the_model_on_postgres() {
    any_sequence_agrees_with_the_model(Store::Postgres, 24);
}

macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => { mod sqlite { $(#[tokio::test] async fn $name() { super::$name(super::Store::Sqlite).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(super::Store::Postgres).await; })* } };
}

on_both_stores!(
    what_nobody_resolves_is_given_back_after_its_time,
    fifty_parallel_retries_of_one_charge_make_one_debit,
    two_hundred_parallel_reserves_at_fifty_admit_exactly_fifty,
    a_key_means_one_thing,
    a_reservation_resolves_once,
    someone_elses_reservation_is_unknown,
    amounts_that_make_no_sense_are_refused,
);
