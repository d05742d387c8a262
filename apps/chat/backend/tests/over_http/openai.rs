//! `/v1` as OpenAI's own clients see it. What they parse is checked by themselves (`clients.rs`); here is what they do not show.

use crate::support::{Events, Fault, Person, Store, World, parts};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";

async fn create(world: &World, person: &Person, changes: Value) -> reqwest::Response {
    let mut body = json!({ "model": "echo", "messages": [{ "role": "user", "content": "hi" }] });
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    world.call(person, Method::POST, PATH, Some(body)).await
}

async fn it_runs_the_same_lifecycle(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let (status, answer) = parts(create(&world, &person, json!({})).await).await;
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!("You said: hi")));
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4 }));
    assert_eq!(world.ledger_balance(&person).await, 49);
    assert_eq!((world.count("messages").await, world.count("conversations").await), (2, 1));
    assert_eq!(world.get(&person, "/api/conversations").await["conversations"], json!([]), "not in a person's list");
    world.gate.fault("reserve", Fault::Error);
    let (status, refusal) = parts(create(&world, &person, json!({ "stream": true })).await).await;
    assert_eq!((status, &refusal["error"]["code"]), (503, &json!("ledger_unavailable")));
    assert_eq!(world.model_calls(), 1);
}

async fn a_stream_is_chunks_and_done(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let answer = create(&world, &person, json!({ "stream": true, "stream_options": { "include_usage": true } })).await;
    let events = Events::of(answer).collect().await;
    let chunks: Vec<&Value> = events.iter().map(|(name, data)| (assert_eq!(name, ""), data).1).collect();
    assert_eq!(chunks.last().unwrap(), &&json!("[DONE]"));
    let deltas: Vec<_> = chunks.iter().filter_map(|c| c["choices"].get(0)).map(|c| &c["delta"]).collect();
    assert_eq!(
        deltas,
        [
            &json!({ "role": "assistant", "content": "" }),
            &json!({ "content": "You" }),
            &json!({ "content": " said:" }),
            &json!({ "content": " hi" }),
            &json!({}),
        ]
    );
    let usage = chunks[chunks.len() - 2];
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(4)));
    assert_eq!(world.ledger_balance(&person).await, 49);
}

async fn a_broken_stream_is_an_error_without_done(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let events =
        Events::of(create(&world, &person, json!({ "model": "echo-abort", "stream": true })).await).collect().await;
    let last = &events.last().unwrap().1;
    assert_eq!(
        (&last["error"]["code"], &last["error"]["type"]),
        (&json!("model_stream_broken"), &json!("provider_error"))
    );
    assert!(events.iter().all(|(_, data)| data != &json!("[DONE]")));
    assert_eq!((world.ledger_balance(&person).await, world.count("messages").await), (50, 0));
}

async fn errors_have_the_status_and_code_that_clients_look_for(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "echo=50,*=1")]).await;
    let person = world.person("ada").await;
    let stranger = Person { id: String::new(), token: "sk-wrong".into() };
    assert_eq!(parts(create(&world, &person, json!({})).await).await.0, 200);
    for (who, changes, status, code) in [
        (&stranger, json!({}), 401, "invalid_api_key"),
        (&person, json!({}), 402, "insufficient_quota"),
        (&person, json!({ "stream": true }), 402, "insufficient_quota"),
        (&person, json!({ "messages": [] }), 400, "invalid_value"),
        (&person, json!({ "messages": 7 }), 400, "invalid_json"),
        (&person, json!({ "model": "gpt-0" }), 404, "model_not_found"),
        (&person, json!({ "n": 9 }), 400, "unsupported_parameter"),
        (&person, json!({ "messages": [{ "role": "user", "content": 7 }] }), 400, "invalid_value"),
    ] {
        let (got, refusal) = parts(create(&world, who, changes.clone()).await).await;
        assert_eq!((got, &refusal["error"]["code"]), (status, &json!(code)), "{changes}: {refusal}");
        assert!(refusal["error"]["message"].is_string() && refusal["error"]["type"].is_string(), "{refusal}");
    }
    let long = "x".repeat(4 << 20);
    for (method, path, body, status, code) in [
        (Method::POST, PATH, Some(json!({ "messages": [{ "role": "user", "content": long }] })), 413, "body_too_large"),
        (Method::GET, PATH, None, 404, "unknown_url"),
        (Method::DELETE, "/v1/models", None, 404, "unknown_url"),
        (Method::POST, "/v1/embeddings", Some(json!({ "input": "hi" })), 404, "unknown_url"),
    ] {
        let (got, refusal) = parts(world.call(&person, method.clone(), path, body).await).await;
        assert_eq!((got, &refusal["error"]["code"]), (status, &json!(code)), "{method} {path}: {refusal}");
    }
    let (status, refusal) = parts(world.call(&stranger, Method::GET, "/v1/models", None).await).await;
    assert_eq!((status, &refusal["error"]["code"]), (401, &json!("invalid_api_key")));
}

async fn a_key_speaks_for_its_maker_at_v1_alone_until_it_is_revoked(store: Store) {
    let world = World::start(store).await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let (status, made) =
        parts(world.call(&ada, Method::POST, "/api/keys", Some(json!({ "name": " laptop " }))).await).await;
    assert_eq!((status, &made["name"]), (201, &json!("laptop")));
    let text = made["key"].as_str().unwrap().to_owned();
    assert!(text.starts_with(made["prefix"].as_str().unwrap()));
    let program = Person { id: String::new(), token: text.clone() };

    assert_eq!(parts(create(&world, &program, json!({})).await).await.0, 200);
    assert_eq!(world.ledger_balance(&ada).await, 49);
    for (method, path) in [(Method::GET, "/api/conversations"), (Method::GET, "/api/keys"), (Method::POST, "/api/chat")]
    {
        assert_eq!(world.call(&program, method, path, Some(json!({}))).await.status(), 401, "{path} is for people");
    }
    let list = world.get(&ada, "/api/keys").await;
    assert_eq!(list["keys"][0]["id"], made["id"]);
    assert!(list["keys"][0]["lastUsedAt"].is_string() && !list.to_string().contains(&text));
    assert_eq!(world.get(&eve, "/api/keys").await, json!({ "keys": [] }));

    let path = format!("/api/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(world.call(&eve, Method::DELETE, &path, None).await.status(), 404);
    assert_eq!(world.call(&ada, Method::DELETE, &path, None).await.status(), 204);
    assert_eq!(world.call(&ada, Method::DELETE, &path, None).await.status(), 404);
    let (status, refusal) = parts(create(&world, &program, json!({})).await).await;
    assert_eq!((status, &refusal["error"]["code"]), (401, &json!("invalid_api_key")));
    assert_eq!(world.get(&ada, "/api/keys").await, json!({ "keys": [] }));
}

async fn a_session_that_has_ended_makes_no_key(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.auth.database.execute_unprepared("UPDATE sessions SET ended_at = 1").await.unwrap();
    let made = world.call(&person, Method::POST, "/api/keys", Some(json!({ "name": "for later" }))).await;
    assert_eq!(made.status(), 401);
    assert_eq!(world.get(&person, "/api/keys").await["keys"], json!([]));
}

async fn a_person_has_twenty_keys_at_most(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let asks = (0..25).map(|n| {
        let (world, person) = (&world, &person);
        async move {
            let body = json!({ "name": format!("key {n}") });
            world.call(person, Method::POST, "/api/keys", Some(body)).await.status().as_u16()
        }
    });
    let statuses = futures_util::future::join_all(asks).await;
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    assert!((20..=25).contains(&made), "{statuses:?}");
    assert_eq!(world.call(&person, Method::POST, "/api/keys", Some(json!({ "name": "one more" }))).await.status(), 409);
    assert_eq!(world.call(&person, Method::POST, "/api/keys", Some(json!({ "name": "" }))).await.status(), 422);
}

crate::support::on_both_stores!(
    it_runs_the_same_lifecycle,
    a_stream_is_chunks_and_done,
    a_broken_stream_is_an_error_without_done,
    errors_have_the_status_and_code_that_clients_look_for,
    a_key_speaks_for_its_maker_at_v1_alone_until_it_is_revoked,
    a_session_that_has_ended_makes_no_key,
    a_person_has_twenty_keys_at_most,
);
