//! The life of a chat request, through the edge.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use system_tests::Ecosystem;
use system_tests::people::Person;

#[tokio::test]
async fn a_person_registers_chats_and_pays_one_credit() {
    let ecosystem = Ecosystem::up();
    let person = Person::register(&ecosystem).await;
    assert_eq!(person.balance().await["balance"], 50);

    let answer = person.ask("What is a mana?", None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers().contains_key("x-request-id"));
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["credits"], 49);
    assert!(body["message"].as_str().is_some_and(|message| message.contains("mana")), "{body}");
    assert_eq!(person.balance().await["balance"], 49);

    let conversation = body["conversationId"].as_str().expect("conversationId");
    let stored: Value = person.get(&format!("/api/conversations/{conversation}")).await.json().await.expect("JSON");
    assert_eq!(stored["messages"].as_array().map(Vec::len), Some(2), "{stored}");

    a_failed_model_call_costs_nothing(&person).await;
    another_persons_conversation_is_unknown(&ecosystem, conversation).await;
    the_smoke_test_path_is_the_same(&ecosystem).await;
    the_declared_smoke_tests_pass(&ecosystem);
}

async fn a_failed_model_call_costs_nothing(person: &Person) {
    let before = person.balance().await;
    let listed: Value = person.get("/api/conversations").await.json().await.expect("JSON");
    let answer = person.ask("This one fails", Some("echo-fail")).await;
    assert!(answer.status().is_server_error(), "{}", answer.status());
    assert_eq!(person.balance().await, before);
    let after: Value = person.get("/api/conversations").await.json().await.expect("JSON");
    assert_eq!(after, listed);
}

async fn another_persons_conversation_is_unknown(ecosystem: &Ecosystem, conversation: &str) {
    let other = Person::register(ecosystem).await;
    let answer = other.get(&format!("/api/conversations/{conversation}")).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let body = json!({ "conversationId": conversation, "messages": [{ "role": "user", "content": "Let me in" }] });
    assert_eq!(other.complete(body).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(other.balance().await["balance"], 50);
}

fn the_declared_smoke_tests_pass(ecosystem: &Ecosystem) {
    let output = ecosystem.mana(["smoke", "chat-backend", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success() && report["passed"] == true, "{report:#}");
    assert_eq!(report["tests"].as_array().map(Vec::len), Some(4), "{report:#}");
}

async fn the_smoke_test_path_is_the_same(ecosystem: &Ecosystem) {
    let person = Person::register(ecosystem).await;
    let url = format!("{}/api/chat", ecosystem.url("api-chat.localhost"));
    let body = json!({ "messages": [{ "role": "user", "content": "Hello" }] });
    let client = ecosystem.client();
    let answer = client.post(&url).bearer_auth(&person.token).json(&body).send().await.expect("answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(client.post(&url).json(&body).send().await.expect("answer").status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_hundred_parallel_requests_at_fifty_credits_make_exactly_fifty_answers() {
    let ecosystem = Ecosystem::up();
    let person = Person::register(&ecosystem).await;
    let answers = join_all((0..200).map(|number| {
        let question = format!("Question {number}");
        let person = &person;
        async move { person.ask(&question, None).await.status() }
    }))
    .await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!(count(StatusCode::OK), 50, "{answers:?}");
    assert_eq!(count(StatusCode::PAYMENT_REQUIRED), 150, "{answers:?}");
    assert_eq!(person.balance().await["balance"], 0);

    let report = ecosystem.mana(["run", "mana-core-auth", "--", "check-ledger"]);
    assert!(report.status.success(), "{}", system_tests::ecosystem::text(&report));
    let grant = ecosystem.mana(["run", "mana-core-auth", "--", "grant", "--email", &person.email, "--credits", "7"]);
    assert!(grant.status.success(), "{}", system_tests::ecosystem::text(&grant));
    assert_eq!(person.balance().await["balance"], 7);
}

#[tokio::test]
async fn the_official_openai_client_works_with_only_url_and_key_changed() {
    let ecosystem = Ecosystem::up();
    let person = Person::register(&ecosystem).await;
    let folder = system_tests::ecosystem::repository().join("apps/chat/backend/tests/clients");
    let install = std::process::Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--silent"])
        .current_dir(&folder)
        .status()
        .expect("npm starts");
    assert!(install.success(), "npm ci in {} failed", folder.display());
    // Node's resolver does not know `*.localhost` everywhere, so the stable internal address stands in for the host.
    let base = format!("{}/v1", ecosystem.internal(3002));
    let output = tokio::process::Command::new("node")
        .args(["openai.mjs", &base, &person.token])
        .current_dir(&folder)
        .output()
        .await
        .expect("node starts");
    assert!(output.status.success(), "{}", system_tests::ecosystem::text(&output));
}
