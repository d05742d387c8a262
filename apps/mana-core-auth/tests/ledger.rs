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

    async fn call(&self, what: &str, body: Value) -> (StatusCode, Value) {
        self.call_at(&self.auth.url, what, body).await
    }

    /// As [`Ledger::call`], at any instance.
    async fn call_at(&self, instance: &str, what: &str, mut body: Value) -> (StatusCode, Value) {
        body["userId"] = self.user.clone();
        let url = format!("{instance}/api/internal/credits/{what}");
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

    /// What can be spent: free and paid.
    async fn parts(&self) -> (i64, i64) {
        use sea_orm::{ConnectionTrait, Statement};
        let engine = self.auth.database.engine();
        let mark = if engine == sea_orm::DbBackend::Sqlite { "?" } else { "$1" };
        let user: uuid::Uuid = self.user.as_str().unwrap().parse().unwrap();
        let query = format!("SELECT available, paid FROM balances WHERE user_id = {mark}");
        let query = Statement::from_sql_and_values(engine, query, [user.into()]);
        let row = self.auth.database.query_one_raw(query).await.unwrap().unwrap();
        let credits = |name: &str| row.try_get::<i64>("", name).unwrap() / 1_000;
        (credits("available"), credits("paid"))
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
    // Somebody else's key of the same name is another key; so was the grant's above.
    let mut theirs = ledger;
    theirs.user = register(&theirs.client, &theirs.auth).await;
    assert_eq!(theirs.reserve(1, "k").await.0, StatusCode::OK);
    for wrong in ["", "a\u{0}b", &"k".repeat(201)] {
        assert_eq!(theirs.reserve(1, wrong).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{wrong:?}");
    }
    theirs.finish().await;
}

/// Who races for a reservation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Racer {
    Settle,
    SettleHalf,
    Release,
    Expiry,
}

async fn settle_release_and_expiry_resolve_a_reservation_once(store: Store) {
    use Racer::{Expiry, Release, Settle, SettleHalf};
    let ledger = Ledger::start(store).await;
    let other = ledger.auth.beside().await;
    let instances = [ledger.auth.url.as_str(), other.url.as_str()];
    let grant = json!({"amount": 1_000, "idempotencyKey": "much"});
    ledger.call("grant", grant).await;
    let races: [&[Racer]; 9] = [
        &[Settle, Release],
        &[Settle, Expiry],
        &[Release, Expiry],
        &[Settle, SettleHalf],
        &[Settle, Settle, Release],
        &[Settle, Release, Expiry],
        &[SettleHalf, Expiry, Expiry],
        &[Settle, SettleHalf, Release, Expiry],
        &[Expiry, Expiry, Release, Release, Settle, Settle],
    ];
    let mut balance = 1_050;
    for (round, race) in races.into_iter().cycle().take(36).enumerate() {
        let (_, held) = ledger.reserve(4, &format!("round {round}")).await;
        let barrier = tokio::sync::Barrier::new(race.len());
        let runs = race.iter().enumerate().map(|(place, racer)| {
            // The racers are spread over both instances, and expiry is a third writer.
            let (instance, barrier, ledger) = (instances[(place + round) % 2], &barrier, &ledger);
            let mut body = json!({"reservationId": held["reservationId"]});
            async move {
                barrier.wait().await;
                let what = match racer {
                    Settle => "settle",
                    SettleHalf => {
                        body["amount"] = json!(2);
                        "settle"
                    }
                    Release => "release",
                    Expiry => return (*racer, ledger.auth.expire_reservations(Duration::from_hours(2)).await == 1),
                };
                let (status, answer) = ledger.call_at(instance, what, body).await;
                assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&status), "{racer:?}: {status} {answer}");
                (*racer, status == StatusCode::OK)
            }
        });
        let outcomes = join_all(runs).await;
        let mut winners: Vec<Racer> = outcomes.iter().filter(|(_, won)| *won).map(|(racer, _)| *racer).collect();
        // The same call again is answered the same; expiry gives back as a release does.
        winners.dedup();
        let kinds: Vec<Racer> =
            [Settle, SettleHalf, Release, Expiry].into_iter().filter(|k| winners.contains(k)).collect();
        assert!(kinds.len() == 1 || kinds == [Release, Expiry], "{race:?}: {outcomes:?}");
        balance -= match kinds[0] {
            Settle => 4,
            SettleHalf => 2,
            Release | Expiry => 0,
        };
        assert_eq!(ledger.balance().await, balance, "{race:?}: {outcomes:?}");
    }
    let (_, held) = ledger.reserve(2, "more").await;
    let more = ledger.call("settle", json!({"reservationId": held["reservationId"], "amount": 3})).await;
    assert_eq!(more.0, StatusCode::UNPROCESSABLE_ENTITY, "more than was reserved is refused");
    let unknown = ledger.call("settle", json!({"reservationId": ledger.user})).await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);
    ledger.finish().await;
}

async fn of_parallel_debits_of_a_kth_exactly_k_succeed_on_two_instances(store: Store) {
    let ledger = Ledger::start(store).await;
    let other = ledger.auth.beside().await;
    for (round, k) in [1, 2, 5, 10, 25].into_iter().enumerate() {
        let debits = (0..3 * k + 5).map(|n| {
            let instance = if n % 2 == 0 { &ledger.auth.url } else { &other.url };
            let body = json!({"amount": 50 / k, "idempotencyKey": format!("{round} {n}")});
            ledger.call_at(instance, "reserve", body)
        });
        let answers = join_all(debits).await;
        let admitted: Vec<_> = answers.iter().filter(|answer| answer.0 == StatusCode::OK).collect();
        assert_eq!(i64::try_from(admitted.len()).unwrap(), k, "{answers:?}");
        assert!(answers.iter().all(|answer| [StatusCode::OK, StatusCode::PAYMENT_REQUIRED].contains(&answer.0)));
        assert_eq!(ledger.balance().await, 0);
        let releases =
            admitted.iter().map(|(_, held)| ledger.call("release", json!({"reservationId": held["reservationId"]})));
        assert!(join_all(releases).await.iter().all(|answer| answer.0 == StatusCode::OK));
        assert_eq!(ledger.balance().await, 50);
    }
    ledger.finish().await;
}

async fn all_accounts_sum_to_zero_at_every_moment(store: Store) {
    use sea_orm::{ConnectionTrait, Statement};
    let ledger = Ledger::start(store).await;
    ledger.call("grant", json!({"amount": 1_000, "idempotencyKey": "much", "funds": "paid"})).await;
    let sums = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS all_of_them,
        CAST(COALESCE(SUM(CASE WHEN account IN ('user', 'paid') THEN amount ELSE 0 END), 0)
        - (SELECT SUM(available + paid) FROM balances) AS BIGINT) AS off FROM entries";
    let looking = async {
        for _ in 0..60 {
            let query = Statement::from_string(ledger.auth.database.engine(), sums);
            let row = ledger.auth.database.query_one_raw(query).await.unwrap().unwrap();
            let number = |name: &str| -> i64 { row.try_get("", name).unwrap() };
            assert_eq!((number("all_of_them"), number("off")), (0, 0));
            tokio::task::yield_now().await;
        }
    };
    let charging = join_all((0..8).map(|payer| {
        let ledger = &ledger;
        async move {
            for turn in 0..12 {
                let (_, held) = ledger.reserve(3, &format!("{payer} {turn}")).await;
                let what = if turn % 3 == 0 { "release" } else { "settle" };
                ledger.call(what, json!({"reservationId": held["reservationId"]})).await;
            }
        }
    }));
    tokio::join!(looking, charging);
    assert_eq!(ledger.balance().await, 1_050 - 8 * 8 * 3);
    ledger.finish().await;
}

async fn one_call_that_cannot_be_written_harms_no_other(store: Store) {
    use sea_orm::ConnectionTrait;
    let ledger = Ledger::start(store).await;
    // A database that refuses one of the postings, for whatever reason.
    let refusing = match store {
        Store::Sqlite => {
            "CREATE TRIGGER no_thirteen BEFORE INSERT ON postings WHEN NEW.reason = '13' BEGIN SELECT RAISE(ABORT, 'no'); END"
        }
        Store::Postgres => "ALTER TABLE postings ADD CONSTRAINT no_thirteen CHECK (reason <> '13')",
    };
    ledger.auth.database.execute_unprepared(refusing).await.unwrap();
    let answers =
        join_all((0..30).map(|n| {
            ledger.call("grant", json!({"amount": 1, "idempotencyKey": n.to_string(), "reason": n.to_string()}))
        }));
    for (n, (status, body)) in answers.await.into_iter().enumerate() {
        let expected = if n == 13 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        assert_eq!(status, expected, "{n}: {body}");
    }
    assert_eq!(ledger.balance().await, 79);
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
    Grant {
        amount: i64,
        key: u8,
        paid: bool,
    },
    Reserve {
        amount: i64,
        key: u8,
    },
    Settle {
        which: usize,
        amount: Option<i64>,
    },
    Release {
        which: usize,
    },
    /// All that is held has its time over.
    Expire,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..40_i64, 0..6_u8, any::<bool>()).prop_map(|(amount, key, paid)| Step::Grant { amount, key, paid }),
        (1..60_i64, 0..10_u8).prop_map(|(amount, key)| Step::Reserve { amount, key }),
        (0..8_usize, proptest::option::of(0..70_i64)).prop_map(|(which, amount)| Step::Settle { which, amount }),
        (0..8_usize).prop_map(|which| Step::Release { which }),
        Just(Step::Expire),
    ]
}

/// How a reservation was resolved: settled for this much, or released.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Resolved {
    Settled(i64),
    Released,
}

/// A reservation of the model: how much of it was free and paid, and how it was resolved.
#[derive(Clone)]
struct Held {
    id: Value,
    free: i64,
    paid: i64,
    state: Option<Resolved>,
}

/// An amount and whether it is paid for, and the answer.
type Answered = ((i64, bool), StatusCode);

/// The ledger as a few lines of plain code: what the real one must answer.
#[derive(Default)]
struct Model {
    free: i64,
    paid: i64,
    /// By operation and key: what was asked, and what was answered.
    answers: HashMap<(&'static str, u8), Answered>,
    reservations: Vec<Held>,
}

impl Model {
    fn keyed(
        &mut self,
        what: &'static str,
        key: u8,
        asked: (i64, bool),
        run: impl FnOnce(&mut Self) -> StatusCode,
    ) -> StatusCode {
        if let Some((before, status)) = self.answers.get(&(what, key)) {
            return if *before == asked { *status } else { StatusCode::CONFLICT };
        }
        let status = run(self);
        self.answers.insert((what, key), (asked, status));
        status
    }

    fn reserve(&mut self, amount: i64, id: Value) -> StatusCode {
        if self.free + self.paid < amount {
            return StatusCode::PAYMENT_REQUIRED;
        }
        let free = self.free.min(amount);
        self.free -= free;
        self.paid -= amount - free;
        self.reservations.push(Held { id, free, paid: amount - free, state: None });
        StatusCode::OK
    }

    fn resolve(&mut self, which: usize, how: Resolved) -> StatusCode {
        let held = &mut self.reservations[which];
        let spent = if let Resolved::Settled(spent) = how { spent } else { 0 };
        if spent > held.free + held.paid {
            return StatusCode::UNPROCESSABLE_ENTITY;
        }
        match held.state {
            None => {
                held.state = Some(how);
                let spent_free = spent.min(held.free);
                self.free += held.free - spent_free;
                self.paid += held.paid - (spent - spent_free);
                StatusCode::OK
            }
            Some(before) if before == how => StatusCode::OK,
            Some(_) => StatusCode::CONFLICT,
        }
    }
}

async fn run_steps(ledger: &mut Ledger, steps: &[Step]) {
    ledger.user = register(&ledger.client, &ledger.auth).await;
    let mut model = Model { free: 50, ..Model::default() };
    for step in steps {
        let (expected, (status, body)) = match step {
            Step::Grant { amount, key, paid } => {
                let funds = if *paid { "paid" } else { "free" };
                let body = json!({"amount": amount, "idempotencyKey": key.to_string(), "funds": funds});
                let expected = model.keyed("grant", *key, (*amount, *paid), |model| {
                    *(if *paid { &mut model.paid } else { &mut model.free }) += amount;
                    StatusCode::OK
                });
                (expected, ledger.call("grant", body).await)
            }
            Step::Reserve { amount, key } => {
                let answer = ledger.reserve(*amount, &key.to_string()).await;
                let id = answer.1["reservationId"].clone();
                let expected = model.keyed("reserve", *key, (*amount, false), |model| model.reserve(*amount, id));
                (expected, answer)
            }
            Step::Settle { which, amount } => {
                let Some(held) = model.reservations.get(*which).cloned() else { continue };
                let (body, all) = (json!({"reservationId": held.id, "amount": amount}), held.free + held.paid);
                let how = Resolved::Settled(amount.unwrap_or(all));
                (model.resolve(*which, how), ledger.call("settle", body).await)
            }
            Step::Release { which } => {
                let Some(held) = model.reservations.get(*which).cloned() else { continue };
                let body = json!({"reservationId": held.id});
                (model.resolve(*which, Resolved::Released), ledger.call("release", body).await)
            }
            Step::Expire => {
                let open = |model: &Model| model.reservations.iter().position(|held| held.state.is_none());
                let mut expected = 0;
                while let Some(which) = open(&model) {
                    model.resolve(which, Resolved::Released);
                    expected += 1;
                }
                // Those of the sequences before this one are given back as well.
                assert!(ledger.auth.expire_reservations(Duration::from_hours(2)).await >= expected);
                continue;
            }
        };
        assert_eq!(status, expected, "{step:?}: {body}");
        assert_eq!(ledger.parts().await, (model.free, model.paid), "after {step:?}");
    }
    assert_eq!(ledger.auth.ledger_findings().await, Vec::<String>::new());
}

/// The same sequences, one after the other, on both stores.
#[test]
fn any_sequence_agrees_with_the_model_on_both_stores() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ledgers = [Store::Sqlite, Store::Postgres].map(|store| runtime.block_on(Ledger::start(store)));
    let ledgers = std::cell::RefCell::new(ledgers);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&proptest::collection::vec(any_step(), 1..25), |steps| {
        for ledger in ledgers.borrow_mut().iter_mut() {
            runtime.block_on(run_steps(ledger, &steps));
        }
        Ok(())
    });
    runtime.block_on(async { drop(ledgers) });
    outcome.unwrap();
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
    settle_release_and_expiry_resolve_a_reservation_once,
    of_parallel_debits_of_a_kth_exactly_k_succeed_on_two_instances,
    all_accounts_sum_to_zero_at_every_moment,
    one_call_that_cannot_be_written_harms_no_other,
    someone_elses_reservation_is_unknown,
    amounts_that_make_no_sense_are_refused,
);
