//! The real program, killed again and again while people ask: at each of its failpoints in turn, and from outside at any
//! moment. In the end every stored answer was charged exactly once, and nothing else was.
//!
//! `MANA_KILLS` says how often; the default keeps the test short.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use ai::echo::Settings;
use chat_backend::MIGRATIONS;
use kit::database::Database;
use kit::service::Service;
use kit::testing::{Running, TestDatabase};
use mana_core_auth::testing::{Auth, ISSUER, SERVICE_TOKEN};
use sea_orm::{ConnectionTrait, Statement};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::support::{Store, until};

/// People who ask at once, all on one account.
const ASKERS: usize = 4;

/// The places that a few answers pass: each is died at in turn.
const PLACES: u64 = 32;

/// Longest time for a life to come to its end.
const LIFE: Duration = Duration::from_secs(30);

const CREDITS: i64 = 100_050;

fn kills() -> u64 {
    std::env::var("MANA_KILLS").map_or(48, |text| text.parse().unwrap())
}

/// What lives through all of it.
struct Around {
    auth: Auth,
    echo: Running,
    test_database: TestDatabase,
    database: Database,
}

impl Around {
    async fn start(store: Store) -> Self {
        let auth = Auth::start(store).await;
        let (routes, _, _) = ai::echo::service(Settings::default());
        let echo = Running::start(Service::new(routes).into_router()).await;
        let test_database = TestDatabase::create(store).await;
        let database = test_database.connect().await;
        MIGRATIONS.run(&database).await.unwrap();
        Self { auth, echo, test_database, database }
    }

    async fn number(&self, query: &str) -> i64 {
        let row = self.database.query_one_raw(Statement::from_string(self.database.engine(), query)).await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }
}

/// One life of the program.
struct Life {
    child: Child,
    url: String,
}

impl Life {
    /// `None`: it died before it listened, repeating what the life before had left.
    async fn begin(around: &Around, die_at: Option<u64>) -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat-backend"));
        command.env_clear().envs([
            ("PORT", "0"),
            ("MANA_CORE_AUTH_URL", around.auth.url.as_str()),
            ("SERVICE_TOKEN", SERVICE_TOKEN),
            ("TOKEN_ISSUER", ISSUER),
            ("AI_PROVIDERS", "echo"),
            ("AI_ECHO_URL", &around.echo.url),
            ("DATABASE_URL", around.test_database.url.expose_secret()),
            ("RUST_LOG", "kit=info"),
        ]);
        command.envs(around.test_database.redis_url.as_ref().map(|url| ("REDIS_URL", url.expose_secret())));
        if let Some(place) = die_at {
            command.env("MANA_DIE_AT", place.to_string());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let line: Value = serde_json::from_str(&line).unwrap();
                if let Some(address) = line["address"].as_str() {
                    return Some(format!("http://{address}"));
                }
            }
            None
        };
        let url = tokio::time::timeout(LIFE, listening).await.expect("it listens or dies in time")?;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self { child, url })
    }

    async fn end(mut self) {
        tokio::time::timeout(LIFE, self.child.wait()).await.expect("it dies in time").unwrap();
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Asks until told to stop; what breaks is not asked again. Every sixth question fails at the model, every third is streamed.
async fn ask(token: String, mut address: watch::Receiver<String>, over: Arc<AtomicBool>, given: Arc<AtomicI64>) {
    let http = reqwest::Client::builder().timeout(LIFE).build().unwrap();
    for turn in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let url = format!("{}/api/chat/completions", *address.borrow_and_update());
        let says = if turn % 6 == 5 { "[fail=500]" } else { "one two three" };
        let body = json!({"messages": [{"role": "user", "content": says}], "stream": turn % 3 == 1});
        let answer = async {
            let answer = http.post(url).bearer_auth(&token).json(&body).send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.text().await?))
        };
        match answer.await {
            Ok((status, text)) if status.is_success() && (turn % 3 != 1 || text.contains("event: done")) => {
                given.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(_) => drop(tokio::time::timeout(Duration::from_millis(100), address.changed()).await),
        }
    }
}

async fn killed_anywhere_every_stored_answer_is_charged_exactly_once(store: Store) {
    let around = Around::start(store).await;
    let http = reqwest::Client::new();
    let person = json!({"email": "ada@example.org", "password": "correct horse battery", "name": "Ada"});
    let registered = http.post(format!("{}/api/auth/register", around.auth.url)).json(&person).send().await.unwrap();
    let registered: Value = registered.json().await.unwrap();
    let grant = json!({"userId": registered["user"]["id"], "amount": CREDITS - 50, "idempotencyKey": "much"});
    let url = format!("{}/api/internal/credits/grant", around.auth.url);
    let granted = http.post(url).header("x-service-token", SERVICE_TOKEN).json(&grant).send().await.unwrap();
    assert_eq!(granted.status(), 200);

    let (place, address) = watch::channel("http://127.0.0.1:1".to_owned());
    let (over, given) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let token = registered["accessToken"].as_str().unwrap();
    let askers: Vec<_> = (0..ASKERS)
        .map(|_| tokio::spawn(ask(token.to_owned(), address.clone(), over.clone(), given.clone())))
        .collect();
    for kill in 0..kills() {
        let from_outside = kill % 3 == 2;
        let die_at = (!from_outside).then_some(1 + (kill - kill / 3) % PLACES);
        let Some(life) = Life::begin(&around, die_at).await else { continue };
        place.send_replace(life.url.clone());
        if from_outside {
            // Not waiting for luck: any moment will do.
            tokio::time::sleep(Duration::from_millis(kill * 11 % 80)).await;
            life.kill().await;
        } else {
            life.end().await;
        }
    }
    let last = Life::begin(&around, None).await.expect("nothing kills this one");
    place.send_replace(last.url.clone());
    until("answers are given again", async || given.load(Ordering::Relaxed) > 0).await;
    over.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.await.unwrap();
    }
    until("the ledger has been told everything", async || around.number("SELECT COUNT(*) FROM outbox").await == 0)
        .await;
    last.kill().await;

    // Reservations of answers that were never stored come back when their time is over; those of stored ones are settled.
    around.auth.expire_reservations(Duration::from_hours(2)).await;
    let stored = around.number("SELECT COUNT(*) FROM messages WHERE role = 'assistant'").await;
    let url = format!("{}/api/credits/balance", around.auth.url);
    let left: Value = http.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
    assert_eq!(left["balance"].as_i64().unwrap(), CREDITS - stored, "{stored} answers are stored");
    let given = given.load(Ordering::Relaxed);
    assert!(given <= stored, "{given} answers were given, and {stored} are stored");
    assert_eq!(around.auth.ledger_findings().await, Vec::<String>::new());
    println!("{} kills: {stored} answers stored and charged, {given} given whole", kills());
}

crate::support::on_both_stores!(killed_anywhere_every_stored_answer_is_charged_exactly_once);
