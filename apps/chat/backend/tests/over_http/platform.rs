//! The service as the platform sees it: ready only with its schema, described in full, configured or not started at all.

use crate::support::{Fault, Store, World, until};
use chat_backend::{Config, start};
use kit::cache::Cache;
use kit::config::Env;
use kit::testing::{Running, TestDatabase};
use sea_orm::ConnectionTrait;
use serde_json::Value;

async fn an_empty_schema_is_unready_and_a_missing_table_too(store: Store) {
    let test_database = TestDatabase::create(store).await;
    let database = test_database.connect().await;
    let config = Config::read(&environment()).unwrap();
    let (service, _rest) = start(config, &database, Cache::in_process()).split();
    let chat = Running::start(service.into_router()).await;
    let ready = async || reqwest::get(format!("{}/api/health/ready", chat.url)).await.unwrap();

    assert_eq!(ready().await.status(), 503);
    assert_eq!(reqwest::get(format!("{}/api/health", chat.url)).await.unwrap().status(), 200, "but it lives");
    chat_backend::MIGRATIONS.run(&database).await.unwrap();
    let answer = ready().await;
    assert_eq!(answer.status(), 200);
    let report: Value = answer.json().await.unwrap();
    let down = |name: &str| {
        let part = report["dependencies"].as_array().unwrap().iter().find(|part| part["name"] == name);
        part.unwrap()["status"] == "down"
    };
    assert!(
        down("mana-core-auth") && down("model:echo") && !down("cache"),
        "reported, but ready all the same: {report}"
    );

    database
        .execute_unprepared("DROP TABLE idempotent_answers; DROP TABLE attachments; DROP TABLE shares; DROP TABLE messages; DROP TABLE conversations")
        .await
        .unwrap();
    assert_eq!(ready().await.status(), 503, "a history without its tables is not ready");
}

async fn dependencies_are_reported_by_name(store: Store) {
    let world = World::start(store).await;
    let report = async || -> Value {
        world.http.get(world.url("/api/health/ready")).send().await.unwrap().json().await.unwrap()
    };
    let all_up = report().await;
    assert!(all_up["dependencies"].as_array().unwrap().iter().all(|part| part["status"] == "up"), "{all_up}");
    world.gate.fault("ready", Fault::Error);
    until("the ledger is reported down", async || {
        report().await["dependencies"].as_array().unwrap().iter().any(|part| part["status"] == "down")
    })
    .await;
    assert_eq!(report().await["status"], "ready", "reads go on");
}

async fn what_happens_is_counted(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.ask(&person, "one two").await;
    world.ask(&person, "[fail=500]").await;
    let metrics = async || world.http.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    crate::support::until("it is settled", async || metrics().await.contains("chat_credits_charged_total")).await;
    let metrics = metrics().await;
    for series in [
        "chat_answers_total{outcome=\"ok\"}",
        "chat_answers_total{outcome=\"model_failed\"}",
        "chat_model_failures_total{model=\"echo\",provider=\"echo\",code=\"model_failed\"}",
        "chat_model_tokens_total{model=\"echo\",kind=\"completion\"}",
        "chat_model_seconds_bucket{model=\"echo\",provider=\"echo\",outcome=\"stop\"",
        "chat_credits_charged_total",
        "chat_outbox_depth",
        "chat_added_seconds_bucket{part=\"before\"",
        "ai_breaker_open{model=\"echo\",provider=\"echo\"}",
        "chat_ledger_seconds_bucket{call=\"reserve\",outcome=\"ok\"",
    ] {
        assert!(metrics.contains(series), "{series} is missing in\n{metrics}");
    }
}

/// What was said before conversations were trees is one branch of them afterwards, and is found.
async fn a_history_of_before_becomes_one_branch_and_is_searched(store: Store) {
    use sea_orm::Statement;
    let test_database = TestDatabase::create(store).await;
    let database = test_database.connect().await;
    kit::database::Migrations(&chat_backend::MIGRATIONS.0[..2]).run(&database).await.unwrap();
    let id = |n: u8| match store {
        Store::Sqlite => format!("X'{}{n:02x}'", "00".repeat(15)),
        Store::Postgres => format!("'00000000-0000-0000-0000-0000000000{n:02x}'"),
    };
    for conversation in [1, 2] {
        let values = format!("{}, {}, 'old', 'app', 1, 1", id(conversation), id(9));
        let columns = "id, user_id, title, origin, created_at, updated_at";
        let insert = format!("INSERT INTO conversations ({columns}) VALUES ({values})");
        database.execute_unprepared(&insert).await.unwrap();
    }
    for n in 10..16 {
        let role = if n % 2 == 0 { "user" } else { "assistant" };
        let values = format!("{}, {}, '{role}', 'word{n} old-fashioned', 1", id(n), id(if n < 14 { 1 } else { 2 }));
        let insert = format!("INSERT INTO messages (id, conversation_id, role, content, created_at) VALUES ({values})");
        database.execute_unprepared(&insert).await.unwrap();
    }
    chat_backend::MIGRATIONS.run(&database).await.unwrap();
    let count = async |query: String| -> i64 {
        let query = Statement::from_string(database.engine(), query);
        database.query_one_raw(query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    };
    for (child, parent) in [(11, 10), (12, 11), (13, 12), (15, 14)] {
        let query = format!("SELECT COUNT(*) FROM messages WHERE id = {} AND parent_id = {}", id(child), id(parent));
        assert_eq!(count(query).await, 1, "{child} follows {parent}");
    }
    assert_eq!(count("SELECT COUNT(*) FROM messages WHERE parent_id IS NULL".into()).await, 2);
    if store == Store::Sqlite {
        let found = "SELECT COUNT(*) FROM messages_by_words WHERE messages_by_words MATCH '\"fashioned\"'";
        assert_eq!(count(found.into()).await, 6);
        // The index is as its rows are, also once some are gone.
        database.execute_unprepared(&format!("DELETE FROM conversations WHERE id = {}", id(1))).await.unwrap();
        let check = "INSERT INTO messages_by_words (messages_by_words, rank) VALUES ('integrity-check', 1)";
        database.execute_unprepared(check).await.unwrap();
        assert_eq!(count(found.into()).await, 2);
    } else {
        let words = "to_tsvector('simple', regexp_replace(left(content, 100000), '[!-/:-@[-`{-~]+', ' ', 'g'))";
        let found = format!("SELECT COUNT(*) FROM messages WHERE {words} @@ to_tsquery('simple', 'fashioned')");
        assert_eq!(count(found).await, 6);
        let valid = "SELECT COUNT(*) FROM pg_index WHERE indexrelid = 'messages_by_words'::regclass AND indisvalid";
        assert_eq!(count(valid.into()).await, 1);
    }
}

async fn the_description_covers_every_route(store: Store) {
    let world = World::start(store).await;
    let document: Value = world.http.get(world.url("/api/openapi.json")).send().await.unwrap().json().await.unwrap();
    let mut paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/api/chat",
            "/api/chat/completions",
            "/api/conversations",
            "/api/conversations/{id}",
            "/api/conversations/{id}/branch",
            "/api/conversations/{id}/export",
            "/api/conversations/{id}/shares",
            "/api/conversations/{id}/shares/{share}",
            "/api/credits",
            "/api/export",
            "/api/health",
            "/api/health/ready",
            "/api/internal/models",
            "/api/internal/users/{id}",
            "/api/keys",
            "/api/keys/{id}",
            "/api/models",
            "/api/preferences",
            "/api/search",
            "/api/shared/{token}",
            "/metrics",
            "/v1/chat/completions",
            "/v1/models",
            "/v1/models/{model}",
        ]
    );
    let problem = &document["components"]["schemas"]["ProblemBody"];
    assert!(problem["properties"]["errors"].is_object(), "{problem}");
}

#[test]
fn wrong_configuration_is_found_before_anything_starts() {
    for (change, says) in [
        (("SERVICE_TOKEN", ""), "SERVICE_TOKEN"),
        (("MANA_CORE_AUTH_URL", "nowhere"), "MANA_CORE_AUTH_URL"),
        (("TOKEN_ISSUER", ""), "TOKEN_ISSUER"),
        (("TOKEN_APPS", ""), "TOKEN_APPS"),
        (("AI_PROVIDERS", "ecko"), "known are azure, openai and echo"),
        (("AI_PRICES", "*=-1"), "more than nothing"),
        (("CHAT_MODEL_PLACES", "0"), "CHAT_MODEL_PLACES"),
    ] {
        let mut table = variables();
        table.retain(|(name, _)| *name != change.0);
        table.push(change);
        let error = Config::read(&Env::table(table)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(says), "{change:?}: {error}");
    }
}

fn environment() -> Env {
    Env::table(variables())
}

/// Addresses at which nothing answers.
fn variables() -> Vec<(&'static str, &'static str)> {
    vec![
        ("PORT", "0"),
        ("MANA_CORE_AUTH_URL", "http://127.0.0.1:1"),
        ("SERVICE_TOKEN", "token"),
        ("TOKEN_ISSUER", "http://auth.localhost:8080"),
        ("TOKEN_APPS", "chat"),
        ("AI_PROVIDERS", "echo"),
        ("AI_ECHO_URL", "http://127.0.0.1:1"),
    ]
}

crate::support::on_both_stores!(
    an_empty_schema_is_unready_and_a_missing_table_too,
    dependencies_are_reported_by_name,
    what_happens_is_counted,
    a_history_of_before_becomes_one_branch_and_is_searched,
    the_description_covers_every_route,
);
