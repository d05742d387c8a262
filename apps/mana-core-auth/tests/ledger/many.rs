//! Several calls in one request: each has the outcome that it would have had alone.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Ledger, SERVICE_TOKEN, Store, register};

async fn many(ledger: &Ledger, what: &str, calls: Value) -> (StatusCode, Value) {
    let url = format!("{}/api/internal/credits/{what}/many", ledger.auth.url);
    let body = json!({ "calls": calls });
    let answer = ledger.client.post(url).header("x-service-token", SERVICE_TOKEN).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The lines that reserves are answered with.
async fn in_lines(ledger: &Ledger, calls: Value) -> Vec<Value> {
    let url = format!("{}/api/internal/credits/reserve/many", ledger.auth.url);
    let asked = ledger.client.post(url).header("x-service-token", SERVICE_TOKEN).json(&json!({ "calls": calls }));
    let answer = asked.header("accept", "application/x-ndjson").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The outcomes, each as its balance or its problem's status and code.
fn told(answer: &(StatusCode, Value)) -> Vec<Value> {
    assert_eq!(answer.0, StatusCode::OK, "{answer:?}");
    let outcome = |outcome: &Value| match &outcome["done"] {
        Value::Null => json!([outcome["problem"]["status"], outcome["problem"]["code"]]),
        done => done["balance"].clone(),
    };
    answer.1["outcomes"].as_array().unwrap().iter().map(outcome).collect()
}

async fn each_of_several_calls_has_its_own_outcome(store: Store) {
    let ledger = Ledger::start(store).await;
    let other = register(&ledger.client, &ledger.auth).await;
    let reserve =
        |user: &Value, amount: i64, key: &str| json!({"userId": user, "amount": amount, "idempotencyKey": key});
    let reserves = json!([
        reserve(&ledger.user, 10, "a"),
        reserve(&other, 60, "a"),
        reserve(&json!("00000000-0000-0000-0000-000000000000"), 1, "a"),
        reserve(&ledger.user, 0, "b"),
        reserve(&other, 5, "b"),
        reserve(&ledger.user, 20, "c"),
        reserve(&ledger.user, 11, "a"),
    ]);
    let first = many(&ledger, "reserve", reserves.clone()).await;
    let expected = [
        json!(40),
        json!([402, "out_of_credits"]),
        json!([404, "unknown_account"]),
        json!([422, "invalid"]),
        json!(45),
        json!(20),
        json!([409, "conflict"]),
    ];
    assert_eq!(told(&first), expected);
    let again = many(&ledger, "reserve", reserves).await;
    assert_eq!(told(&again), expected, "the same calls again get the same answers");
    let id = |n: usize| first.1["outcomes"][n]["done"]["reservationId"].clone();
    assert_eq!(again.1["outcomes"][0]["done"]["reservationId"], id(0));

    let settle =
        |user: &Value, n: usize, amount: i64| json!({"userId": user, "reservationId": id(n), "amount": amount});
    let settles = json!([
        settle(&ledger.user, 0, 4),
        settle(&other, 4, 6),
        settle(&other, 0, 1),
        settle(&ledger.user, 5, 20),
        settle(&other, 4, 5),
    ]);
    let settled = many(&ledger, "settle", settles.clone()).await;
    let expected = [json!(26), json!([422, "invalid"]), json!([404, "unknown_reservation"]), json!(26), json!(45)];
    assert_eq!(told(&settled), expected);
    assert_eq!(told(&many(&ledger, "settle", settles).await), expected, "settled once");
    assert_eq!(ledger.balance().await, 26);
    assert_eq!(ledger.auth.expire_reservations(std::time::Duration::from_hours(2)).await, 0, "nothing is held back");
    ledger.finish().await;
}

async fn who_asks_for_lines_is_told_what_is_admitted_and_then_what_came_of_it(store: Store) {
    let ledger = Ledger::start(store).await;
    let call = |amount: i64, key: &str| json!({"userId": ledger.user, "amount": amount, "idempotencyKey": key});
    let lines = in_lines(&ledger, json!([call(10, "a"), call(60, "b"), call(0, "c"), call(40, "d")])).await;
    let of = |n: usize| lines.iter().filter(|line| line["call"] == n).collect::<Vec<_>>();
    for (n, balance) in [(0, 40), (3, 0)] {
        let [admitted, done] = of(n)[..] else { panic!("{lines:?}") };
        assert_eq!((&admitted["admitted"], &done["done"]["balance"]), (&done["done"], &json!(balance)), "{lines:?}");
    }
    for (n, status) in [(1, 402), (2, 422)] {
        let [refused] = of(n)[..] else { panic!("{lines:?}") };
        assert_eq!(refused["problem"]["status"], status, "{lines:?}");
    }
    // The same again is admitted as it was.
    let again = in_lines(&ledger, json!([call(10, "a")])).await;
    assert_eq!(again.last().unwrap()["done"]["reservationId"], of(0)[1]["done"]["reservationId"]);
    assert_eq!(ledger.balance().await, 0);
    ledger.auth.expire_reservations(std::time::Duration::from_hours(2)).await;
    ledger.finish().await;
}

async fn what_is_admitted_keeps_its_id_however_often_its_batch_is_tried(store: Store) {
    let ledger = Ledger::start(store).await;
    // One that the database refuses has the whole batch tried again, each by itself.
    ledger.refuse_thirteen(store).await;
    let call =
        |n: u32| json!({"userId": ledger.user, "amount": 1, "idempotencyKey": n.to_string(), "reason": n.to_string()});
    let calls: Vec<Value> = (0..30).map(call).collect();
    let lines = in_lines(&ledger, json!(calls)).await;
    let said = |n: usize, word: &str| {
        lines
            .iter()
            .find(|line| line["call"] == n && line[word].is_object())
            .map_or(Value::Null, |line| line[word].clone())
    };
    for n in 0..30 {
        let (admitted, done) = (said(n, "admitted"), said(n, "done"));
        if n == 13 {
            assert_eq!((&done, &said(n, "problem")["status"]), (&Value::Null, &json!(500)), "{lines:?}");
        } else {
            assert!(done["reservationId"].is_string(), "{n}: {lines:?}");
            assert_eq!(admitted["reservationId"], done["reservationId"], "{n}: {lines:?}");
        }
    }
    assert_eq!(ledger.balance().await, 21);
    ledger.auth.expire_reservations(std::time::Duration::from_hours(2)).await;
    ledger.finish().await;
}

async fn what_was_released_before_is_told_by_its_own_code(store: Store) {
    let ledger = Ledger::start(store).await;
    let held = ledger.reserve(3, "a").await.1;
    let body = json!({"userId": ledger.user, "reservationId": held["reservationId"]});
    assert_eq!(ledger.call("release", body.clone()).await.0, StatusCode::OK);
    let answer = many(&ledger, "settle", json!([body])).await;
    assert_eq!(told(&answer), [json!([409, "reservation_released"])]);
    ledger.finish().await;
}

async fn only_so_many_calls_are_taken_and_only_as_they_are_described(store: Store) {
    let ledger = Ledger::start(store).await;
    for what in ["reserve", "settle"] {
        let call = |n: usize| match what {
            "reserve" => json!({"userId": ledger.user, "amount": 0.001, "idempotencyKey": n.to_string()}),
            _ => json!({"userId": ledger.user, "reservationId": ledger.user}),
        };
        for (number, status) in [(0, 422), (1, 200), (128, 200), (129, 422)] {
            let calls: Vec<Value> = (0..number).map(call).collect();
            let answer = many(&ledger, what, json!(calls)).await;
            assert_eq!(answer.0.as_u16(), status, "{what} {number}: {answer:?}");
        }
        let mut unknown = call(0);
        unknown["more"] = json!(1);
        assert_eq!(many(&ledger, what, json!([unknown])).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{what}");
    }
    assert_eq!(ledger.balance().await, 49.872, "129 calls were refused as a whole, and a key is one reservation");
    ledger.finish().await;
}

crate::support::on_both_stores!(
    each_of_several_calls_has_its_own_outcome,
    who_asks_for_lines_is_told_what_is_admitted_and_then_what_came_of_it,
    what_is_admitted_keeps_its_id_however_often_its_batch_is_tried,
    what_was_released_before_is_told_by_its_own_code,
    only_so_many_calls_are_taken_and_only_as_they_are_described,
);
