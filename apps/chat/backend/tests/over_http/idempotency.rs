//! The same call again is the same call: one answer, one charge, whatever happens in between.

use crate::support::{Events, Person, Store, World, parts, until};
use reqwest::{Method, Response};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

const NATIVE: &str = "/api/chat/completions";
const OPENAI: &str = "/v1/chat/completions";

fn body(text: &str, stream: bool) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }], "stream": stream })
}

async fn ask(world: &World, person: &Person, path: &str, key: &str, body: &Value) -> Response {
    let call = world.http.post(world.url(path)).bearer_auth(&person.token).header("idempotency-key", key);
    call.json(body).send().await.unwrap()
}

async fn an_answer_is_given_again_and_charged_once(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    for (n, path) in [NATIVE, OPENAI].into_iter().enumerate() {
        let first = parts(ask(&world, &person, path, "k1", &body("hello", false)).await).await;
        assert_eq!(first.0, 200, "{first:?}");
        let again = parts(ask(&world, &person, path, "k1", &body("hello", false)).await).await;
        assert_eq!(first, again, "{path}");
        assert_eq!(world.model_calls(), n as u64 + 1);
    }
    assert_eq!((world.ledger_balance(&person).await, world.count("messages").await), (48, 4));
    assert_eq!(parts(ask(&world, &person, NATIVE, "k2", &body("hello", false)).await).await.0, 200);
    assert_eq!(world.ledger_balance(&person).await, 47, "another key is another call");
}

async fn a_stream_is_given_again_too(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let text = |events: &[(String, Value)]| -> String {
        events.iter().filter(|e| e.0 == "delta").map(|e| e.1["content"].as_str().unwrap()).collect()
    };
    let first = Events::of(ask(&world, &person, NATIVE, "k", &body("one two", true)).await).collect().await;
    let again = Events::of(ask(&world, &person, NATIVE, "k", &body("one two", true)).await).collect().await;
    assert_eq!((text(&first), first.last()), (text(&again), again.last()));

    let mut tools = body("[call=1] hi", true);
    tools["tools"] = json!([{ "type": "function", "function": { "name": "look" } }]);
    tools["n"] = json!(2);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let events = Events::of(ask(&world, &person, OPENAI, "t", &tools).await).collect().await;
        let mut arguments = [String::new(), String::new()];
        for choice in events.iter().filter_map(|e| e.1["choices"].as_array()).flatten() {
            let place = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            let piece = &choice["delta"]["tool_calls"][0]["function"]["arguments"];
            arguments[place] += piece.as_str().unwrap_or_default();
        }
        assert_eq!(arguments, [r#"{"said":"You said: hi"}"#; 2], "{events:?}");
        let finish: Vec<_> =
            events.iter().filter_map(|e| e.1["choices"].as_array()).flatten().map(|c| &c["finish_reason"]).collect();
        assert_eq!(finish.iter().filter(|f| **f == "tool_calls").count(), 2, "{events:?}");
        assert_eq!(events.last().unwrap().1, "[DONE]");
        ids.push(events[0].1["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!((world.model_calls(), world.ledger_balance(&person).await), (2, 47), "1, and 2 for two choices");
}

async fn another_body_is_refused_and_another_person_is_another(store: Store) {
    let world = World::start(store).await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    assert_eq!(ask(&world, &ada, NATIVE, "k", &body("one", false)).await.status(), 200);
    let (status, problem) = parts(ask(&world, &ada, NATIVE, "k", &body("two", false)).await).await;
    assert_eq!((status, &problem["code"]), (409, &json!("idempotency_key_reused")));
    assert_eq!(ask(&world, &ada, OPENAI, "k", &body("one", false)).await.status(), 200, "another operation");
    let refused = ask(&world, &ada, OPENAI, "k", &body("two", false)).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["x-should-retry"]), (409, &"false".parse().unwrap()));
    assert_eq!(ask(&world, &eve, NATIVE, "k", &body("two", false)).await.status(), 200);
    assert_eq!((world.ledger_balance(&ada).await, world.ledger_balance(&eve).await), (48, 49));
    assert_eq!(ask(&world, &ada, NATIVE, &"k".repeat(256), &body("one", false)).await.status(), 422);
    assert_eq!(ask(&world, &ada, OPENAI, "a b", &body("one", false)).await.status(), 400);
}

async fn many_at_once_are_one(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let body = body("[delay=30] hello", false);
    let asks = (0..20).map(|_| async { parts(ask(&world, &person, NATIVE, "k", &body).await).await });
    let answers = futures_util::future::join_all(asks).await;
    assert!(answers.iter().all(|answer| answer == &answers[0] && answer.0 == 200), "{answers:?}");
    assert_eq!((world.model_calls(), world.ledger_balance(&person).await, world.count("messages").await), (1, 49, 2));
}

async fn what_failed_is_tried_anew(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.gate.fault("reserve", crate::support::Fault::Error);
    assert_eq!(ask(&world, &person, NATIVE, "k", &body("hello", false)).await.status(), 503);
    world.gate.heal();
    assert_eq!(ask(&world, &person, NATIVE, "k", &body("hello", false)).await.status(), 200);
    for _ in 0..2 {
        let broken = ask(&world, &person, NATIVE, "b", &body("[abort=2] a b", false)).await;
        assert_eq!(broken.status(), 502);
    }
    assert_eq!(world.model_calls(), 3);
    // Whether the reserve without an answer held something back is found out aside.
    until("one answer is paid", async || world.ledger_balance(&person).await == 49).await;
}

async fn who_left_and_comes_again_gets_what_was_paid_for(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let body = body("[delay=30] [words=1000]", true);
    let mut events = Events::of(ask(&world, &person, NATIVE, "k", &body).await);
    events.next().await.unwrap();
    drop(events);
    until("it is charged", async || world.ledger_balance(&person).await == 49).await;
    let again = Events::of(ask(&world, &person, NATIVE, "k", &body).await).collect().await;
    assert!(again[0].1["content"].as_str().unwrap().starts_with("word1"), "{again:?}");
    assert_eq!((again.last().unwrap().0.as_str(), world.ledger_balance(&person).await), ("done", 49));
    assert_eq!(world.model_calls(), 1);
}

async fn what_was_deleted_is_told_to_nobody_and_charged_no_more(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let answer = parts(ask(&world, &person, NATIVE, "k", &body("secret", false)).await).await.1;
    let path = format!("/api/conversations/{}", answer["conversationId"].as_str().unwrap());
    assert_eq!(world.call(&person, Method::DELETE, &path, None).await.status(), 204);
    assert_eq!(world.count("idempotent_answers").await, 0);
    let (status, problem) = parts(ask(&world, &person, NATIVE, "k", &body("secret", false)).await).await;
    assert_eq!((status, &problem["code"]), (409, &json!("answer_deleted")));
    assert_eq!((world.model_calls(), world.ledger_balance(&person).await), (1, 49));
}

async fn a_silent_executor_is_replaced_and_cannot_store_any_more(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let body = body("[delay=300] hello", false);
    let first = tokio::spawn({
        let call = world.http.post(world.url(NATIVE)).bearer_auth(&person.token).header("idempotency-key", "k");
        call.json(&body).send()
    });
    until("the first one has begun", async || world.model_calls() == 1).await;
    // As if it had not been heard of for half a minute.
    world.database.execute_unprepared("UPDATE idempotent_calls SET lease_until = 1").await.unwrap();
    let second = parts(ask(&world, &person, NATIVE, "k", &body).await).await;
    assert_eq!(second.0, 200, "{second:?}");
    assert_eq!(first.await.unwrap().unwrap().status(), 503, "its place was taken");
    assert_eq!((world.count("messages").await, world.ledger_balance(&person).await), (2, 49));
}

async fn old_answers_are_swept(store: Store) {
    let mut world = World::start(store).await;
    let person = world.person("ada").await;
    assert_eq!(ask(&world, &person, NATIVE, "k", &body("one", false)).await.status(), 200);
    world.database.execute_unprepared("UPDATE idempotent_calls SET created_at = 1").await.unwrap();
    // The sweep comes with the start.
    world.restart().await;
    until("both rows are gone", async || {
        world.count("idempotent_calls").await + world.count("idempotent_answers").await == 0
    })
    .await;
}

async fn however_many_are_too_old_one_sweep_removes_them(store: Store) {
    let mut world = World::start(store).await;
    for batch in 0..25_u128 {
        let mut values: Vec<sea_orm::Value> = Vec::new();
        let rows = (0..100_u128).map(|n| {
            let id = uuid::Uuid::from_u128(1 + batch * 100 + n);
            let at = values.len();
            let more: [sea_orm::Value; 3] = [id.into(), format!("{id}").into(), id.into()];
            values.extend(more);
            format!("(${}, 'completion', ${}, 'body', ${}, TRUE, 1, 1)", at + 1, at + 2, at + 3)
        });
        let rows = rows.collect::<Vec<_>>().join(", ");
        let insert = format!(
            "INSERT INTO idempotent_calls (user_id, operation, key_hash, body_hash, execution, done, lease_until, created_at) VALUES {rows}"
        );
        let insert = Statement::from_sql_and_values(world.database.engine(), insert, values);
        world.database.execute_raw(insert).await.unwrap();
    }
    // The sweep comes with the start, and the next one a minute later.
    world.restart().await;
    until("all rows are gone", async || world.count("idempotent_calls").await == 0).await;
}

crate::support::on_both_stores!(
    an_answer_is_given_again_and_charged_once,
    a_stream_is_given_again_too,
    another_body_is_refused_and_another_person_is_another,
    many_at_once_are_one,
    what_failed_is_tried_anew,
    who_left_and_comes_again_gets_what_was_paid_for,
    what_was_deleted_is_told_to_nobody_and_charged_no_more,
    a_silent_executor_is_replaced_and_cannot_store_any_more,
    old_answers_are_swept,
    however_many_are_too_old_one_sweep_removes_them,
);
