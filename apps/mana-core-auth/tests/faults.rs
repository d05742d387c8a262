//! PostgreSQL and Redis going away, being full, and coming back, with real servers of the test's own: calls wait within
//! limits or fail clearly, nothing is charged twice, and all is well again without anybody's help.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kit::testing::{Loss, OwnPostgres, OwnRedis, Pair, TestDatabase};
use mana_core_auth::testing::{Auth, SERVICE_TOKEN};
use reqwest::{Client, StatusCode};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

/// No call takes longer, whatever is away: the ledger's own patience and a little.
const LONGEST: Duration = Duration::from_secs(8);

/// By then everything works again.
const RECOVERED: Duration = Duration::from_secs(30);

struct World {
    auth: Auth,
    client: Client,
    user: Value,
    token: String,
}

impl World {
    async fn start(postgres: &OwnPostgres, redis: Option<&OwnRedis>) -> Self {
        Self::start_at(postgres.url(), redis.map(OwnRedis::url)).await
    }

    async fn start_at(postgres: String, redis: Option<String>) -> Self {
        let auth = Auth::start_at(TestDatabase::at(postgres, redis)).await;
        let client = Client::new();
        let answer: Value = register(&client, &auth.url, "ada").await.json().await.unwrap();
        let (user, token) = (answer["user"]["id"].clone(), answer["accessToken"].as_str().unwrap().to_owned());
        Self { auth, client, user, token }
    }

    /// One call, which ends in time, well or clearly not.
    async fn call(&self, what: &str, mut body: Value) -> (StatusCode, Value) {
        body["userId"] = self.user.clone();
        let url = format!("{}/api/internal/credits/{what}", self.auth.url);
        let began = Instant::now();
        let answer = self.client.post(url).header("x-service-token", SERVICE_TOKEN).json(&body).send().await.unwrap();
        assert!(began.elapsed() < LONGEST, "{what} took {:?}", began.elapsed());
        let status = answer.status();
        let patient = answer.headers().contains_key("retry-after");
        let body: Value = answer.json().await.unwrap();
        assert!(status == StatusCode::OK || (status == StatusCode::SERVICE_UNAVAILABLE && patient), "{status} {body}");
        if status != StatusCode::OK {
            let code = body["code"].as_str().unwrap();
            assert!(["ledger_busy", "database_unavailable"].contains(&code), "{body}");
            assert_eq!(body["type"], format!("urn:mana:problem:{code}"));
        }
        (status, body)
    }

    /// Repeats a call until it succeeds.
    async fn insist(&self, what: &str, body: Value) -> Value {
        let began = Instant::now();
        loop {
            let (status, answer) = self.call(what, body.clone()).await;
            if status == StatusCode::OK {
                return answer;
            }
            assert!(began.elapsed() < RECOVERED, "{what} never succeeds: {answer}");
        }
    }

    /// A whole charge, insisted upon.
    async fn charge(&self, key: &str) {
        let held = self.insist("reserve", json!({"amount": 1, "idempotencyKey": key})).await;
        self.insist("settle", json!({"reservationId": held["reservationId"]})).await;
    }

    async fn metrics(&self) -> String {
        self.client.get(format!("{}/metrics", self.auth.url)).send().await.unwrap().text().await.unwrap()
    }

    /// It is ready without anybody's help, everything was charged once, and the outages were said so many times.
    async fn is_well(&self, charged: i64, outages: &str) {
        let began = Instant::now();
        let ready = || self.client.get(format!("{}/api/health/ready", self.auth.url)).send();
        while ready().await.unwrap().status() != StatusCode::OK {
            assert!(began.elapsed() < RECOVERED, "it is not ready again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.balance().await, 50 - charged);
        assert_eq!(self.auth.ledger_findings().await, Vec::<String>::new());
        let metrics = self.metrics().await;
        assert!(metrics.contains(outages), "{outages} is missing in\n{metrics}");
    }

    async fn balance(&self) -> i64 {
        let user = self.user.as_str().unwrap();
        let query = format!("SELECT (available + paid) / 1000 AS n FROM balances WHERE user_id = '{user}'");
        let row = self.auth.database.query_one_raw(Statement::from_string(self.auth.database.engine(), query)).await;
        row.unwrap().unwrap().try_get("", "n").unwrap()
    }
}

async fn register(client: &Client, url: &str, name: &str) -> reqwest::Response {
    let body = json!({"email": format!("{name}@example.com"), "password": "a good password", "name": name});
    client.post(format!("{url}/api/auth/register")).json(&body).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_postgres_charges_nobody_twice_and_is_found_again() {
    let mut postgres = OwnPostgres::start(50);
    let world = World::start(&postgres, None).await;
    // On threads of their own: what is measured is the service, not how long a server takes to start.
    let restart = |mut postgres: OwnPostgres| {
        tokio::task::spawn_blocking(move || {
            postgres.stop();
            postgres.start_again();
            postgres
        })
    };
    let charging = join_all((0..4).map(|payer| {
        let world = &world;
        async move {
            for turn in 0..6 {
                world.charge(&format!("{payer} {turn}")).await;
            }
        }
    }));
    let restarting = async {
        for _ in 0..3 {
            postgres = restart(postgres).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        postgres
    };
    let (_, mut postgres) = tokio::join!(charging, restarting);

    // Away for longer than anybody waits.
    tokio::task::block_in_place(|| postgres.stop());
    let away =
        join_all((0..8).map(|n| world.call("reserve", json!({"amount": 1, "idempotencyKey": format!("away {n}")}))));
    assert!(away.await.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE));
    let url = format!("{}/api/credits/balance", world.auth.url);
    let reading = world.client.get(url).bearer_auth(&world.token).send().await.unwrap();
    assert_eq!(reading.status(), StatusCode::SERVICE_UNAVAILABLE);
    tokio::task::block_in_place(|| postgres.start_again());
    for n in 0..8 {
        world.charge(&format!("away {n}")).await;
    }
    assert_eq!(world.balance().await, 50 - 4 * 6 - 8);
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
    let metrics = world.metrics().await;
    for series in ["ledger_batches_given_up_total", "database_unavailable_total"] {
        assert!(metrics.contains(series), "{series} is missing in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_without_a_free_connection_is_waited_for_within_limits() {
    const CONNECTIONS: u32 = 12;
    let postgres = OwnPostgres::start(CONNECTIONS);
    let world = World::start(&postgres, None).await;
    world.charge("before").await;
    // Others take every connection there is, those of the service included.
    let mut hogs = Vec::new();
    let url: secrecy::SecretString = postgres.url().into();
    let first = kit::database::connect(Some(&url)).await.unwrap();
    let first = first.begin_write().await.unwrap();
    let end_others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    first.execute_unprepared(end_others).await.unwrap();
    for _ in 1..CONNECTIONS {
        let hog = kit::database::connect(Some(&url)).await.unwrap();
        match hog.begin_write().await {
            Ok(transaction) => hogs.push(transaction),
            // The service was faster with one; it loses it again.
            Err(_) => break,
        }
    }
    let (status, problem) = world.call("reserve", json!({"amount": 1, "idempotencyKey": "without"})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert!(["ledger_busy", "database_unavailable"].contains(&problem["code"].as_str().unwrap()), "{problem}");
    drop(hogs);
    drop(first);
    world.charge("without").await;
    assert_eq!(world.balance().await, 48);
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_needs_no_redis_and_gift_codes_wait_for_it() {
    let (postgres, mut redis) = (OwnPostgres::start(50), OwnRedis::start());
    let world = World::start(&postgres, Some(&redis)).await;
    let redeem = async |code: &str| {
        let call = world.client.post(format!("{}/api/credits/redeem", world.auth.url)).bearer_auth(&world.token);
        let began = Instant::now();
        let answer = call.json(&json!({"code": code})).send().await.unwrap();
        assert!(began.elapsed() < LONGEST);
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let codes =
        [world.auth.gift_code(kit::Credits::whole(1), 1).await, world.auth.gift_code(kit::Credits::whole(1), 1).await];
    // Halted: connections stay, answers do not come.
    redis.halt();
    world.charge("halted").await;
    let grant = json!({"amount": 1, "idempotencyKey": "halted"});
    assert_eq!(world.insist("grant", grant).await["balance"], 50, "a balance that is not told changes all the same");
    assert_eq!(redeem(&codes[0]).await.0, StatusCode::SERVICE_UNAVAILABLE, "tries cannot be counted");
    redis.go_on();
    let began = Instant::now();
    while redeem(&codes[0]).await.0 != StatusCode::OK {
        assert!(began.elapsed() < RECOVERED, "it is found again");
    }
    // Gone, and back with nothing in it.
    tokio::task::block_in_place(|| redis.stop());
    world.charge("gone").await;
    assert_eq!(redeem(&codes[1]).await.0, StatusCode::SERVICE_UNAVAILABLE);
    tokio::task::block_in_place(|| redis.start_again());
    let began = Instant::now();
    while redeem(&codes[1]).await.0 != StatusCode::OK {
        assert!(began.elapsed() < RECOVERED, "it is found again");
    }
    assert_eq!(world.balance().await, 51);
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
    assert!(world.metrics().await.contains("cache_errors_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_halted_holds_nobody_up_for_longer_than_they_wait() {
    let postgres = OwnPostgres::start(50);
    let world = World::start(&postgres, None).await;
    world.charge("before").await;
    postgres.halt();
    for n in 0..2 {
        let calls = join_all(
            (0..8).map(|m| world.call("reserve", json!({"amount": 1, "idempotencyKey": format!("halted {n} {m}")}))),
        );
        assert!(calls.await.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE));
    }
    let url = format!("{}/api/health/ready", world.auth.url);
    assert_eq!(world.client.get(url).send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    postgres.go_on();
    for n in 0..2 {
        let keys: Vec<String> = (0..8).map(|m| format!("halted {n} {m}")).collect();
        join_all(keys.iter().map(|key| world.charge(key))).await;
    }
    world.is_well(1 + 16, "outages_total{of=\"database\"} 1").await;
}

/// Charges go on while the primary is lost; whoever is not answered asks the same again.
async fn a_failover_loses_nothing_and_charges_nobody_twice(loss: Loss) {
    const PAYERS: i64 = 4;
    const TURNS: i64 = 6;
    let mut pair = Pair::start(50).await;
    let world = World::start_at(pair.url(), None).await;
    let (charged, underway) = (AtomicI64::new(0), tokio::sync::watch::channel(false).0);
    let charging = join_all((0..PAYERS).map(|payer| {
        let (world, charged, mut underway) = (&world, &charged, underway.subscribe());
        async move {
            for turn in 0..TURNS {
                if turn == TURNS / 2 {
                    underway.wait_for(|underway| *underway).await.unwrap();
                }
                world.charge(&format!("{payer} {turn}")).await;
                charged.fetch_add(1, Ordering::SeqCst);
            }
        }
    }));
    let losing = async {
        while charged.load(Ordering::SeqCst) < PAYERS * TURNS / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        underway.send_replace(true);
        // Calls are under way.
        tokio::time::sleep(Duration::from_millis(10)).await;
        pair.fail_over(loss);
        pair
    };
    let (_, _pair) = tokio::join!(charging, losing);
    // Where no call is under way, a machine that is gone is found out by a test of the connection, and nobody notices.
    let said = if loss == Loss::Killed { "outages_total{of=\"database\"} 1" } else { "ledger_calls_total" };
    world.is_well(PAYERS * TURNS, said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_loses_nothing_and_charges_nobody_twice() {
    a_failover_loses_nothing_and_charges_nobody_twice(Loss::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_machine_is_gone_loses_nothing_and_charges_nobody_twice() {
    a_failover_loses_nothing_and_charges_nobody_twice(Loss::Gone).await;
}

/// PostgreSQL itself would say after its `statement_timeout` that such a commit is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_one_machine_alone_is_not_answered() {
    let pair = Pair::start(50).await;
    let world = World::start_at(pair.url(), None).await;
    pair.standby.halt();
    let (reserving, registering) = tokio::join!(
        world.call("reserve", json!({"amount": 1, "idempotencyKey": "alone"})),
        register(&world.client, &world.auth.url, "bob"),
    );
    assert_eq!(reserving.0, StatusCode::SERVICE_UNAVAILABLE, "{}", reserving.1);
    assert_eq!(registering.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(registering.headers().contains_key("retry-after"));
    pair.standby.go_on();
    world.charge("alone").await;
    let began = Instant::now();
    // It is in by now, or not at all.
    while ![StatusCode::CREATED, StatusCode::CONFLICT]
        .contains(&register(&world.client, &world.auth.url, "bob").await.status())
    {
        assert!(began.elapsed() < RECOVERED, "nobody can register any more");
    }
    world.is_well(1, "outages_total{of=\"database\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_everything_changes_no_charge() {
    let (postgres, redis) = (OwnPostgres::start(50), OwnRedis::start());
    let world = World::start(&postgres, Some(&redis)).await;
    let keys: Vec<String> = (0..20).map(|n| format!("charge {n}")).collect();
    let charging = join_all(keys.iter().map(|key| world.charge(key)));
    let forgetting = async {
        for _ in 0..50 {
            tokio::task::block_in_place(|| redis.flush());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::join!(charging, forgetting);
    world.is_well(20, "ledger_calls_total").await;
}

/// Wrong passwords at an instance, all at once; how they were answered, in order of size.
async fn guess(client: &Client, instance: &str, email: &str, times: usize) -> Vec<u16> {
    // Each account is guessed at from an address of its own, so that only tries are counted here and no requests a minute.
    let from = email.bytes().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let from = &format!("203.0.113.{from}");
    let guesses = (0..times).map(|_| async {
        let body = json!({"email": email, "password": "a wrong password"});
        let began = Instant::now();
        let answer = client.post(format!("{instance}/api/auth/login")).header("x-real-ip", from).json(&body);
        let answer = answer.send().await.unwrap();
        assert!(began.elapsed() < LONGEST, "a login took {:?}", began.elapsed());
        answer.status().as_u16()
    });
    let mut statuses = join_all(guesses).await;
    statuses.sort_unstable();
    statuses
}

fn counted_alone(metrics: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix("counts_of_this_instance_alone_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_dies_between_two_tries_gives_nobody_their_tries_anew() {
    let (postgres, mut redis) = (OwnPostgres::start(50), OwnRedis::start());
    let world = World::start(&postgres, Some(&redis)).await;
    let beside = world.auth.beside().await;
    let (client, here, there) = (&world.client, world.auth.url.as_str(), beside.url.as_str());
    assert_eq!(guess(client, here, "ada@example.com", 3).await, [401; 3]);
    let before = counted_alone(&world.metrics().await);

    // Five tries wait for Redis when it dies.
    redis.halt();
    let dying = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tokio::task::block_in_place(|| redis.stop());
        redis
    };
    let (tries, mut redis) = tokio::join!(guess(client, here, "eve@example.com", 5), dying);
    assert_eq!(tries, [401; 5], "nobody is locked out for want of a counter");
    assert_eq!(guess(client, here, "eve@example.com", 2).await, [429; 2], "and nobody has more tries for it");
    assert_eq!(guess(client, here, "ada@example.com", 3).await, [401, 401, 429], "with those before there were five");
    assert_eq!(guess(client, there, "ada@example.com", 6).await, [401, 401, 401, 401, 401, 429], "by instance");
    let right = json!({"email": "ada@example.com", "password": "a good password"});
    let owner = client.post(format!("{here}/api/auth/login")).header("x-real-ip", "198.51.100.9").json(&right);
    assert_eq!(owner.send().await.unwrap().status(), StatusCode::OK, "who knows the password gets in elsewhere");
    let alone = counted_alone(&world.metrics().await);
    assert!(alone >= before + 10, "{before} and then {alone}");

    tokio::task::block_in_place(|| redis.start_again());
    let began = Instant::now();
    for round in 0.. {
        let email = format!("nobody{round}@example.com");
        let one = guess(client, here, &email, 3).await;
        let two = guess(client, there, &email, 3).await;
        if one == [401; 3] && two == [401, 401, 429] {
            break;
        }
        assert!(began.elapsed() < RECOVERED, "the instances count together again: {one:?} {two:?}");
    }
    let alone = counted_alone(&world.metrics().await);
    assert_eq!(guess(client, here, "late@example.com", 6).await, [401, 401, 401, 401, 401, 429]);
    assert_eq!(counted_alone(&world.metrics().await), alone, "nothing is counted alone any more");
}
