//! The real process, killed at every place of an answer, then started again: there is one debit and one answer, or neither.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Person, Store, World, parts, until};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// The places of an answer that are died at, in their order.
const PLACES: [&str; 8] = [
    "chat: call claimed",
    "chat: before reserving",
    "chat: reserved",
    "chat: answered",
    "chat: before the exchange is written",
    WRITTEN,
    "chat: stored, not settled",
    "chat: settled, not acknowledged",
];

/// SQLite is given the writes and the commit as one.
const WRITTEN: &str = "database: written, not committed";

/// The program, on a port of its own.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Process {
    pub(crate) async fn start(world: &World, place: Option<&str>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat-backend"));
        command.envs(world.process_environment()).env("PORT", port.to_string()).env("HOST", "127.0.0.1");
        command.env("DATABASE_URL", world.test_database.url.expose_secret());
        if let Some(redis) = &world.test_database.redis_url {
            command.env("REDIS_URL", redis.expose_secret());
        }
        if let Some(place) = place {
            command.env("MANA_DIE_AT", place);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let process = Self { child, url: format!("http://127.0.0.1:{port}") };
        until("the process answers", async || reqwest::get(format!("{}/api/health", process.url)).await.is_ok()).await;
        process
    }

    async fn ask(&self, world: &World, person: &Person, text: &str, stream: bool) -> reqwest::Result<(u16, Value)> {
        let body = json!({ "messages": [{ "role": "user", "content": text }], "stream": stream });
        let call = world.http.post(format!("{}/api/chat", self.url)).bearer_auth(&person.token);
        let answer = call.header("idempotency-key", "the-one").json(&body).send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}

/// Dies at a place, with an answer or without one, comes again, and is asked the same again.
async fn check(store: Store, place: &str, text: &str, stream: bool) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let mut process = Process::start(&world, Some(place)).await;
    let outcome = process.ask(&world, &person, text, stream).await;
    let died = tokio::time::timeout(Duration::from_secs(10), process.child.wait()).await;
    assert!(died.is_ok(), "{place}: it was to die; it answered {outcome:?}");

    let (debits, saved) = (50 - world.ledger_balance(&person).await, world.count("messages").await / 2);
    assert!(debits <= 1 && saved <= 1, "{place}: {debits} held or taken for {saved} stored");
    // Nobody has heard of it for half a minute.
    {
        use sea_orm::ConnectionTrait;
        world.database.execute_unprepared("UPDATE idempotent_calls SET lease_until = 1").await.unwrap();
        world.database.execute_unprepared("UPDATE outbox SET next_attempt_at = 1").await.unwrap();
    }
    let process = Process::start(&world, None).await;
    let again = process.ask(&world, &person, text, stream).await.unwrap();
    let answers = i64::from(!text.contains("[fail"));
    assert_eq!(again.0, if answers == 1 { 200 } else { 502 }, "{place}: {again:?}");
    until("the outbox is empty", async || world.count("outbox").await == 0).await;
    // What died with the process is given back when its time is over; what is stored is paid by then.
    world.auth.expire_reservations(Duration::from_hours(2)).await;
    assert_eq!(world.count("messages").await, 2 * answers, "{place}");
    assert_eq!(world.ledger_balance(&person).await, 50 - answers, "{place}: one answer, one debit");
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new(), "{place}");
    let repeated = process.ask(&world, &person, text, stream).await.unwrap();
    assert_eq!((repeated.0, world.ledger_balance(&person).await), (again.0, 50 - answers), "{place}");
}

async fn killed_at_any_step_there_is_one_debit_and_one_answer_or_neither(store: Store) {
    for place in PLACES.into_iter().filter(|place| *place != WRITTEN || store == Store::Postgres) {
        for stream in [false, true] {
            check(store, place, "hello there", stream).await;
        }
    }
    check(store, "chat: delivered", "hello there", true).await;
    for place in ["chat: answered", "chat: before releasing", "chat: released"] {
        check(store, place, "[fail=500]", false).await;
    }
}

async fn a_stream_cut_off_by_a_kill_was_not_charged(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let mut process = Process::start(&world, Some("chat: answered")).await;
    let outcome = process.ask(&world, &person, "one two three", true).await;
    let died = tokio::time::timeout(Duration::from_secs(10), process.child.wait()).await;
    assert!(died.is_ok(), "it was to die; it answered {outcome:?}");
    assert!(!matches!(&outcome, Ok((_, Value::String(text))) if text.contains("event: done")), "{outcome:?}");
    world.auth.expire_reservations(Duration::from_hours(2)).await;
    assert_eq!((world.ledger_balance(&person).await, world.count("messages").await), (50, 0));
    let _ = parts(world.ask(&person, "still there?").await).await;
}

crate::support::on_both_stores!(
    killed_at_any_step_there_is_one_debit_and_one_answer_or_neither,
    a_stream_cut_off_by_a_kill_was_not_charged,
);
