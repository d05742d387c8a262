//! Streams: they come word by word, and whoever leaves or breaks off, the written rule of `lifecycle.rs` holds.

use std::time::Instant;

use crate::support::{Events, Fault, Store, World, parts, until};
use reqwest::Method;
use serde_json::json;

async fn words_come_as_they_are_written(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let started = Instant::now();
    let mut events = Events::of(world.ask_streaming(&person, "[delay=100] one two three").await);
    let (name, first) = events.next().await.unwrap();
    let first_after = started.elapsed();
    assert_eq!((name.as_str(), &first), ("delta", &json!({ "content": "You" })));
    let rest = events.collect().await;
    assert!(first_after.as_millis() < 400 && started.elapsed().as_millis() >= 500, "in pieces, not at once");
    let deltas: String = rest.iter().filter(|e| e.0 == "delta").map(|e| e.1["content"].as_str().unwrap()).collect();
    assert_eq!(deltas, " said: one two three");
    let (name, done) = rest.last().unwrap();
    assert_eq!(name, "done");
    assert_eq!(
        (&done["message"], &done["credits"], &done["model"]),
        (&json!("You said: one two three"), &json!(49), &json!("echo"))
    );
    let stored = world.get(&person, &format!("/api/conversations/{}", done["conversationId"].as_str().unwrap())).await;
    assert_eq!(stored["messages"][1]["id"], done["messageId"]);
    assert_eq!(stored["messages"][1]["content"], "You said: one two three");
    assert_eq!(stored["messages"][1]["finish"], "stop");
    assert_eq!(world.ledger_balance(&person).await, 49);
}

async fn many_streams_lose_no_piece_and_join_none(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "*=0.1")]).await;
    let person = world.person("ada").await;
    // More than are passed on piece by piece.
    let streams = futures_util::future::join_all((0..250).map(|_| async {
        let events = Events::of(world.ask_streaming(&person, "[words=30] [delay=5]").await).collect().await;
        let (last, deltas) = events.split_last().unwrap();
        assert_eq!((last.0.as_str(), deltas.len()), ("done", 30));
        let told: String = deltas.iter().map(|(_, delta)| delta["content"].as_str().unwrap()).collect();
        assert_eq!(last.1["message"], told);
    }));
    streams.await;
    until("all are settled", async || world.count("outbox").await == 0).await;
    assert_eq!((world.ledger_balance(&person).await, world.count("messages").await), (25, 500));
}

async fn what_fails_before_the_first_word_is_an_ordinary_error(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    for (says, status, code) in [
        ("[fail=500]", 502, "model_failed"),
        ("[abort=0]", 502, "model_stream_broken"),
        ("[stall=0] [delay=0]", 504, "model_timed_out"),
    ] {
        let (got, problem) = parts(world.ask_streaming(&person, says).await).await;
        assert_eq!((got, problem["code"].as_str().unwrap()), (status, code), "{says}: {problem}");
    }
    world.gate.fault("reserve", Fault::Error);
    assert_eq!(parts(world.ask_streaming(&person, "hi").await).await.0, 503);
    world.gate.heal();
    until("nothing is held back", async || world.ledger_balance(&person).await == 50).await;
}

async fn a_stream_that_breaks_ends_with_an_error_and_costs_nothing(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    for (says, code) in [
        ("[abort=3] a b c", "model_stream_broken"),
        ("[end=3] a b c", "model_stream_broken"),
        ("[garbage=3] a b c", "model_bad_answer"),
        ("[stall=3] a b c", "model_timed_out"),
    ] {
        let events = Events::of(world.ask_streaming(&person, says).await).collect().await;
        let names: Vec<_> = events.iter().map(|e| e.0.as_str()).collect();
        assert_eq!(names, ["delta", "delta", "delta", "error"], "{says}");
        let problem = &events[3].1;
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["requestId"].is_string(), "{problem}");
        assert_eq!(world.ledger_balance(&person).await, 50, "{says}");
    }
    assert_eq!(world.count("messages").await, 0);
    assert_eq!(world.count("outbox").await, 0);
}

/// Longer than anybody is answered: nobody gets that for nothing.
async fn an_answer_that_outlasts_its_time_is_kept_as_far_as_it_went_and_charged(store: Store) {
    let limits = [("AI_TIMEOUT_TOTAL_MS", "3000"), ("AI_BREAKER_FAILURES", "1")];
    let world = World::start_with(store, &limits).await;
    let person = world.person("ada").await;
    let says = "[delay=100] [words=1000]";
    let body = json!({ "model": "echo", "n": 2, "messages": [{ "role": "user", "content": says }], "stream": true });
    let native = async { Events::of(world.ask_streaming(&person, says).await).collect().await };
    let openai = async {
        Events::of(world.call(&person, Method::POST, "/v1/chat/completions", Some(body)).await).collect().await
    };
    let (native, openai) = tokio::join!(native, openai);
    let (name, done) = native.last().unwrap();
    assert_eq!((name.as_str(), &done["finish"]), ("done", &json!("length")), "{done}");
    let deltas: String = native.iter().filter(|e| e.0 == "delta").map(|e| e.1["content"].as_str().unwrap()).collect();
    assert!(deltas.starts_with("word1 word2") && !deltas.contains("word1000"), "{deltas}");
    assert_eq!(done["message"], json!(deltas), "all of it was given");
    let stored = world.get(&person, &format!("/api/conversations/{}", done["conversationId"].as_str().unwrap())).await;
    let answer = &stored["messages"][1];
    assert_eq!((&answer["content"], &answer["finish"]), (&json!(deltas), &json!("length")));

    assert_eq!(openai.last().unwrap().1, json!("[DONE]"));
    assert_eq!(openai[openai.len() - 2].1["choices"][0]["finish_reason"], "length");
    until("both are settled", async || world.count("outbox").await == 0).await;
    assert_eq!(world.ledger_balance(&person).await, 47, "one answer and two");
    assert_eq!(world.ask(&person, "hi").await.status(), 200, "it suspends the model for nobody");
}

async fn a_conversation_deleted_under_a_stream_stays_deleted_and_what_was_given_is_charged(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let made = parts(world.call(&person, Method::POST, "/api/conversations", Some(json!({}))).await).await.1;
    let message = json!({ "role": "user", "content": "[delay=50] a b c d e f" });
    let body = json!({ "messages": [message], "conversationId": made["id"], "stream": true });
    let call = world.http.post(world.url("/api/chat")).bearer_auth(&person.token).header("idempotency-key", "k");
    let call = call.json(&body);
    let mut events = Events::of(call.try_clone().unwrap().send().await.unwrap());
    events.next().await.unwrap();
    let path = format!("/api/conversations/{}", made["id"].as_str().unwrap());
    assert_eq!(world.call(&person, Method::DELETE, &path, None).await.status(), 204);
    let last = events.collect().await.pop().unwrap();
    assert_eq!((last.0.as_str(), &last.1["code"]), ("error", &json!("conversation_deleted")));
    assert!(last.1["detail"].as_str().unwrap().contains("cost 1"), "{}", last.1);
    assert_eq!((world.ledger_balance(&person).await, world.count("messages").await), (49, 0));
    assert_eq!(world.count("idempotent_answers").await, 0, "nothing that was said is kept");
    until("the outbox is empty", async || world.count("outbox").await == 0).await;
    // The same call again is the same call: it is neither answered nor charged once more.
    let (status, again) = parts(call.send().await.unwrap()).await;
    assert_eq!((status, &again["code"]), (409, &json!("answer_deleted")), "{again}");
    assert_eq!((world.ledger_balance(&person).await, world.model_calls()), (49, 1));
}

async fn who_leaves_after_some_words_pays_for_them_and_finds_them(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let mut events = Events::of(world.ask_streaming(&person, "[delay=30] [words=1000]").await);
    for _ in 0..3 {
        assert_eq!(events.next().await.unwrap().0, "delta");
    }
    drop(events);
    until("the model call is cancelled", async || world.calls.count().cancelled == 1).await;
    until("the exchange is stored", async || world.count("messages").await == 2).await;
    let list = world.get(&person, "/api/conversations").await;
    let id = list["conversations"][0]["id"].as_str().unwrap();
    let stored = world.get(&person, &format!("/api/conversations/{id}")).await;
    let answer = &stored["messages"][1];
    assert!(answer["content"].as_str().unwrap().starts_with("word1 word2 word3"), "{answer}");
    assert!(answer["content"].as_str().unwrap().len() < 1000, "only what was delivered");
    assert_eq!(answer["finish"], "cancelled");
    until("it is charged", async || world.ledger_balance(&person).await == 49).await;
}

async fn who_leaves_pays_for_each_choice_that_had_begun(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let body = json!({
        "model": "echo", "n": 3, "stream": true,
        "messages": [{ "role": "user", "content": "[delay=30] [words=1000]" }],
    });
    let mut events = Events::of(world.call(&person, Method::POST, "/v1/chat/completions", Some(body)).await);
    // The role, then a first and a second word of each.
    for _ in 0..7 {
        events.next().await.unwrap();
    }
    drop(events);
    until("the exchange is stored", async || world.count("messages").await == 2).await;
    until("it is settled", async || world.count("outbox").await == 0).await;
    assert_eq!(world.ledger_balance(&person).await, 47, "all three");
}

async fn who_leaves_before_the_first_word_pays_nothing(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    for stream in [true, false] {
        let body = json!({ "messages": [{ "role": "user", "content": "[delay=60000] hi" }], "stream": stream });
        let call =
            world.http.request(Method::POST, world.url("/api/chat")).bearer_auth(&person.token).json(&body).send();
        let before = world.calls.count();
        let call = tokio::spawn(call);
        until("the model is asked", async || world.calls.count().started > before.started).await;
        call.abort();
        until("the model call is cancelled", async || world.calls.count().cancelled > before.cancelled).await;
        until("the reservation is released", async || world.ledger_balance(&person).await == 50).await;
    }
    assert_eq!(world.gate.seen("release"), 2);
    assert_eq!(world.count("messages").await, 0);
}

crate::support::on_both_stores!(
    words_come_as_they_are_written,
    many_streams_lose_no_piece_and_join_none,
    what_fails_before_the_first_word_is_an_ordinary_error,
    a_stream_that_breaks_ends_with_an_error_and_costs_nothing,
    an_answer_that_outlasts_its_time_is_kept_as_far_as_it_went_and_charged,
    a_conversation_deleted_under_a_stream_stays_deleted_and_what_was_given_is_charged,
    who_leaves_after_some_words_pays_for_them_and_finds_them,
    who_leaves_pays_for_each_choice_that_had_begun,
    who_leaves_before_the_first_word_pays_nothing,
);
