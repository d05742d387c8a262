//! PostgreSQL and Redis going away and coming back under answers, with real servers of the test's own: what is asked meanwhile
//! is answered or fails clearly, within limits; nobody is charged twice, or for nothing; and all is well again without help.

use std::time::{Duration, Instant};

use kit::testing::{OwnPostgres, OwnRedis, TestDatabase};
use mana_core_auth::testing::Auth;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::support::{Person, Store, World, parts, until};

/// No answer takes longer, whatever is away.
const LONGEST: Duration = Duration::from_secs(15);

async fn ask(world: &World, person: &Person, text: &str) -> u16 {
    let began = Instant::now();
    let (status, body) = parts(world.ask(person, text).await).await;
    assert!(began.elapsed() < LONGEST, "{text} took {:?}", began.elapsed());
    assert!([200, 503].contains(&status), "{text}: {status} {body}");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_answers_are_given_and_charged_once() {
    let mut redis = OwnRedis::start();
    let file = TestDatabase::create(Store::Sqlite).await;
    let with_redis = TestDatabase::at(file.url.expose_secret().to_owned(), Some(redis.url()));
    let world = World::start_on(Auth::start(Store::Sqlite).await, with_redis, &[]).await;
    let person = world.person("ada").await;
    assert_eq!(ask(&world, &person, "with").await, 200);
    redis.halt();
    for n in 0..2 {
        assert_eq!(ask(&world, &person, &format!("halted {n}")).await, 200);
    }
    redis.go_on();
    tokio::task::block_in_place(|| redis.stop());
    for n in 0..2 {
        assert_eq!(ask(&world, &person, &format!("gone {n}")).await, 200);
    }
    assert_eq!(world.get(&person, "/api/credits").await, json!({ "credits": 45 }), "read from the ledger");
    tokio::task::block_in_place(|| redis.start_again());
    let before = world.gate.seen("balance");
    until("balances are read from the cache again", async || {
        let seen = world.gate.seen("balance");
        assert_eq!(world.get(&person, "/api/credits").await, json!({ "credits": 45 }));
        world.gate.seen("balance") == seen
    })
    .await;
    assert!(world.gate.seen("balance") > before, "an empty cache was filled from the ledger");
    assert_eq!(ask(&world, &person, "with it again").await, 200);
    assert_eq!(world.ledger_balance(&person).await, 44);
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
    let metrics = world.http.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("cache_errors_total"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_postgres_loses_no_charge_and_makes_none_up() {
    let mut postgres = OwnPostgres::start(50);
    let world = World::start_on(Auth::start(Store::Sqlite).await, TestDatabase::at(postgres.url(), None), &[]).await;
    let person = world.person("ada").await;
    assert_eq!(ask(&world, &person, "before").await, 200);
    let asking = async {
        for n in 0..8 {
            ask(&world, &person, &format!("while it restarts {n}")).await;
        }
    };
    let restarting = async {
        for _ in 0..2 {
            // On a thread of its own: what is measured is the service, not how long a server takes to start.
            postgres = tokio::task::spawn_blocking(move || {
                postgres.stop();
                postgres.start_again();
                postgres
            })
            .await
            .unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        postgres
    };
    let ((), _postgres) = tokio::join!(asking, restarting);
    let began = Instant::now();
    while ask(&world, &person, "after").await != 200 {
        assert!(began.elapsed() < LONGEST, "it is found again");
    }
    // The dispatcher waits ten seconds before it looks again at a database that did not answer.
    let began = Instant::now();
    while world.count("outbox").await > 0 {
        assert!(began.elapsed() < 2 * LONGEST, "the ledger is told everything");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What was reserved for answers that could not be stored is given back, at once or when its time is over.
    world.auth.expire_reservations(Duration::from_hours(2)).await;
    let stored = world.count("messages").await / 2;
    assert_eq!(world.ledger_balance(&person).await, 50 - stored);
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}
