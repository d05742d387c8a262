//! The real process under more than it takes: clients that read nothing, clients that write slowly, and too many of both.
//! Its memory stays within a bound, whoever gets nothing is told so, and what was answered is charged once.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use mana_core_auth::testing::SERVICE_TOKEN;
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::killed::Process;
use crate::support::{Person, Store, World, until};

/// Connections that the process takes.
const PLACES: &str = "300";

const READ_NOTHING: usize = 100;
const WRITE_SLOWLY: usize = 60;
const ASK: usize = 400;

/// What a connection may take at most, in bytes: buffers of 64 KiB for what comes and what goes, on either side of an answer,
/// and the answer itself.
const OF_A_CONNECTION: usize = 300 * 1024;

/// A connection whose client sends this and reads nothing.
async fn connection(process: &Process, person: &Person, body: &str, claims: usize) -> TcpStream {
    let address = process.url.strip_prefix("http://").unwrap().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut connection = socket.connect(address).await.unwrap();
    let head = format!(
        "POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\ncontent-length: {claims}\r\n\r\n{body}",
        person.token
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

fn resident_bytes(process: &Process) -> usize {
    let pid = process.child.id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Calls to models that are under way.
async fn running(world: &World, process: &Process) -> u64 {
    let health =
        world.http.get(format!("{}/api/internal/models", process.url)).header("x-service-token", SERVICE_TOKEN);
    let health: Value = health.send().await.unwrap().json().await.unwrap();
    health["models"].as_array().unwrap().iter().map(|model| model["running"].as_u64().unwrap()).sum()
}

async fn a_flood_takes_bounded_memory_and_loses_no_charge(store: Store) {
    // A machine that is busy with the flood is no model that fails.
    let patient = [("AI_TIMEOUT_FIRST_BYTE_MS", "30000"), ("AI_TIMEOUT_BETWEEN_TOKENS_MS", "15000")];
    let limits = [("HTTP_MAX_CONNECTIONS", PLACES), ("AI_CONCURRENCY", "*=150"), patient[0], patient[1]];
    let world = World::start_with(store, &limits).await;
    let person = world.person("ada").await;
    world.auth.command(&["grant", "--email", "ada@example.org", "--credits", "9950"]).await.unwrap();
    let process = Process::start(&world, None).await;
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_mins(1)).build().unwrap();
    let ask = async |text: String| {
        let body = json!({ "messages": [{ "role": "user", "content": text }] });
        let answer =
            client.post(format!("{}/api/chat", process.url)).bearer_auth(&person.token).json(&body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{text} is told nothing: {error:?}"));
        let (status, patient) = (answer.status(), answer.headers().contains_key("retry-after"));
        let answer: Value = answer.json().await.unwrap();
        assert!(
            status == StatusCode::OK || (status == StatusCode::SERVICE_UNAVAILABLE && patient),
            "{status} {answer}"
        );
        (status, answer)
    };
    assert_eq!(ask("warm".to_owned()).await.0, StatusCode::OK);
    let before = resident_bytes(&process);

    // For longer than all of this takes.
    let question = "[words=10000] [delay=10]";
    let question = json!({ "messages": [{ "role": "user", "content": question }], "stream": true }).to_string();
    let mut held = Vec::new();
    for _ in 0..READ_NOTHING {
        held.push(connection(&process, &person, &question, question.len()).await);
    }
    for _ in 0..WRITE_SLOWLY {
        held.push(connection(&process, &person, "{\"messages\"", 900_000).await);
    }
    until("the answers are being written", async || running(&world, &process).await >= READ_NOTHING as u64).await;
    let asked = join_all((0..ASK).map(|n| ask(format!("question {n}")))).await;
    let ready = world.http.get(format!("{}/api/health/ready", process.url)).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK, "probes are answered all the while");
    let most = before + PLACES.parse::<usize>().unwrap() * OF_A_CONNECTION;
    let now = resident_bytes(&process);
    println!("{} KiB before, {} KiB under the flood", before / 1024, now / 1024);
    assert!(now < most, "{now} bytes of at most {most}");
    let codes: HashSet<&str> = asked.iter().filter_map(|(_, answer)| answer["code"].as_str()).collect();
    assert!(codes.contains("overloaded"), "{codes:?}");
    assert!(
        codes.iter().all(|code| ["overloaded", "busy", "storage_unavailable", "ledger_unavailable"].contains(code)),
        "{codes:?}"
    );
    let answers: Vec<&Value> = asked.iter().filter(|(status, _)| *status == StatusCode::OK).map(|(_, a)| a).collect();
    assert!(!answers.is_empty(), "those who have a place are answered: {codes:?}");

    drop(held);
    until("all are gone", async || running(&world, &process).await == 0).await;
    until("the ledger is told everything", async || world.count("outbox").await == 0).await;
    assert_eq!(ask("afterwards".to_owned()).await.0, StatusCode::OK);
    until("the ledger is told everything", async || world.count("outbox").await == 0).await;
    let rows = Statement::from_string(world.database.engine(), "SELECT id FROM messages WHERE role = 'assistant'");
    let rows = world.database.query_all_raw(rows).await.unwrap();
    let stored: HashSet<String> =
        rows.iter().map(|row| row.try_get::<uuid::Uuid>("", "id").unwrap().to_string()).collect();
    for answer in answers {
        assert!(stored.contains(answer["messageId"].as_str().unwrap()), "{answer} was answered and is not stored");
    }
    world.auth.expire_reservations(Duration::from_hours(2)).await;
    assert_eq!(world.ledger_balance(&person).await, 10_000 - i64::try_from(stored.len()).unwrap());
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

crate::support::on_both_stores!(a_flood_takes_bounded_memory_and_loses_no_charge);
