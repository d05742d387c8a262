//! What is undone: mistakes, by a posting of their own; and free credits that nobody has used in time.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Ledger, Store, register};

const PAID: &str = "paid";

async fn grant(ledger: &Ledger, amount: i64, funds: &str) -> Uuid {
    let body = json!({"amount": amount, "idempotencyKey": kit::clock::new_id().to_string(), "funds": funds});
    assert_eq!(ledger.call("grant", body).await.0, StatusCode::OK);
    ledger.last_posting().await
}

/// Spends; gives the posting.
async fn spend(ledger: &Ledger, amount: i64) -> Uuid {
    let (_, held) = ledger.reserve(amount, &kit::clock::new_id().to_string()).await;
    let settled = ledger.call("settle", json!({"reservationId": held["reservationId"]})).await;
    assert_eq!(settled.0, StatusCode::OK, "{settled:?}");
    ledger.last_posting().await
}

fn now() -> i64 {
    kit::clock::now().as_millisecond()
}

async fn a_mistake_is_undone_once_however_many_try(store: Store) {
    let ledger = Ledger::start(store).await;
    let mistake = grant(&ledger, 100, PAID).await;
    assert_eq!(ledger.parts().await, (50, 100));
    let outcomes = join_all((0..8).map(|_| ledger.auth.reverse(ledger.user_id(), mistake))).await;
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 7));
    assert!(refused.iter().all(|why| *why == Err("the posting was reversed before".to_owned())), "{refused:?}");
    assert_eq!(ledger.parts().await, (50, 0));
    let undoing = ledger.last_posting().await;
    let outcome = ledger.auth.reverse(ledger.user_id(), undoing).await;
    assert_eq!(outcome.unwrap_err(), "a posting of the kind reverse cannot be reversed");
    ledger.finish().await;
}

async fn what_was_spent_goes_back_to_where_it_came_from(store: Store) {
    let ledger = Ledger::start(store).await;
    grant(&ledger, 20, PAID).await;
    let charge = spend(&ledger, 60).await;
    assert_eq!(ledger.parts().await, (0, 10));
    ledger.auth.reverse(ledger.user_id(), charge).await.unwrap();
    assert_eq!(ledger.parts().await, (50, 20));
    ledger.finish().await;
}

async fn what_cannot_be_undone_changes_nothing(store: Store) {
    let mut ledger = Ledger::start(store).await;
    let sign_up = ledger.last_posting().await;
    grant(&ledger, 5, PAID).await;
    let (_, held) = ledger.reserve(1, "held").await;
    let reserved = ledger.last_posting().await;
    ledger.call("release", json!({"reservationId": held["reservationId"]})).await;
    let released = ledger.last_posting().await;
    spend(&ledger, 10).await;
    let refused = async |ledger: &Ledger, posting| ledger.auth.reverse(ledger.user_id(), posting).await.unwrap_err();
    assert_eq!(
        refused(&ledger, sign_up).await,
        "what it gave is not left any more",
        "40 free ones are, and 5 paid ones"
    );
    assert_eq!(refused(&ledger, reserved).await, "a posting of the kind reserve cannot be reversed");
    assert_eq!(refused(&ledger, released).await, "a posting of the kind release cannot be reversed");
    assert_eq!(refused(&ledger, Uuid::nil()).await, "there is no such posting");
    assert_eq!(ledger.parts().await, (40, 5));
    ledger.user = register(&ledger.client, &ledger.auth).await;
    assert_eq!(refused(&ledger, sign_up).await, "there is no such posting", "it is somebody else's");
    ledger.finish().await;
}

async fn who_undid_it_and_why_stays_with_the_posting(store: Store) {
    let ledger = Ledger::start(store).await;
    let (one, two) = (grant(&ledger, 7, "free").await, grant(&ledger, 8, "free").await);
    let command = ["reverse", "--posting", &one.to_string(), "--reason", "granted twice"];
    ledger.auth.command(&command).await.unwrap();
    let again = ledger.auth.command(&command).await.unwrap_err().to_string();
    assert_eq!(again, "the posting was reversed before");

    let person = json!({"email": "boss@example.com", "password": "a good password", "name": "Boss"});
    let post = async |path: &str, token: &str, body: &Value| {
        let call = ledger.client.post(format!("{}{path}", ledger.auth.url)).bearer_auth(token).json(body);
        let answer = call.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let boss = post("/api/auth/register", "", &person).await.1["accessToken"].as_str().unwrap().to_owned();
    let undo = json!({"userId": ledger.user, "postingId": two, "reason": "the wrong person"});
    assert_eq!(post("/api/admin/credits/reverse", &boss, &undo).await.0, StatusCode::FORBIDDEN);
    ledger.auth.make_admin("boss@example.com").await;
    let silent = json!({"userId": ledger.user, "postingId": two, "reason": " "});
    assert_eq!(post("/api/admin/credits/reverse", &boss, &silent).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post("/api/admin/credits/reverse", &boss, &undo).await, (StatusCode::OK, json!({"balance": 50})));
    assert_eq!(post("/api/admin/credits/reverse", &boss, &undo).await.0, StatusCode::CONFLICT);

    let url = format!("{}/api/admin/credits/transactions?userId={}", ledger.auth.url, ledger.user.as_str().unwrap());
    let told: Value = ledger.client.get(url).bearer_auth(&boss).send().await.unwrap().json().await.unwrap();
    let lines = told["transactions"].as_array().unwrap();
    let line = |n: usize| ["kind", "amount", "reason", "reverses"].map(|field| lines[n][field].clone());
    assert_eq!(line(0), [json!("reverse"), json!(-8), json!("the wrong person"), json!(two)]);
    assert_eq!(line(1), [json!("reverse"), json!(-7), json!("granted twice"), json!(one)]);
    assert!(lines[0]["actor"].as_str().unwrap().starts_with("admin ") && lines[1]["actor"] == "operator", "{told}");
    ledger.finish().await;
}

async fn the_database_itself_refuses_to_undo_twice(store: Store) {
    let ledger = Ledger::start(store).await;
    let mistake = grant(&ledger, 7, "free").await;
    ledger.auth.reverse(ledger.user_id(), mistake).await.unwrap();
    let again = "INTO postings (id, user_id, kind, reason, balance_after, created_at, reverses) SELECT NEW_ID, user_id, kind, reason, balance_after, created_at, reverses FROM postings WHERE reverses IS NOT NULL";
    let new_id = if store == Store::Sqlite { "randomblob(16)" } else { "gen_random_uuid()" };
    let again = again.replace("NEW_ID", new_id);
    let ways: &[&str] = if store == Store::Sqlite { &["INSERT", "INSERT OR REPLACE", "REPLACE"] } else { &["INSERT"] };
    for way in ways {
        assert!(ledger.auth.database.execute_unprepared(&format!("{way} {again}")).await.is_err(), "{way}");
    }
    ledger.finish().await;
}

/// Makes postings older, which nothing but a test can: it takes the guards away for a moment.
async fn age(ledger: &Ledger, store: Store, days: u32) {
    let millis = u64::from(days) * 24 * 60 * 60 * 1_000;
    let older = format!("UPDATE postings SET created_at = created_at - {millis}");
    let steps = match store {
        Store::Sqlite => vec![
            "DROP TRIGGER postings_are_not_changed".to_owned(),
            older,
            "CREATE TRIGGER postings_are_not_changed BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'ledger postings are append-only'); END".to_owned(),
        ],
        Store::Postgres => {
            let switch = |how: &str| format!("ALTER TABLE postings {how} TRIGGER postings_are_not_changed");
            vec![switch("DISABLE"), older, switch("ENABLE")]
        }
    };
    for step in steps {
        ledger.auth.database.execute_unprepared(&step).await.unwrap();
    }
}

async fn free_credits_last_as_long_as_the_setting_says(store: Store) {
    let ledger = Ledger::start_with(store, &[("FREE_CREDITS_LAST", "30d")]).await;
    grant(&ledger, 20, PAID).await;
    spend(&ledger, 15).await;
    age(&ledger, store, 31).await;
    grant(&ledger, 5, "free").await;
    if store == Store::Postgres {
        let kept = kit::KeptBalance { balance: kit::Credits::whole(60), version: 1 };
        kept.keep(&ledger.auth.shared_cache(), ledger.user_id()).await.unwrap();
    }
    ledger.auth.lapse().await;
    assert_eq!(ledger.parts().await, (5, 20), "of the 35 old ones nothing is left; paid ones stay");
    if store == Store::Postgres {
        let kept = kit::KeptBalance::kept(&ledger.auth.shared_cache(), ledger.user_id()).await.unwrap().unwrap();
        assert_eq!(kept.balance, kit::Credits::whole(25), "whoever keeps a copy is told");
    }
    let before = ledger.last_posting().await;
    ledger.auth.lapse().await;
    assert_eq!(ledger.last_posting().await, before, "once");
    ledger.finish().await;

    let for_ever = Ledger::start(store).await;
    age(&for_ever, store, 3_000).await;
    for_ever.auth.lapse().await;
    assert_eq!(for_ever.parts().await, (50, 0), "unless said otherwise they last for ever");
    for_ever.finish().await;
}

async fn what_is_reserved_lapses_when_it_comes_back(store: Store) {
    let ledger = Ledger::start(store).await;
    let (_, held) = ledger.reserve(30, "held").await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let old_until = now();
    tokio::time::sleep(Duration::from_millis(2)).await;
    grant(&ledger, 5, "free").await;
    assert_eq!(ledger.auth.lapse_free_credits(old_until).await, 1);
    assert_eq!(ledger.parts().await, (5, 0));
    ledger.call("release", json!({"reservationId": held["reservationId"]})).await;
    assert_eq!(ledger.parts().await, (35, 0));
    ledger.auth.lapse_free_credits(old_until).await;
    assert_eq!(ledger.parts().await, (5, 0));
    ledger.finish().await;
}

/// Lapses, grants, charges and reversals at the same time, on two writers: the books are right, and what was given meanwhile is not taken for old.
async fn lapses_take_turns_with_everything_else(store: Store) {
    let ledger = Ledger::start(store).await;
    grant(&ledger, 1_000, "free").await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let old_until = now();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let giving = join_all((0..6).map(|giver| {
        let ledger = &ledger;
        async move {
            for turn in 0..6 {
                let key = format!("{giver} {turn}");
                ledger.call("grant", json!({"amount": 10, "idempotencyKey": key})).await;
                let (status, held) = ledger.reserve(1, &key).await;
                if status == StatusCode::OK {
                    ledger.call("settle", json!({"reservationId": held["reservationId"]})).await;
                }
            }
        }
    }));
    let lapsing = async {
        for _ in 0..12 {
            ledger.auth.lapse_free_credits(old_until).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(giving, lapsing);
    ledger.auth.lapse_free_credits(old_until).await;
    let (free, _) = ledger.parts().await;
    // Each of the 36 charges took an old credit while there were some, else one of the 360 new ones.
    assert!((360 - 36..=360).contains(&free), "{free}");
    ledger.finish().await;
}

crate::support::on_both_stores!(
    a_mistake_is_undone_once_however_many_try,
    what_was_spent_goes_back_to_where_it_came_from,
    what_cannot_be_undone_changes_nothing,
    who_undid_it_and_why_stays_with_the_posting,
    the_database_itself_refuses_to_undo_twice,
    free_credits_last_as_long_as_the_setting_says,
    what_is_reserved_lapses_when_it_comes_back,
    lapses_take_turns_with_everything_else,
);
