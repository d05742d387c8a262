//! What the shell adds to every service, over HTTP.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::Router;
use axum::routing::{get, post};
use kit::database::{Database, Migration, Migrations, State};
use kit::service::Service;
use kit::testing::{Running, Store, TestDatabase};
use kit::{Json, Problem};
use reqwest::{Client, Response, StatusCode};
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use serde_json::Value;

const MIGRATIONS: Migrations = Migrations(&[
    Migration::shared(1, "things", "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY);"),
    Migration::shared(2, "more", "ALTER TABLE things ADD COLUMN name TEXT; CREATE INDEX by_name ON things (name);"),
]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    number: u8,
}

fn routes() -> Router {
    Router::new()
        .route("/echo", post(|Json(input): Json<Input>| async move { input.number.to_string() }))
        .route("/panic", get(|| async { [0][std::hint::black_box(1)].to_string() }))
        .route("/broke", get(|| async { Problem::out_of_credits("Buy some.") }))
}

async fn problem(response: Response, status: StatusCode, code: &str) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["requestId"], *id);
    body
}

#[tokio::test]
async fn every_error_is_a_problem_with_the_request_id() {
    let service = Running::start(Service::new(routes()).body_limit(100).into_router()).await;
    let client = Client::new();
    let at = |path: &str| format!("{}{path}", service.url);
    let get = |path: &str| client.get(at(path)).send();
    problem(get("/nowhere").await.unwrap(), StatusCode::NOT_FOUND, "not_found").await;
    problem(get("/echo").await.unwrap(), StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;
    problem(get("/panic").await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR, "internal").await;
    problem(get("/broke").await.unwrap(), StatusCode::PAYMENT_REQUIRED, "out_of_credits").await;

    let send = |body: &'static str, kind: &'static str| {
        client.post(at("/echo")).header("content-type", kind).body(body).send()
    };
    let json = "application/json";
    problem(send("{", json).await.unwrap(), StatusCode::BAD_REQUEST, "bad_request").await;
    problem(send("{}", "text/plain").await.unwrap(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
        .await;
    let body =
        problem(send("{\"number\": 300}", json).await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY, "invalid").await;
    assert_eq!(body["errors"][0]["field"], "number", "{body}");
    let large = format!("{{\"number\": {}1}}", " ".repeat(200));
    let answer = client.post(at("/echo")).header("content-type", json).body(large).send().await.unwrap();
    assert!(!answer.headers().contains_key("connection"), "what is left of it came with its head");
    problem(answer, StatusCode::PAYLOAD_TOO_LARGE, "too_large").await;
    // What is not read to its end is in the way of the next request, which goes by another connection.
    let large = format!("{{\"number\": {}1}}", " ".repeat(2_000_000));
    let answer = client.post(at("/echo")).header("content-type", json).body(large).send().await.unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    problem(answer, StatusCode::PAYLOAD_TOO_LARGE, "too_large").await;
    assert_eq!(send("{\"number\": 3}", json).await.unwrap().text().await.unwrap(), "3");
}

#[tokio::test]
async fn a_request_id_is_kept_and_a_bad_one_replaced() {
    let service = Running::start(Service::new(routes()).into_router()).await;
    let ask = |id: &'static str| Client::new().get(format!("{}/broke", service.url)).header("x-request-id", id).send();
    assert_eq!(ask("abc-1").await.unwrap().headers()["x-request-id"], "abc-1");
    assert_ne!(ask("a b").await.unwrap().headers()["x-request-id"], "a b");
}

#[tokio::test]
async fn metrics_count_by_route_and_status() {
    let service = Running::start(Service::new(routes()).into_router()).await;
    let get = |path: &str| Client::new().get(format!("{}{path}", service.url)).send();
    get("/broke").await.unwrap();
    let text = get("/metrics").await.unwrap().text().await.unwrap();
    for expected in [
        "http_requests_total{route=\"/broke\",method=\"GET\",status=\"4xx\"}",
        "http_request_duration_seconds_bucket",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
}

async fn ready(database: &Database, migrations: Migrations) -> (StatusCode, Value) {
    let service = Service::new(routes())
        .database(database.clone(), migrations, "things")
        .dependency("elsewhere", || async { Err("it is away".to_owned()) })
        .dependency("silent", std::future::pending);
    let service = Running::start(service.into_router()).await;
    let answer = Client::new().get(format!("{}/api/health/ready", service.url)).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn readiness_follows_the_schema(store: Store) {
    let test = TestDatabase::create(store).await;
    let database = test.connect().await;
    assert_eq!(MIGRATIONS.state(&database).await.unwrap(), State::Empty);
    let (status, body) = ready(&database, MIGRATIONS).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body["database"]["detail"].as_str().unwrap().contains("empty"), "{body}");

    let first = Migrations(&MIGRATIONS.0[..1]);
    assert_eq!(first.run(&database).await.unwrap(), [1]);
    assert_eq!(MIGRATIONS.state(&database).await.unwrap(), State::Behind { pending: 1 });
    assert_eq!(MIGRATIONS.run(&database).await.unwrap(), [2]);
    assert_eq!(MIGRATIONS.run(&database).await.unwrap(), Vec::<i64>::new());
    assert_eq!(first.state(&database).await.unwrap(), State::Ahead { version: 2 });
    let (status, body) = ready(&database, first).await;
    assert_eq!(status, StatusCode::OK, "a newer version brings the schema on while this one serves: {body}");
    assert_eq!(body["database"]["detail"], "schema 2, ahead of this program");
    let (status, body) = ready(&database, MIGRATIONS).await;
    assert_eq!(status, StatusCode::OK, "a dependency that is away does not take readiness down: {body}");
    assert_eq!(
        body["dependencies"][0],
        serde_json::json!({"name": "elsewhere", "status": "down", "detail": "it is away"})
    );

    let silent = &body["dependencies"][1];
    assert_eq!((&silent["name"], &silent["status"]), (&"silent".into(), &"down".into()), "one that hangs is told too");
    assert!(silent["detail"].as_str().unwrap().contains("no answer within"), "{silent}");

    database.execute_unprepared("DROP TABLE things").await.unwrap();
    assert_eq!(
        ready(&database, MIGRATIONS).await.0,
        StatusCode::SERVICE_UNAVAILABLE,
        "the version matches, but the table is gone"
    );
}

#[tokio::test]
async fn readiness_follows_the_schema_on_sqlite() {
    readiness_follows_the_schema(Store::Sqlite).await;
}

#[tokio::test]
async fn readiness_follows_the_schema_on_postgres() {
    readiness_follows_the_schema(Store::Postgres).await;
}

/// Slow ones take all places; whoever comes is told so, but for those who look whether the service is well.
#[tokio::test]
async fn whoever_comes_beyond_the_last_connection_is_told_to_come_again() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const PLACES: usize = 4;
    let long = std::time::Duration::from_mins(1);
    let service = Running::start_with(Service::new(routes()).into_router(), PLACES, long).await;
    let address = service.url.strip_prefix("http://").unwrap().to_owned();
    let mut slow = Vec::new();
    for _ in 0..PLACES {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        connection.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        slow.push(connection);
    }
    let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let get = async |path: &str| client.get(format!("{}{path}", service.url)).send().await.unwrap();
    // Until the last of them is accepted.
    let refused = loop {
        let answer = get("/broke").await;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            break answer;
        }
    };
    assert_eq!(
        (&refused.headers()["retry-after"], &refused.headers()["connection"]),
        (&"1".parse().unwrap(), &"close".parse().unwrap())
    );
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "overloaded");
    assert_eq!(get("/api/health").await.status(), StatusCode::OK);
    let metrics = get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("http_connections_beyond_total"), "{metrics}");
    // One is done, and another one has its place.
    let mut done = slow.pop().unwrap();
    done.write_all(b"content-type: application/json\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"number\":7}")
        .await
        .unwrap();
    let mut answer = String::new();
    done.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('7'), "{answer}");
    let began = std::time::Instant::now();
    while get("/broke").await.status() != StatusCode::PAYMENT_REQUIRED {
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "its place is free again");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_loses_its_place() {
    use tokio::io::AsyncWriteExt;
    // More than the kernel keeps for a client that does not read.
    let routes = routes().route("/large", get(|| async { vec![b'x'; 64 << 20] }));
    let stall = std::time::Duration::from_secs(1);
    let service = Running::start_with(Service::new(routes).into_router(), 1, stall).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut idle = socket.connect(service.url.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap();
    idle.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let get = async || client.get(format!("{}/broke", service.url)).send().await.unwrap().status();
    let began = std::time::Instant::now();
    while get().await != StatusCode::SERVICE_UNAVAILABLE {
        assert!(began.elapsed() < stall, "its place is taken");
    }
    while get().await != StatusCode::PAYMENT_REQUIRED {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "its place is free again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
