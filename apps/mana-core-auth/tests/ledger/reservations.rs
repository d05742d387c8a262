//! A reservation is resolved once, by whom it belongs to, or by time.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Ledger, Store, register};

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

crate::support::on_both_stores!(
    what_nobody_resolves_is_given_back_after_its_time,
    settle_release_and_expiry_resolve_a_reservation_once,
    someone_elses_reservation_is_unknown,
);
