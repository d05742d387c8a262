//! PostgreSQL and Redis going away and coming back under answers, with real servers of the test's own: what is asked meanwhile
//! is answered or fails clearly, within limits; nobody is charged twice, or for nothing; and all is well again without help.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kit::testing::{Loss, OwnPostgres, OwnRedis, Pair, TestDatabase};
use mana_core_auth::testing::Auth;
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, Statement};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::{Person, Store, World, parts, until};

/// No answer takes longer, whatever is away.
const LONGEST: Duration = Duration::from_secs(15);

/// By then everything works again.
const RECOVERED: Duration = Duration::from_secs(30);

async fn ask(world: &World, person: &Person, text: &str) -> u16 {
    asked(world, person, text).await.0
}

/// One question, which is answered in time, or clearly not.
async fn asked(world: &World, person: &Person, text: &str) -> (u16, Value) {
    let began = Instant::now();
    let answer = world.ask(person, text).await;
    let patient = answer.headers().contains_key("retry-after");
    let (status, body) = parts(answer).await;
    assert!(began.elapsed() < LONGEST, "{text} took {:?}", began.elapsed());
    assert!(status == 200 || (status == 503 && patient), "{text}: {status} {body}");
    if status == 503 {
        let code = body["code"].as_str().unwrap();
        assert!(["storage_unavailable", "ledger_unavailable", "database_unavailable"].contains(&code), "{body}");
        assert_eq!(body["type"], format!("urn:mana:problem:{code}"));
    }
    (status, body)
}

/// Asks until there is an answer: it is found again, without anybody's help.
async fn insist(world: &World, person: &Person, text: &str) -> Value {
    let began = Instant::now();
    loop {
        let (status, body) = asked(world, person, text).await;
        if status == 200 {
            return body;
        }
        assert!(began.elapsed() < RECOVERED, "{text} is never answered: {body}");
    }
}

/// Everything that was answered is stored, what is stored was charged once, and nothing else was; and it is ready.
async fn is_well(world: &World, person: &Person, answers: &[Value]) {
    let ready =
        async || world.http.get(world.url("/api/health/ready")).send().await.unwrap().status() == StatusCode::OK;
    let began = Instant::now();
    // The dispatcher waits ten seconds before it looks again at a database that did not answer.
    while world.count("outbox").await > 0 || !ready().await {
        assert!(began.elapsed() < RECOVERED, "it is ready, and the ledger is told everything");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rows = Statement::from_string(world.database.engine(), "SELECT id FROM messages WHERE role = 'assistant'");
    let rows = world.database.query_all_raw(rows).await.unwrap();
    let stored: HashSet<String> =
        rows.iter().map(|row| row.try_get::<uuid::Uuid>("", "id").unwrap().to_string()).collect();
    for answer in answers {
        assert!(stored.contains(answer["messageId"].as_str().unwrap()), "{answer} was answered and is not stored");
    }
    // What was reserved for answers that could not be stored is given back, at once or when its time is over.
    world.auth.expire_reservations(Duration::from_hours(2)).await;
    assert_eq!(world.ledger_balance(person).await, 50 - i64::try_from(stored.len()).unwrap());
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

async fn outages(world: &World, of: &str) -> Option<u64> {
    let metrics = world.http.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let series = format!("outages_total{{of=\"{of}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
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
    let answer = insist(&world, &person, "after").await;
    is_well(&world, &person, &[answer]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_everything_changes_no_charge() {
    let redis = OwnRedis::start();
    let file = TestDatabase::create(Store::Sqlite).await;
    let with_redis = TestDatabase::at(file.url.expose_secret().to_owned(), Some(redis.url()));
    let limit = [("CHAT_USER_REQUESTS_PER_MINUTE", "1000")];
    let world = World::start_on(Auth::start(Store::Sqlite).await, with_redis, &limit).await;
    let person = world.person("ada").await;
    let questions: Vec<String> = (0..20).map(|n| format!("question {n}")).collect();
    let asking = join_all(questions.iter().map(|text| asked(&world, &person, text)));
    let forgetting = async {
        for _ in 0..50 {
            tokio::task::block_in_place(|| redis.flush());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (answers, ()) = tokio::join!(asking, forgetting);
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    let answers: Vec<Value> = answers.into_iter().map(|(_, body)| body).collect();
    is_well(&world, &person, &answers).await;
    assert_eq!(world.get(&person, "/api/credits").await, json!({ "credits": 30 }));
    assert_eq!(outages(&world, "cache").await, None, "it was there all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_connection_answers_wait_within_limits_and_cost_nothing() {
    const CONNECTIONS: u32 = 12;
    let postgres = OwnPostgres::start(CONNECTIONS);
    let world = World::start_on(Auth::start(Store::Sqlite).await, TestDatabase::at(postgres.url(), None), &[]).await;
    let person = world.person("ada").await;
    assert_eq!(ask(&world, &person, "before").await, 200);
    let (mut hogs, mut refused) = (Vec::new(), 0);
    let began = Instant::now();
    loop {
        // The service may have been faster with one; then it loses it again.
        hog(&postgres, &mut hogs).await;
        refused += 1;
        if ask(&world, &person, "without").await == 503 {
            break;
        }
        assert!(began.elapsed() < RECOVERED, "there is always a free connection");
    }
    drop(hogs);
    let answer = insist(&world, &person, "with").await;
    is_well(&world, &person, &[answer]).await;
    assert_eq!(
        outages(&world, "database").await,
        Some(1 + refused),
        "said once, and once by each that was refused here"
    );
}

/// Ends the connections of everybody else.
const END_OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'hog'";

/// Takes every connection that there is.
async fn hog(postgres: &OwnPostgres, hogs: &mut Vec<kit::database::WriteTransaction>) {
    let url: secrecy::SecretString = format!("{}?application_name=hog", postgres.url()).into();
    if let Some(hog) = hogs.first() {
        hog.execute_unprepared(END_OTHERS).await.unwrap();
    }
    // Refused when there is none left.
    while let Ok(hog) = kit::database::connect(Some(&url)).await.unwrap().begin_write().await {
        if hogs.is_empty() {
            hog.execute_unprepared(END_OTHERS).await.unwrap();
        }
        hogs.push(hog);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_halted_holds_nobody_up_for_longer_than_a_bound() {
    let postgres = OwnPostgres::start(50);
    let world = World::start_on(Auth::start(Store::Sqlite).await, TestDatabase::at(postgres.url(), None), &[]).await;
    let person = world.person("ada").await;
    assert_eq!(ask(&world, &person, "before").await, 200);
    postgres.halt();
    // More than there are connections.
    let asks = join_all((0..16).map(|_| ask(&world, &person, "halted"))).await;
    assert!(asks.iter().all(|status| *status == 503), "{asks:?}");
    assert_eq!(world.http.get(world.url("/api/health/ready")).send().await.unwrap().status(), 503);
    postgres.go_on();
    let answer = insist(&world, &person, "going on").await;
    is_well(&world, &person, &[answer]).await;
    assert_eq!(outages(&world, "database").await, Some(1), "said once");
}

/// People go on asking while the primary is lost.
async fn a_failover_loses_no_answer_and_charges_nothing_twice(loss: Loss) {
    let mut pair = Pair::start(50).await;
    let world = World::start_on(Auth::start(Store::Sqlite).await, TestDatabase::at(pair.url(), None), &[]).await;
    let person = world.person("ada").await;
    let mut answers = vec![insist(&world, &person, "before").await];
    let (underway, _) = tokio::sync::watch::channel(false);
    let asking = join_all((0..4).map(|asker| {
        let (world, person, mut underway) = (&world, &person, underway.subscribe());
        async move {
            let mut answers = Vec::new();
            for turn in 0..6 {
                if turn == 2 {
                    underway.wait_for(|underway| *underway).await.unwrap();
                }
                let (status, answer) = asked(world, person, &format!("{asker} {turn}")).await;
                answers.extend((status == 200).then_some(answer));
            }
            answers
        }
    }));
    let losing = async {
        while world.model_calls() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        underway.send_replace(true);
        pair.fail_over(loss);
        pair
    };
    let (answered, _pair) = tokio::join!(asking, losing);
    answers.extend(answered.into_iter().flatten());
    answers.push(insist(&world, &person, "after").await);
    is_well(&world, &person, &answers).await;
    assert!(outages(&world, "database").await <= Some(1), "said once, if anybody noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_loses_no_answer_and_charges_nothing_twice() {
    a_failover_loses_no_answer_and_charges_nothing_twice(Loss::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_machine_is_gone_loses_no_answer_and_charges_nothing_twice() {
    a_failover_loses_no_answer_and_charges_nothing_twice(Loss::Gone).await;
}
