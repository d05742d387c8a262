//! What services need and nobody here runs is asked, measured and alerted of: real PostgreSQL, real Redis, a server of HTTP.

mod support;

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use mana_control::api::Alerting;
use support::webhook::{Taken, webhook};
use support::{Ecosystem, Service, free_port, until, until_within};
use tempfile::TempDir;

/// Two rounds, on a busy machine.
const ROUNDS: Duration = Duration::from_mins(1);

fn postgres() -> String {
    std::env::var("MANA_TEST_POSTGRES_URL").expect("run `make test`, or inside `scripts/test-services.sh run`")
}

fn psql(sql: &str) -> String {
    let output = Command::new("psql").args([&postgres(), "-tAc", sql]).output().expect("psql starts");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A Redis of this test's own, that it may kill.
struct Redis {
    port: u16,
    folder: TempDir,
    server: Child,
}

impl Redis {
    fn start() -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("folder"));
        let server = Self::run(port, &folder);
        Self { port, folder, server }
    }

    fn run(port: u16, folder: &TempDir) -> Child {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--requirepass", "s3cr3t/p"]);
        command.arg("--dir").arg(folder.path()).stdout(Stdio::null()).spawn().expect("redis-server starts")
    }

    fn kill(&mut self) {
        self.server.kill().expect("killed");
        self.server.wait().expect("ended");
    }

    fn again(&mut self) {
        self.server = Self::run(self.port, &self.folder);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Answers every request with the status that stands there.
async fn answering() -> (u16, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(401));
    let answered = Arc::clone(&status);
    let app = axum::Router::new().fallback(move || {
        let status = StatusCode::from_u16(answered.load(Ordering::Relaxed)).expect("a status");
        async move { status }
    });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, status)
}

/// The only value of a query, once there is one that is as it should be.
async fn value(ecosystem: &Ecosystem, query: &str, is: impl Fn(f64) -> bool) -> (serde_json::Value, f64) {
    until_within(ROUNDS, query, async || {
        let answer = ecosystem.client().await.query(query).await.ok()?;
        let [element] = &answer["data"]["result"].as_array()?[..] else { return None };
        let value = element["value"][1].as_str()?.parse().ok().filter(|value| is(*value))?;
        Some((element["metric"].clone(), value))
    })
    .await
}

#[expect(clippy::float_cmp, reason = "0 or 1")]
#[tokio::test]
async fn databases_redis_and_others_are_measured_and_nothing_secret_is_told() {
    let (redis, (http, status)) = (Redis::start(), answering().await);
    let postgres_url = postgres();
    let (before, place) = postgres_url.split_once('@').expect("a user");
    let (place, _) = place.split_once('/').expect("a database");
    let (closed, mut ecosystem) = (free_port(), Ecosystem::start().await);
    let more = format!(
        "\n[dependencies.model]\nurl = \"http://127.0.0.1:{http}/v1\"\n\
         [dependencies.books]\nurl = \"http://127.0.0.1:{http}/\"\nstatus = 200\n\
         [dependencies.mail]\nurl = \"tcp://127.0.0.1:{closed}\"\ntimeout = \"500ms\"\n\
         [notifications.team]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{http}/hook\"\nevents = [\"alert\"]\n\
         [notifications.nobody]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{closed}/hook\"\nevents = [\"alert\"]\n"
    );
    let service = Service::new("a")
        .env("STORE_URL", &format!("{before}:${{secret.MADE}}@{place}/postgres?sslmode=prefer"))
        .env("CACHE_URL", &format!("redis://:s3cr3t%2Fp@127.0.0.1:{}/3#a:", redis.port))
        .needs("model")
        .with(&more);
    ecosystem.up(&[service]).await;
    let one = |value: f64| value == 1.0;
    let (labels, _) = value(&ecosystem, "pg_up", one).await;
    assert_eq!(labels["server"], format!("postgres@{place}"));
    let (labels, _) = value(&ecosystem, "redis_up", one).await;
    assert_eq!(labels["server"], format!("redis@127.0.0.1:{}", redis.port));
    value(&ecosystem, "mana_server_answer_seconds{server=~\"postgres.*\"}", |seconds| seconds > 0.0).await;
    value(&ecosystem, "redis_commands_total{cmd=\"info\"}", |count| count > 1.0).await;
    value(&ecosystem, "pg_database_size_bytes{datname=\"postgres\"}", |bytes| bytes > 1e6).await;
    value(&ecosystem, "mana_dependency_up{dependency=\"model\"}", one).await;
    value(&ecosystem, "mana_dependency_up{dependency=\"books\"}", |up| up == 0.0).await;
    value(&ecosystem, "mana_dependency_up{dependency=\"mail\"}", |up| up == 0.0).await;
    value(&ecosystem, "mana_channel_up{channel=\"team\"}", one).await;
    value(&ecosystem, "mana_channel_seconds{channel=\"team\"}", |seconds| seconds > 0.0).await;
    value(&ecosystem, "mana_channel_up{channel=\"nobody\"}", |up| up == 0.0).await;
    status.store(500, Ordering::Relaxed);
    value(&ecosystem, "mana_dependency_up{dependency=\"model\"}", |up| up == 0.0).await;
    status.store(200, Ordering::Relaxed);
    value(&ecosystem, "mana_dependency_up{dependency=\"books\"}", one).await;
    // A statement that runs for long is told without what is in it.
    let mut slow = Command::new("psql")
        .args([&postgres_url, "-c", "select pg_sleep(60), 'somebody''s data'"])
        .stdout(Stdio::null())
        .spawn()
        .expect("psql starts");
    let running = "mana_database_running_seconds{query=~\"select pg_sleep.*\"}";
    let (labels, _) = value(&ecosystem, running, |seconds| seconds > 1.0).await;
    assert_eq!(
        (labels["query"].as_str(), labels["datname"].as_str()),
        (Some("select pg_sleep(?), ?"), Some("postgres"))
    );
    value(&ecosystem, "mana_database_slowest_query_seconds{database=\"postgres\"}", |seconds| seconds > 1.0).await;
    slow.kill().expect("killed");
    slow.wait().expect("ended");
    psql("select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep(60)%'");
    // One connection, which was closed by the server and is made anew.
    let own = "application_name = 'mana-watch' and datname = 'postgres'";
    assert_eq!(psql(&format!("select count(*) from pg_stat_activity where {own}")), "1");
    psql(&format!("select pg_terminate_backend(pid) from pg_stat_activity where {own}"));
    let again = format!("select count(*) from pg_stat_activity where {own}");
    until_within(ROUNDS, "it is connected anew", async || (psql(&again) == "1").then_some(())).await;
    let never_down = "min_over_time(pg_up[5m])";
    value(&ecosystem, never_down, one).await;
    let log = std::fs::read_to_string(mana_control::paths::control_log(&ecosystem.data())).expect("a log");
    let made = std::fs::read_to_string(ecosystem.data().join("secrets.json")).expect("secrets");
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let made = made["MADE"].as_str().expect("a secret");
    assert!(!log.contains(made) && !log.contains("s3cr3t"), "{log}");
    ecosystem.down().await;
}

fn titles(taken: &Taken) -> Vec<String> {
    let taken = taken.lock().expect("no panic");
    taken.values().flatten().map(|body| body["title"].as_str().expect("text").to_owned()).collect()
}

async fn alerting(ecosystem: &Ecosystem) -> Alerting {
    ecosystem.client().await.alerting().await.expect("asked")
}

#[tokio::test]
async fn a_dead_redis_is_told_once_and_what_needs_it_adds_nothing() {
    let (mut redis, hook) = (Redis::start(), free_port());
    let taken = webhook(hook).await;
    let mut ecosystem = Ecosystem::start().await;
    let more = format!(
        "\n[notifications.on-call]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{hook}/\"\nsecret = \"${{secret.MADE}}\"\n"
    );
    let cache = format!("redis://:s3cr3t%2Fp@127.0.0.1:{}/0", redis.port);
    ecosystem.up(&[Service::new("a").env("CACHE_URL", &cache).with(&more), Service::new("b").needs("a")]).await;
    value(&ecosystem, "redis_up", |up| up > 0.0).await;
    redis.kill();
    for service in ["a", "b"] {
        let port = ecosystem.port(service);
        support::get(port, "/unready").await.expect("an answer");
    }
    let server = format!("redis@127.0.0.1:{}", redis.port);
    let because = format!("because of DatabaseDown of {server}");
    until_within(Duration::from_mins(2), "both services fire and are held back", async || {
        let alerts = alerting(&ecosystem).await.alerts;
        let held = |service: &str| {
            let of_it = |alert: &&mana_control::api::AlertView| alert.rule == "ServiceDown" && alert.subject == service;
            let alert = alerts.iter().find(of_it).filter(|alert| alert.state == "firing");
            alert.and_then(|alert| alert.muted.as_ref()).is_some_and(|why| *why == because)
        };
        (held("a") && held("b")).then_some(())
    })
    .await;
    until("it is told of", async || titles(&taken).iter().any(|title| title.contains(&server)).then_some(())).await;
    let told = titles(&taken);
    assert_eq!(told.len(), 1, "{told:#?}");
    redis.again();
    for service in ["a", "b"] {
        let port = ecosystem.instance(service).await.port.expect("it listens");
        support::get(port, "/ready").await.expect("an answer");
    }
    until_within(Duration::from_mins(3), "it is over", async || {
        alerting(&ecosystem).await.alerts.iter().all(|alert| alert.rule != "DatabaseDown").then_some(())
    })
    .await;
    ecosystem.down().await;
}
