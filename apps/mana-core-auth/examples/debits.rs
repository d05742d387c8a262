//! Measures debits (reserve, then settle) of one account by many clients at once, over HTTP, against a running service:
//! `debits URL CLIENTS SECONDS`, with `SERVICE_TOKEN` in the environment. Prints one line of JSON; fails where a single
//! credit is missing. `benches/ledger/run.py` starts the service and runs it.
#![expect(clippy::expect_used, reason = "a measurement fails by panicking")]

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};

/// What is not measured: connections are opened and statements prepared in it.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Service {
    url: String,
    token: String,
    client: Client,
}

impl Service {
    async fn call(&self, what: &str, body: &Value) -> Value {
        let call = self.client.post(format!("{}/api/internal/credits/{what}", self.url));
        let answer = call.header("x-service-token", &self.token).json(body).send().await.expect("the service answers");
        assert!(answer.status().is_success(), "{what}: {}", answer.status());
        answer.json().await.expect("JSON")
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, clients, seconds] = arguments.as_slice() else { panic!("debits URL CLIENTS SECONDS") };
    let clients: u64 = clients.parse().expect("a number of clients");
    let seconds: u64 = seconds.parse().expect("a number of seconds");
    let token = std::env::var("SERVICE_TOKEN").expect("SERVICE_TOKEN");
    let client = Client::builder().pool_max_idle_per_host(1_024).build().expect("a client");
    let service = Service { url: url.clone(), token, client };

    let person = json!({"email": format!("{}@example.org", kit::clock::new_id()), "password": "correct horse battery", "name": "Bench"});
    let registered = service.client.post(format!("{url}/api/auth/register")).json(&person).send().await;
    let registered: Value = registered.expect("the service answers").json().await.expect("JSON");
    let user = registered["user"]["id"].clone();
    let grant = json!({"userId": user, "amount": 1_000_000_000, "idempotencyKey": "bench"});
    let before = service.call("grant", &grant).await["balance"].as_i64().expect("a balance");

    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(seconds);
    let payers: Vec<_> = (0..clients)
        .map(|payer| {
            let (service, user) = (service.clone(), user.clone());
            tokio::spawn(async move {
                let (mut all, mut took) = (0_i64, Vec::new());
                for turn in 0_u64.. {
                    let started = Instant::now();
                    if started >= end {
                        break;
                    }
                    let key = format!("{payer}-{turn}");
                    let held =
                        service.call("reserve", &json!({"userId": user, "amount": 1, "idempotencyKey": key})).await;
                    let settle = json!({"userId": user, "reservationId": held["reservationId"], "amount": 1});
                    service.call("settle", &settle).await;
                    all += 1;
                    if started >= begin && Instant::now() < end {
                        took.push(started.elapsed());
                    }
                }
                (all, took)
            })
        })
        .collect();
    let (mut all, mut took) = (0, Vec::new());
    for payer in payers {
        let (one, times) = payer.await.expect("a client ends");
        all += one;
        took.extend(times);
    }
    let url = format!("{url}/api/internal/credits/balance?userId={}", user.as_str().expect("an id"));
    let call = service.client.get(url).header("x-service-token", &service.token).send().await;
    let after: Value = call.expect("the service answers").json().await.expect("JSON");
    assert_eq!(after["balance"].as_i64(), Some(before - all), "exact");

    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).map_or(0, Duration::as_micros);
    let per_second = took.len() / usize::try_from(seconds).expect("few seconds");
    println!(
        "{}",
        json!({"clients": clients, "debits_per_second": per_second, "p50_us": u64::try_from(at(50)).expect("short"),
        "p99_us": u64::try_from(at(99)).expect("short"), "debits": all, "exact": true})
    );
}
