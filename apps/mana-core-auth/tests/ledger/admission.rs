//! What is admitted: as much as the balance covers, each call once.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Ledger, Store, register};

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

crate::support::on_both_stores!(
    fifty_parallel_retries_of_one_charge_make_one_debit,
    two_hundred_parallel_reserves_at_fifty_admit_exactly_fifty,
    a_key_means_one_thing,
    of_parallel_debits_of_a_kth_exactly_k_succeed_on_two_instances,
    amounts_that_make_no_sense_are_refused,
);
