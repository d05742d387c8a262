//! The books as a whole, whatever happens to one call.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Ledger, Store};

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
    let ledger = Ledger::start(store).await;
    // A database that refuses one of the postings, for whatever reason.
    ledger.refuse_thirteen(store).await;
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

crate::support::on_both_stores!(
    all_accounts_sum_to_zero_at_every_moment,
    one_call_that_cannot_be_written_harms_no_other,
);
