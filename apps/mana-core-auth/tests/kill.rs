//! The real program, killed again and again while clients charge: at each of its failpoints in turn, and from outside at
//! any moment. Clients repeat what was not answered. In the end each charge was made exactly once.
//!
//! `MANA_KILLS` says how often; the default keeps the test short.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kit::database::Database;
use kit::testing::{Store, TestDatabase};
use mana_core_auth::testing::{ISSUER, SERVICE_TOKEN, SIGNING_SEED, expire_reservations, ledger_findings};
use reqwest::{Client, StatusCode};
use sea_orm::{ConnectionTrait, Statement};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Clients at once, all on one account: so that batches have several calls in them.
const CLIENTS: u64 = 6;

/// The failpoints that one or two batches pass: each is died at in turn.
const PLACES: u64 = 30;

/// Longest time for a life to come to its end.
const LIFE: Duration = Duration::from_secs(20);

/// What the account has.
const CREDITS: i64 = 1_000_000;

fn kills() -> u64 {
    std::env::var("MANA_KILLS").map_or(90, |text| text.parse().unwrap())
}

/// One life of the program.
struct Life {
    child: Child,
    url: String,
}

impl Life {
    async fn begin(database: &TestDatabase, die_at: Option<u64>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mana-core-auth"));
        command.env_clear().envs([
            ("PORT", "0"),
            ("TOKEN_ISSUER", ISSUER),
            ("SERVICE_TOKEN", SERVICE_TOKEN),
            ("AUTH_SIGNING_SEED", SIGNING_SEED),
            ("SIGN_UP_GRANT", "1000000"),
            ("DATABASE_URL", database.url.expose_secret()),
            // Being killed is what happens here; nobody needs to read of it.
            ("RUST_LOG", "kit=info"),
        ]);
        if let Some(place) = die_at {
            command.env("MANA_DIE_AT", place.to_string());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = async {
            loop {
                let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().expect("it listens")).unwrap();
                if let Some(address) = line["address"].as_str() {
                    return format!("http://{address}");
                }
            }
        };
        let url = tokio::time::timeout(LIFE, listening).await.expect("it listens in time");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, url }
    }

    async fn end(mut self) {
        tokio::time::timeout(LIFE, self.child.wait()).await.expect("it dies in time").unwrap();
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// What one client did.
#[derive(Default)]
struct Done {
    reserved: u64,
    spent: i64,
    /// Reserved and left alone.
    left: i64,
}

/// Someone who charges, through all lives.
struct Payer {
    number: u64,
    user: Value,
    address: watch::Receiver<String>,
    client: Client,
    answered: Arc<AtomicU64>,
}

impl Payer {
    /// Asks until there is an answer.
    async fn call(&mut self, what: &str, body: &Value) -> (StatusCode, Value) {
        loop {
            let url = format!("{}/api/internal/credits/{what}", *self.address.borrow_and_update());
            let call = self.client.post(url).header("x-service-token", SERVICE_TOKEN).json(body).send();
            if let Ok(answer) = call.await {
                let status = answer.status();
                if !status.is_server_error()
                    && let Ok(body) = answer.json().await
                {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return (status, body);
                }
            }
            // Either the next life has its address already, or it soon will; a server error is no reason to wait for it.
            let _ = tokio::time::timeout(Duration::from_millis(100), self.address.changed()).await;
        }
    }

    async fn pay(mut self, over: Arc<AtomicBool>) -> Done {
        let mut done = Done::default();
        for turn in 0_i64.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let amount = 1 + turn % 5;
            let key = format!("{}-{turn}", self.number);
            let body = json!({"userId": self.user, "amount": amount, "idempotencyKey": key, "ttlSeconds": 60});
            let (status, held) = self.call("reserve", &body).await;
            assert_eq!(status, StatusCode::OK, "{held}");
            done.reserved += 1;
            let mut body = json!({"userId": self.user, "reservationId": held["reservationId"]});
            match turn % 4 {
                0 => assert_eq!(self.call("release", &body).await.0, StatusCode::OK),
                1 => done.left += amount,
                half => {
                    let spent = if half == 2 { amount } else { amount / 2 };
                    body["amount"] = json!(spent);
                    let (status, answer) = self.call("settle", &body).await;
                    assert_eq!(status, StatusCode::OK, "{answer}");
                    done.spent += spent;
                }
            }
        }
        done
    }
}

async fn number(database: &Database, query: &str) -> i64 {
    let row = database.query_one_raw(Statement::from_string(database.engine(), query)).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

async fn killed_anywhere_each_charge_is_made_exactly_once(store: Store) {
    let test_database = TestDatabase::create(store).await;
    let database = test_database.connect().await;
    mana_core_auth::MIGRATIONS.run(&database).await.unwrap();
    let life = Life::begin(&test_database, None).await;
    let client = Client::builder().timeout(LIFE).build().unwrap();
    let person = json!({"email": "ada@example.com", "password": "a good password", "name": "Ada"});
    let registered = client.post(format!("{}/api/auth/register", life.url)).json(&person).send().await.unwrap();
    let user = registered.json::<Value>().await.unwrap()["user"]["id"].clone();

    let (place, address) = watch::channel(life.url.clone());
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let payers = (0..CLIENTS).map(|number| {
        let (client, user, address, answered) = (client.clone(), user.clone(), address.clone(), answered.clone());
        let payer = Payer { number, user, address, client, answered };
        tokio::spawn(payer.pay(over.clone()))
    });
    let payers: Vec<_> = payers.collect();
    life.kill().await;
    for kill in 0..kills() {
        let from_outside = kill % 3 == 2;
        let die_at = (!from_outside).then_some(1 + (kill - kill / 3) % PLACES);
        let life = Life::begin(&test_database, die_at).await;
        place.send_replace(life.url.clone());
        if from_outside {
            // Not waiting for luck: any moment will do.
            tokio::time::sleep(Duration::from_millis(kill * 7 % 40)).await;
            life.kill().await;
        } else {
            life.end().await;
        }
        let sum = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM entries";
        assert_eq!(number(&database, sum).await, 0, "at every moment");
    }
    let life = Life::begin(&test_database, None).await;
    place.send_replace(life.url.clone());
    over.store(true, Ordering::Relaxed);
    let mut done = Done::default();
    for payer in payers {
        let one = payer.await.unwrap();
        done.reserved += one.reserved;
        done.spent += one.spent;
        done.left += one.left;
    }
    life.kill().await;

    let answered = answered.load(Ordering::Relaxed);
    assert!(done.reserved > kills(), "{} charges in {answered} answers", done.reserved);
    assert_eq!(ledger_findings(&database).await, Vec::<String>::new());
    let units = |credits: i64| credits * 1_000;
    let made = number(&database, "SELECT COUNT(*) FROM reservations").await;
    assert_eq!(made, i64::try_from(done.reserved).unwrap(), "none was made twice or lost");
    let balance = "SELECT available + paid FROM balances";
    assert_eq!(number(&database, balance).await, units(CREDITS - done.spent - done.left));
    // What nobody resolved comes back when its time is over, and nothing else does.
    let held = number(&database, "SELECT COUNT(*) FROM reservations WHERE state = 'held'").await;
    assert_eq!(expire_reservations(&database, Duration::from_mins(2)).await, held.unsigned_abs());
    assert_eq!(number(&database, balance).await, units(CREDITS - done.spent));
    assert_eq!(ledger_findings(&database).await, Vec::<String>::new());
    println!("{} kills: {} charges, {answered} answers, {} credits spent", kills(), done.reserved, done.spent);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_each_charge_is_made_exactly_once_on_sqlite() {
    killed_anywhere_each_charge_is_made_exactly_once(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_each_charge_is_made_exactly_once_on_postgres() {
    killed_anywhere_each_charge_is_made_exactly_once(Store::Postgres).await;
}
