//! Conversations over HTTP: each belongs to one person, lists come in pages, and what is said continues what was said.

use crate::support::{Person, Store, World, parts};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

async fn a_conversation_is_made_renamed_and_deleted(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let (status, made) = parts(world.call(&person, Method::POST, "/api/conversations", Some(json!({}))).await).await;
    assert_eq!((status, &made["title"]), (201, &json!("New conversation")));
    let path = format!("/api/conversations/{}", made["id"].as_str().unwrap());
    assert_eq!(world.get(&person, &path).await["messages"], json!([]));

    // Its first question names it, the second does not.
    for question in ["What is a ledger?", "And a journal?"] {
        let body = json!({ "messages": [{ "role": "user", "content": question }], "conversationId": made["id"] });
        assert_eq!(parts(world.complete(&person, body).await).await.0, 200);
        assert_eq!(world.get(&person, &path).await["title"], "What is a ledger?");
    }
    assert_eq!(world.get(&person, &path).await["messages"].as_array().unwrap().len(), 4);

    let renamed = world.call(&person, Method::PATCH, &path, Some(json!({ "title": "  Books " }))).await;
    assert_eq!(parts(renamed).await.1["title"], "Books");
    assert_eq!(world.call(&person, Method::DELETE, &path, None).await.status(), 204);
    assert_eq!(world.call(&person, Method::GET, &path, None).await.status(), 404);
    assert_eq!(world.call(&person, Method::DELETE, &path, None).await.status(), 404);
    assert_eq!(world.count("messages").await, 0, "its messages go with it");
}

async fn a_conversation_in_which_something_was_said_is_not_deleted_as_an_empty_one(store: Store) {
    let world = World::start(store).await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let path = async || {
        let made = parts(world.call(&ada, Method::POST, "/api/conversations", Some(json!({}))).await).await.1;
        format!("/api/conversations/{}", made["id"].as_str().unwrap())
    };
    let delete = async |person: &Person, path: &str| {
        parts(world.call(person, Method::DELETE, &format!("{path}?if=empty"), None).await).await.0
    };
    let (empty, said) = (path().await, path().await);
    let id = said.rsplit('/').next().unwrap();
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }], "conversationId": id });
    assert_eq!(parts(world.complete(&ada, body).await).await.0, 200);
    assert_eq!((delete(&eve, &empty).await, delete(&eve, &said).await), (404, 404));
    assert_eq!((delete(&ada, &empty).await, delete(&ada, &said).await), (204, 409));
    assert_eq!(delete(&ada, &empty).await, 404);
    // As a version without branches has left it.
    world.database.execute_unprepared("UPDATE conversations SET active_leaf = NULL").await.unwrap();
    assert_eq!(delete(&ada, &said).await, 409);
    assert_eq!(world.get(&ada, &said).await["messages"].as_array().unwrap().len(), 2);
    let unknown = parts(world.call(&ada, Method::DELETE, &format!("{said}?if=old"), None).await).await;
    assert_eq!(unknown.0, 422);
    assert_eq!(parts(world.call(&ada, Method::DELETE, &said, None).await).await.0, 204);
}

async fn someone_elses_conversation_does_not_exist(store: Store) {
    let world = World::start(store).await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let id = parts(world.ask(&ada, "secret").await).await.1["conversationId"].clone();
    let path = format!("/api/conversations/{}", id.as_str().unwrap());
    let continued = json!({ "messages": [{ "role": "user", "content": "hi" }], "conversationId": id });
    for (method, path, body) in [
        (Method::GET, path.as_str(), None),
        (Method::PATCH, path.as_str(), Some(json!({ "title": "mine" }))),
        (Method::DELETE, path.as_str(), None),
        (Method::POST, "/api/chat/completions", Some(continued)),
    ] {
        let unknown = path.replace(id.as_str().unwrap(), "0190b2b4-aaaa-7bbb-8ccc-0123456789ab");
        let answer = parts(world.call(&eve, method.clone(), path, body.clone()).await).await;
        assert_eq!((answer.0, &answer.1["code"]), (404, &json!("not_found")), "{method} {path}");
        if unknown != path {
            let nothing = parts(world.call(&eve, method.clone(), &unknown, body).await).await;
            assert_eq!((nothing.0, &nothing.1["detail"]), (404, &answer.1["detail"]), "not to be told apart");
        }
    }
    assert_eq!(world.get(&eve, "/api/conversations").await["conversations"], json!([]));
    assert_eq!(world.get(&ada, &path).await["title"], "secret");
    assert_eq!((world.model_calls(), world.ledger_balance(&eve).await), (1, 50));
}

async fn lists_come_in_pages_without_gaps_or_repeats(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let mut made = Vec::new();
    for n in 0..7 {
        let body = json!({ "title": format!("number {n}") });
        made.push(
            parts(world.call(&person, Method::POST, "/api/conversations", Some(body)).await).await.1["id"].clone(),
        );
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/conversations?limit=3".to_owned();
    loop {
        let page = world.get(&person, &path).await;
        seen.extend(page["conversations"].as_array().unwrap().iter().map(|c| c["id"].clone()));
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/api/conversations?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    for query in ["limit=0", "limit=101", "cursor=x"] {
        let (status, problem) =
            parts(world.call(&person, Method::GET, &format!("/api/conversations?{query}"), None).await).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(query.split_once('=').unwrap().0)));
    }

    let id = seen[0].as_str().unwrap();
    for n in 0..3 {
        let body = json!({ "messages": [{ "role": "user", "content": format!("q{n}") }], "conversationId": id });
        assert_eq!(parts(world.complete(&person, body).await).await.0, 200);
    }
    let newest = world.get(&person, &format!("/api/conversations/{id}?limit=4")).await;
    let contents = |page: &Value| -> Vec<String> {
        page["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(contents(&newest), ["q1", "You said: q1", "q2", "You said: q2"]);
    let cursor = newest["nextCursor"].as_str().unwrap();
    let older = world.get(&person, &format!("/api/conversations/{id}?limit=4&cursor={cursor}")).await;
    assert_eq!(contents(&older), ["q0", "You said: q0"]);
    assert_eq!(older["nextCursor"], Value::Null);
}

async fn a_single_message_continues_and_several_replace_what_was_said(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let id = parts(world.ask(&person, "one").await).await.1["conversationId"].clone();
    // echo counts the words it is sent: "one", "You said: one", "two"
    for (messages, prompt_tokens) in [
        (json!([{ "role": "user", "content": "two" }]), 5),
        (json!([{ "role": "system", "content": "be brief" }, { "role": "user", "content": "three" }]), 3),
    ] {
        let body = json!({ "messages": messages, "conversationId": id });
        let answer = parts(world.complete(&person, body).await).await.1;
        let tokens = world.prompt_tokens(answer["messageId"].as_str().unwrap()).await;
        assert_eq!(tokens, prompt_tokens);
    }
}

async fn what_is_not_valid_is_refused_by_field_before_anything_is_spent(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let hi = json!([{ "role": "user", "content": "hi" }]);
    for (body, field) in [
        (json!({}), "messages"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": [{ "role": "robot", "content": "hi" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "user", "content": "x".repeat(32_001) }] }), "messages[0].content"),
        (json!({ "messages": [{ "role": "user", "content": 7 }] }), "messages[0].content"),
        (json!({ "messages": hi, "model": "gpt-9" }), "model"),
        (json!({ "messages": hi, "conversationId": "7" }), "conversationId"),
    ] {
        let (status, problem) = parts(world.complete(&person, body.clone()).await).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{body}: {problem}");
    }
    let nameless = world.http.post(world.url("/api/chat")).json(&json!({ "messages": hi })).send().await.unwrap();
    assert_eq!(nameless.status(), 401);
    assert_eq!((world.model_calls(), world.gate.seen("reserve")), (0, 0));
}

async fn models_are_listed_with_their_price_and_kept_for_an_hour(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "echo=2,*=1")]).await;
    world.cache.delete("models:list").await.unwrap();
    let person = world.person("ada").await;
    let list = world.get(&person, "/api/models").await;
    assert_eq!(list["models"][0], json!({ "id": "echo", "provider": "echo", "credits": 2, "default": true }));
    assert_eq!(list["models"][1]["default"], false);
    let cached = world.cache.get("models:list").await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&cached).unwrap(), list["models"]);
    world.cache.delete("models:list").await.unwrap();
}

crate::support::on_both_stores!(
    a_conversation_is_made_renamed_and_deleted,
    a_conversation_in_which_something_was_said_is_not_deleted_as_an_empty_one,
    someone_elses_conversation_does_not_exist,
    lists_come_in_pages_without_gaps_or_repeats,
    a_single_message_continues_and_several_replace_what_was_said,
    what_is_not_valid_is_refused_by_field_before_anything_is_spent,
    models_are_listed_with_their_price_and_kept_for_an_hour,
);
