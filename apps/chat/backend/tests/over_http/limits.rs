//! Budgets, rates, prices by tokens, breakers: what is admitted, what it costs, and what callers are told otherwise.

use crate::support::{Events, Person, Store, World, parts, until};
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";

fn hi() -> Value {
    json!({ "messages": [{ "role": "user", "content": "hi" }] })
}

async fn key(world: &World, owner: &Person, body: Value) -> Person {
    let (status, made) = parts(world.call(owner, Method::POST, "/api/keys", Some(body)).await).await;
    assert_eq!(status, 201, "{made}");
    Person { id: String::new(), token: made["key"].as_str().unwrap().to_owned() }
}

async fn a_key_has_limits_of_its_own(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    for wrong in [json!({ "name": "k", "requestsPerMinute": 0 }), json!({ "name": "k", "creditsPerDay": 0 })] {
        assert_eq!(world.call(&ada, Method::POST, "/api/keys", Some(wrong)).await.status(), 422);
    }
    let rich = key(&world, &ada, json!({ "name": "free" })).await;
    let poor = key(&world, &ada, json!({ "name": "tight", "creditsPerDay": 3 })).await;
    let asks = (0..10).map(|_| async { world.call(&poor, Method::POST, PATH, Some(hi())).await.status().as_u16() });
    let statuses = futures_util::future::join_all(asks).await;
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 3, "all at once get no more than it: {statuses:?}");
    let refused = world.call(&poor, Method::POST, PATH, Some(hi())).await;
    assert_eq!(refused.headers()["x-should-retry"], "false");
    let (status, refusal) = parts(refused).await;
    assert_eq!((status, &refusal["error"]["code"]), (402, &json!("budget_spent")));
    assert_eq!(world.call(&rich, Method::POST, PATH, Some(hi())).await.status(), 200);
    assert_eq!(world.ledger_balance(&ada).await, 46);

    let slow = key(&world, &ada, json!({ "name": "slow", "requestsPerMinute": 2 })).await;
    let mut limited = None;
    // At the turn of a minute the count begins anew.
    for _ in 0..5 {
        let answer = world.call(&slow, Method::POST, PATH, Some(hi())).await;
        if answer.status() == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.unwrap();
    let after: u64 = limited.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..60).contains(&after));
    let (_, refusal) = parts(limited).await;
    assert_eq!(
        (&refusal["error"]["code"], &refusal["error"]["type"]),
        (&json!("rate_limit_exceeded"), &json!("requests"))
    );
    let list = world.get(&ada, "/api/keys").await;
    assert_eq!((&list["keys"][1]["creditsPerDay"], &list["keys"][2]["requestsPerMinute"]), (&json!(3), &json!(2)));
}

async fn what_was_not_spent_is_given_back_to_the_budget(store: Store) {
    let world = World::start_with(store, &[("CHAT_USER_CREDITS_PER_DAY", "2")]).await;
    let ada = world.person("ada").await;
    for _ in 0..4 {
        assert_eq!(world.ask(&ada, "[fail=500]").await.status(), 502);
    }
    let statuses = [world.ask(&ada, "a").await.status(), world.ask(&ada, "b").await.status()];
    assert_eq!(statuses, [200, 200]);
    let (status, problem) = parts(world.ask(&ada, "c").await).await;
    assert_eq!((status, &problem["code"]), (402, &json!("budget_spent")));
    assert_eq!((world.ledger_balance(&ada).await, world.model_calls()), (48, 6));
}

async fn tokens_are_charged_and_the_rest_is_given_back(store: Store) {
    let prices = "echo=in:100/1k,out:1000/1k,max=20,*=1";
    let world = World::start_with(store, &[("AI_PRICES", prices)]).await;
    let ada = world.person("ada").await;
    assert_eq!(
        world.get(&ada, "/api/models").await["models"][0]["perThousandTokens"],
        json!({ "input": 100, "output": 1000 })
    );
    world.cache.delete("models:list").await.unwrap();
    // One word in, three out.
    let (_, answer) = parts(world.ask(&ada, "hi").await).await;
    assert_eq!(answer["credits"], json!(46.9), "{answer}");
    // Beyond the maximum it costs the maximum.
    let (_, answer) = parts(world.ask(&ada, "[words=50]").await).await;
    assert_eq!(answer["credits"], json!(26.9), "{answer}");
    // Who leaves pays for what was delivered, by an estimate.
    let mut events = Events::of(world.ask_streaming(&ada, "[delay=30] [words=1000]").await);
    events.next().await.unwrap();
    drop(events);
    until("it is stored", async || world.count("messages").await == 6).await;
    until("it is settled", async || world.count("outbox").await == 0).await;
    let balance = world.get(&ada, "/api/credits").await["credits"].as_f64().unwrap();
    assert!(balance < 26.9 && balance > 15.0, "{balance}");
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
    // The maximum has to be there.
    let before = world.model_calls();
    while world.get(&ada, "/api/credits").await["credits"].as_f64().unwrap() >= 20.0 {
        assert_eq!(world.ask(&ada, "[words=5]").await.status(), 200);
    }
    let calls = world.model_calls();
    assert!(calls >= before);
    assert_eq!((world.ask(&ada, "hi").await.status().as_u16(), world.model_calls()), (402, calls));
}

async fn answers_that_were_asked_for_and_not_given_cost_nothing(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let ask = |stream: bool, says: &str| {
        let body =
            json!({ "model": "echo", "n": 4, "stream": stream, "messages": [{ "role": "user", "content": says }] });
        world.call(&ada, Method::POST, PATH, Some(body))
    };
    for (stream, says, left) in [
        (false, "[choices=1] hi", 49),
        (false, "[choices=3] hi", 46),
        (true, "[choices=1] hi", 45),
        (true, "[choices=2] hi", 43),
    ] {
        let answer = ask(stream, says).await;
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        until("it is settled", async || world.count("outbox").await == 0).await;
        assert_eq!(world.ledger_balance(&ada).await, left, "{says}, streamed: {stream}");
    }
    // Some that say nothing are answers all the same.
    ask(true, "[words=0]").await.bytes().await.unwrap();
    until("it is settled", async || world.count("outbox").await == 0).await;
    assert_eq!(world.ledger_balance(&ada).await, 39);
}

async fn a_stream_ends_where_what_is_held_back_is_used_up_and_a_question_beyond_it_is_refused(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "echo=in:1/1k,out:100/1k,max=2,*=1")]).await;
    let ada = world.person("ada").await;
    let mut events = Events::of(world.ask_streaming(&ada, "[words=1000]").await);
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    let (_, done) = last.expect("an end");
    assert_eq!((&done["finish"], &done["credits"]), (&json!("length"), &json!(48)), "{done}");
    let calls = world.model_calls();
    // Two thousand tokens to read would cost more than an answer may.
    let (status, problem) = parts(world.ask(&ada, &"x".repeat(8_100)).await).await;
    assert_eq!((status, world.model_calls()), (422, calls), "{problem}");
    assert!(problem.to_string().contains("cost more to read"), "{problem}");
    assert_eq!(world.ledger_balance(&ada).await, 48);
}

async fn what_an_answer_did_not_cost_is_there_for_the_next_one(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "echo=in:100/1k,out:1000/1k,max=30,*=1")]).await;
    let ada = world.person("ada").await;
    // Each holds back more than the one before has left beside what it holds.
    for left in [46.9, 43.8, 40.7, 37.6] {
        let (status, answer) = parts(world.ask(&ada, "hi").await).await;
        assert_eq!((status, &answer["credits"]), (200, &json!(left)), "{answer}");
        assert_eq!(world.get(&ada, "/api/credits").await, json!({ "credits": left }));
    }
}

async fn who_leaves_pays_for_the_tools_and_pictures_that_the_model_read(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "echo=in:10/1k,out:1/1k,max=40,*=1")]).await;
    let ada = world.person("ada").await;
    let picture = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } });
    let tool = json!({ "name": "look", "description": "x".repeat(4_000), "parameters": {} });
    let body = json!({
        "model": "echo", "stream": true, "tools": [{ "type": "function", "function": tool }],
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "[delay=30] [words=1000]" }, picture] }],
    });
    let mut events = Events::of(world.call(&ada, Method::POST, PATH, Some(body)).await);
    events.next().await.unwrap();
    events.next().await.unwrap();
    drop(events);
    until("it is stored", async || world.count("messages").await == 2).await;
    until("it is settled", async || world.count("outbox").await == 0).await;
    // A thousand tokens of the tool's description, 765 of the picture, and few more.
    let left = world.get(&ada, "/api/credits").await["credits"].as_f64().unwrap();
    assert!((31.0..32.4).contains(&left), "{left}");
}

async fn a_model_that_fails_too_often_is_left_alone_and_operators_see_it(store: Store) {
    let world = World::start_with(store, &[("AI_BREAKER_FAILURES", "2"), ("AI_FALLBACKS", "echo-fail>echo")]).await;
    let ada = world.person("ada").await;
    for _ in 0..2 {
        assert_eq!(world.ask(&ada, "[fail=500]").await.status(), 502);
    }
    let calls = world.model_calls();
    let refused = world.call(&ada, Method::POST, PATH, Some(hi())).await;
    let after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=6).contains(&after), "{after}");
    let (status, refusal) = parts(refused).await;
    assert_eq!((status, &refusal["error"]["code"]), (503, &json!("model_suspended")));
    assert_eq!((world.model_calls(), world.gate.seen("reserve")), (calls, 2), "no call, no reservation");

    let stranger = world.http.get(world.url("/api/internal/models")).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let operator = world.http.get(world.url("/api/internal/models"));
    let (_, health) =
        parts(operator.header("x-service-token", mana_core_auth::testing::SERVICE_TOKEN).send().await.unwrap()).await;
    assert_eq!((&health["models"][0]["model"], &health["models"][0]["breaker"]), (&json!("echo"), &json!("open")));
    assert_eq!(health["models"][2]["fallbacks"], json!(["echo"]));
}

async fn a_model_that_is_suspended_is_not_asked_for_names_either(store: Store) {
    let world = World::start_with(store, &[("AI_BREAKER_FAILURES", "2"), ("CHAT_TITLE_MODEL", "echo-fail")]).await;
    let ada = world.person("ada").await;
    for n in 1..=2 {
        assert_eq!(world.ask(&ada, "hi").await.status(), 200);
        until("a name was asked for", async || world.model_calls() == 2 * n).await;
    }
    until("the breaker is open", async || {
        let health = world.http.get(world.url("/api/internal/models"));
        let health = health.header("x-service-token", mana_core_auth::testing::SERVICE_TOKEN).send().await.unwrap();
        parts(health).await.1["models"][2]["breaker"] == "open"
    })
    .await;
    assert_eq!(world.ask(&ada, "hi").await.status(), 200);
    until("no name is asked for", async || {
        let metrics = world.http.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
        metrics.contains("chat_titles_total{outcome=\"busy\"}")
    })
    .await;
    assert_eq!((world.model_calls(), world.ledger_balance(&ada).await), (5, 47));
}

async fn who_has_the_model_say_nothing_pays_for_it_and_suspends_it_for_nobody(store: Store) {
    let world = World::start_with(store, &[("AI_BREAKER_FAILURES", "2")]).await;
    let ada = world.person("ada").await;
    for n in 1..=3 {
        let (status, answer) = parts(world.ask(&ada, "[words=0]").await).await;
        assert_eq!((status, &answer["message"], &answer["credits"]), (200, &json!(""), &json!(50 - n)), "{answer}");
    }
    let events = Events::of(world.ask_streaming(&ada, "[words=0]").await).collect().await;
    assert_eq!((events.len(), events[0].0.as_str(), &events[0].1["credits"]), (1, "done", &json!(46)), "{events:?}");
    let body = json!({ "messages": [{ "role": "user", "content": "[words=0]" }], "stream": true });
    let chunks = Events::of(world.call(&ada, Method::POST, PATH, Some(body)).await).collect().await;
    let first = &chunks[0].1["choices"][0];
    assert_eq!(
        (&first["delta"]["role"], &chunks[1].1["choices"][0]["finish_reason"]),
        (&json!("assistant"), &json!("stop"))
    );
    assert_eq!((chunks.len(), world.ledger_balance(&ada).await, world.count("messages").await), (3, 45, 10));
    assert_eq!(world.ask(&ada, "hi").await.status(), 200);
}

async fn what_one_instance_finds_out_about_a_model_the_others_know(store: Store) {
    let world = World::start_with(store, &[("AI_BREAKER_FAILURES", "2")]).await;
    let (other, _rest) = world.beside().await;
    let ada = world.person("ada").await;
    for _ in 0..2 {
        assert_eq!(world.ask(&ada, "[fail=500]").await.status(), 502);
    }
    until("the other instance knows", async || {
        let health = world.http.get(format!("{}/api/internal/models", other.url));
        let health = health.header("x-service-token", mana_core_auth::testing::SERVICE_TOKEN).send().await.unwrap();
        let (_, health) = parts(health).await;
        health["models"][0]["breaker"] == "open" && health["models"][0]["foundOutElsewhere"] == true
    })
    .await;
    let reserved = world.gate.seen("reserve");
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let asked = world.http.post(format!("{}/api/chat", other.url)).bearer_auth(&ada.token).json(&body).send().await;
    let (status, refusal) = parts(asked.unwrap()).await;
    assert_eq!((status, &refusal["code"]), (503, &json!("model_suspended")));
    assert_eq!((world.model_calls(), world.gate.seen("reserve")), (2, reserved), "no call, no reservation");
}

async fn a_fallback_answers_and_says_so_and_is_charged_at_its_own_price(store: Store) {
    let variables = [("AI_FALLBACKS", "echo-fail>echo"), ("AI_PRICES", "echo-fail=5,*=1"), ("AI_RETRIES", "1")];
    let world = World::start_with(store, &variables).await;
    let ada = world.person("ada").await;
    for (left, stream) in [(49, false), (48, true)] {
        let mut body = hi();
        (body["model"], body["stream"]) = (json!("echo-fail"), json!(stream));
        let answer = world.call(&ada, Method::POST, PATH, Some(body)).await;
        let model = if stream {
            Events::of(answer).collect().await[0].1["model"].clone()
        } else {
            parts(answer).await.1["model"].clone()
        };
        assert_eq!(model, "echo");
        until("the cheaper one is paid", async || world.ledger_balance(&ada).await == left).await;
    }
    assert_eq!(world.model_calls(), 6, "twice in vain, then the other one, two times");
}

async fn what_openai_knows_reaches_the_provider_and_comes_back(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let picture = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } });
    let body = json!({
        "model": "echo", "n": 2, "seed": 7, "stop": ["x"], "response_format": { "type": "json_object" }, "unheard_of": { "a": 1 },
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": {} } }], "tool_choice": "auto",
        "messages": [
            { "role": "user", "name": "ada", "content": [{ "type": "text", "text": "what is" }, picture] },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "look", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "c", "content": "a cat" },
            { "role": "user", "content": "[call=1] so?" },
        ],
    });
    let (status, answer) = parts(world.call(&ada, Method::POST, PATH, Some(body.clone())).await).await;
    assert_eq!(status, 200, "{answer}");
    for choice in answer["choices"].as_array().unwrap() {
        assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
        assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "look");
    }
    assert_eq!(answer["choices"].as_array().unwrap().len(), 2);
    let mut sent = world.calls.last().unwrap();
    sent["stream"].take();
    let mut want = body;
    want["stream"] = Value::Null;
    assert_eq!(sent, want);
    assert_eq!((world.ledger_balance(&ada).await, world.count("messages").await), (48, 2));
}

crate::support::on_both_stores!(
    a_key_has_limits_of_its_own,
    what_was_not_spent_is_given_back_to_the_budget,
    tokens_are_charged_and_the_rest_is_given_back,
    answers_that_were_asked_for_and_not_given_cost_nothing,
    a_stream_ends_where_what_is_held_back_is_used_up_and_a_question_beyond_it_is_refused,
    what_an_answer_did_not_cost_is_there_for_the_next_one,
    who_leaves_pays_for_the_tools_and_pictures_that_the_model_read,
    a_model_that_fails_too_often_is_left_alone_and_operators_see_it,
    a_model_that_is_suspended_is_not_asked_for_names_either,
    who_has_the_model_say_nothing_pays_for_it_and_suspends_it_for_nobody,
    what_one_instance_finds_out_about_a_model_the_others_know,
    a_fallback_answers_and_says_so_and_is_charged_at_its_own_price,
    what_openai_knows_reaches_the_provider_and_comes_back,
);
