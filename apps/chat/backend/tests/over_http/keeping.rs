//! What is done with conversations: searched, put away, shared, exported, named, instructed, and deleted for good.

use std::time::Duration;

use mana_core_auth::testing::SERVICE_TOKEN;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Events, Person, Store, World, parts, until};

async fn ask(world: &World, person: &Person, text: &str) -> String {
    let (status, answer) = parts(world.ask(person, text).await).await;
    assert_eq!(status, 200, "{answer}");
    answer["conversationId"].as_str().unwrap().to_owned()
}

async fn words_are_found_in_titles_and_messages_of_ones_own(store: Store) {
    let world = World::start(store).await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let pumps = ask(&world, &ada, "How does a heat-pump work? Ask hans@example.org (soon)").await;
    let bread = ask(&world, &ada, "Bread needs an oven").await;
    world.call(&ada, Method::PATCH, &format!("/api/conversations/{bread}"), Some(json!({ "title": "Baking" }))).await;
    ask(&world, &eve, "my heat pump").await;
    let found = async |person: &Person, q: &str| -> Vec<Value> {
        let query: String = url(q);
        world.get(person, &format!("/api/search?q={query}")).await["hits"].as_array().unwrap().clone()
    };
    for (q, count) in [
        ("heat", 3),
        ("PUMP heat", 3),
        ("pum", 3),
        ("eat", 1),
        ("example", 3),
        ("bread", 2),
        ("heat bread", 0),
        ("' OR 1=1 --", 0),
    ] {
        // A title, a question and echo's answer; "eat" is within a title's word only.
        assert_eq!(found(&ada, q).await.len(), count, "{q}");
    }
    let hits = found(&ada, "baking").await;
    assert_eq!((hits.len(), &hits[0]["conversation"]["id"], &hits[0]["message"]), (1, &json!(bread), &Value::Null));
    let hits = found(&ada, "heat pump").await;
    assert!(hits.iter().all(|hit| hit["conversation"]["id"] == json!(pumps)), "{hits:?}");
    assert!(hits[1]["message"]["excerpt"].as_str().unwrap().contains("heat-pump work?"), "{hits:?}");
    assert_eq!(found(&eve, "bread").await.len(), 0, "never someone else's");
    for query in ["q=", "q=%20--", "q=x&limit=0", "q=x&limit=51", &format!("q={}", "x".repeat(201))] {
        let answer = world.call(&ada, Method::GET, &format!("/api/search?{query}"), None).await;
        assert_eq!(answer.status(), 422, "{query}");
    }
    // What is deleted is not found, and no word of it stays in the index.
    world.call(&ada, Method::DELETE, &format!("/api/conversations/{pumps}"), None).await;
    assert_eq!(found(&ada, "heat").await.len(), 0);
    if store == Store::Sqlite {
        assert_eq!(world.count("searched").await, 4);
    }
}

fn url(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn what_is_put_away_leaves_the_list_and_comes_back(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let id = ask(&world, &ada, "keep this").await;
    let path = format!("/api/conversations/{id}");
    let listed = async |query: &str| {
        let list = world.get(&ada, &format!("/api/conversations{query}")).await;
        list["conversations"].as_array().unwrap().len()
    };
    let (status, away) = parts(world.call(&ada, Method::PATCH, &path, Some(json!({ "archived": true }))).await).await;
    assert_eq!((status, &away["archived"], &away["title"]), (200, &json!(true), &json!("keep this")));
    assert_eq!((listed("").await, listed("?archived=true").await), (0, 1));
    assert_eq!(world.get(&ada, "/api/search?q=keep").await["hits"][0]["conversation"]["archived"], true);
    let more = json!({ "messages": [{ "role": "user", "content": "more" }], "conversationId": id });
    assert_eq!(parts(world.complete(&ada, more).await).await.0, 200);
    world.call(&ada, Method::PATCH, &path, Some(json!({ "archived": false }))).await;
    assert_eq!((listed("").await, listed("?archived=true").await), (1, 0));
}

async fn a_link_shows_what_was_said_until_then_to_anybody_until_it_is_revoked(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let id = ask(&world, &ada, "first words").await;
    let links = format!("/api/conversations/{id}/shares");
    let (status, share) = parts(world.call(&ada, Method::POST, &links, None).await).await;
    assert_eq!(status, 201, "{share}");
    let token = share["token"].as_str().unwrap();
    assert_eq!(token.len(), 64);
    // What comes later, and a later name, are not shown.
    let later = json!({ "messages": [{ "role": "user", "content": "later secret" }], "conversationId": id });
    let later = parts(world.complete(&ada, later).await).await.1;
    world.call(&ada, Method::PATCH, &format!("/api/conversations/{id}"), Some(json!({ "title": "later name" }))).await;
    let again = json!({ "conversationId": id, "regenerate": later["messageId"] });
    world.complete(&ada, again).await;

    let read = async |token: &str, query: &str| {
        let answer = world.http.get(world.url(&format!("/api/shared/{token}{query}"))).send().await.unwrap();
        let robots = answer.headers().get("x-robots-tag").map(|value| value.to_str().unwrap().to_owned());
        let (status, body) = parts(answer).await;
        (status, body, robots)
    };
    let (status, shared, robots) = read(token, "").await;
    assert_eq!((status, robots.as_deref()), (200, Some("noindex, nofollow")));
    assert_eq!(shared["title"], "first words");
    let said: Vec<_> = shared["messages"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
    assert_eq!(said, ["first words", "You said: first words"]);
    let text = shared.to_string();
    for secret in [ada.id.as_str(), &id, "later", "example.org"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let (_, page, _) = read(token, "?limit=1").await;
    assert_eq!((&page["messages"][0]["content"], &page["nextCursor"]), (&json!("You said: first words"), &json!("1")));
    assert_eq!(read(token, "?limit=1&cursor=1").await.1["messages"][0]["content"], "first words");
    // Of what is skipped nothing is read: it could not be. (PostgreSQL refuses to hold such a row.)
    if world.database.engine() == sea_orm::DbBackend::Sqlite {
        use sea_orm::ConnectionTrait;
        let set = async |value: &str| {
            let change = format!("UPDATE messages SET created_at = {value} WHERE content = 'You said: first words'");
            world.database.execute_unprepared(&change).await.unwrap();
        };
        set("'unreadable'").await;
        assert_eq!(read(token, "?limit=1&cursor=1").await.1["messages"][0]["content"], "first words");
        set("1").await;
    }
    assert_eq!(read(token, "?cursor=x").await.0, 422);
    for wrong in ["", "x", &token[1..], &token.to_uppercase(), share["id"].as_str().unwrap()] {
        assert_eq!(read(wrong, "").await.0, 404, "{wrong}");
    }

    assert_eq!(world.get(&ada, &links).await["shares"][0]["token"], *token);
    let revoke = format!("{links}/{}", share["id"].as_str().unwrap());
    assert_eq!(world.call(&ada, Method::DELETE, &revoke, None).await.status(), 204);
    assert_eq!(read(token, "").await.0, 404);
    assert_eq!(world.call(&ada, Method::DELETE, &revoke, None).await.status(), 404);
    // It goes with its conversation.
    let token = parts(world.call(&ada, Method::POST, &links, None).await).await.1["token"].as_str().unwrap().to_owned();
    world.call(&ada, Method::DELETE, &format!("/api/conversations/{id}"), None).await;
    assert_eq!((read(&token, "").await.0, world.count("shares").await), (404, 0));
}

async fn one_address_reads_a_hundred_links_a_minute_whether_they_show_anything_or_not(store: Store) {
    let world = World::start(store).await;
    let read = async |address: &str| {
        let request = world.http.get(world.url("/api/shared/nothing")).header("x-real-ip", address);
        request.send().await.unwrap().status().as_u16()
    };
    for _ in 0..100 {
        assert_eq!(read("203.0.113.7").await, 404);
    }
    assert_eq!((read("203.0.113.7").await, read("203.0.113.8").await), (429, 404));
}

async fn exports_hold_everything_and_nothing_of_others(store: Store) {
    let world = World::start(store).await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    ask(&world, &eve, "hers alone").await;
    let attached = json!({ "messages": [{ "role": "user", "content": "mine" }], "attachments": [{ "name": "a.txt", "content": "in the file" }] });
    let first = parts(world.complete(&ada, attached).await).await.1;
    let id = first["conversationId"].as_str().unwrap();
    world.complete(&ada, json!({ "conversationId": id, "regenerate": first["messageId"] })).await;
    ask(&world, &ada, "another \"quoted\" one").await;

    let text = async |path: &str| {
        let answer = world.call(&ada, Method::GET, path, None).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
        answer.text().await.unwrap()
    };
    let all: Value = serde_json::from_str(&text("/api/export?format=json").await).unwrap();
    let conversations = all["conversations"].as_array().unwrap();
    assert_eq!((conversations.len(), &all["version"]), (2, &json!(1)));
    let messages = conversations[0]["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3, "both answers");
    assert_eq!(messages[0]["attachments"], json!([{ "name": "a.txt", "content": "in the file" }]));
    assert_eq!((&messages[1]["parentId"], &messages[2]["parentId"]), (&messages[0]["id"], &messages[0]["id"]));
    assert_eq!(conversations[0]["activeMessageId"], messages[2]["id"]);
    let one: Value = serde_json::from_str(&text(&format!("/api/conversations/{id}/export?format=json")).await).unwrap();
    assert_eq!(one["conversations"], json!([conversations[0]]));

    let markdown = text("/api/export").await;
    assert!(markdown.starts_with("# mine\n"), "{markdown}");
    assert!(markdown.contains("\n## You\n\nmine\n\nAttached: a.txt\n\n```\nin the file\n```\n"), "{markdown}");
    assert_eq!(markdown.matches("## Chat (echo)").count(), 2, "the branch that is shown: {markdown}");
    assert!(!markdown.contains("hers") && !all.to_string().contains("hers"));
    let none = world.person("nobody").await;
    let answer = world.call(&none, Method::GET, "/api/export?format=json", None).await;
    let nothing: Value = answer.json().await.unwrap();
    assert_eq!(nothing["conversations"], json!([]));
    assert_eq!(world.call(&ada, Method::GET, "/api/export?format=pdf", None).await.status(), 422);
}

async fn a_long_export_comes_whole_in_order(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "*=0.1")]).await;
    let ada = world.person("ada").await;
    let id = ask(&world, &ada, "q0").await;
    for n in 1..110 {
        let body = json!({ "messages": [{ "role": "user", "content": format!("q{n}") }], "conversationId": id });
        assert_eq!(parts(world.complete(&ada, body).await).await.0, 200);
    }
    let markdown = world.call(&ada, Method::GET, "/api/export", None).await.text().await.unwrap();
    let asked: Vec<_> = markdown.lines().filter(|line| line.starts_with('q')).collect();
    assert_eq!(asked, (0..110).map(|n| format!("q{n}")).collect::<Vec<_>>());
    let all: Value = world.call(&ada, Method::GET, "/api/export?format=json", None).await.json().await.unwrap();
    assert_eq!(all["conversations"][0]["messages"].as_array().unwrap().len(), 220);
}

async fn instructions_are_a_persons_or_a_conversations_own(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let put = async |text: &str| {
        parts(world.call(&ada, Method::PUT, "/api/preferences", Some(json!({ "systemPrompt": text }))).await).await
    };
    assert_eq!(world.get(&ada, "/api/preferences").await, json!({ "systemPrompt": "" }));
    assert_eq!(put("  be very brief ").await, (200, json!({ "systemPrompt": "be very brief" })));
    assert_eq!(put(&"x".repeat(8_001)).await.0, 422);
    let first = parts(world.ask(&ada, "hi").await).await.1;
    let id = first["conversationId"].as_str().unwrap();
    let path = format!("/api/conversations/{id}");
    // echo counts the words it reads.
    assert_eq!(world.prompt_tokens(first["messageId"].as_str().unwrap()).await, 4);
    for (own, words) in [(json!("rhyme"), 2), (json!(""), 1), (Value::Null, 4)] {
        let (status, changed) =
            parts(world.call(&ada, Method::PATCH, &path, Some(json!({ "systemPrompt": own }))).await).await;
        assert_eq!((status, &changed["systemPrompt"]), (200, &own));
        let again = json!({ "conversationId": id, "regenerate": first["messageId"] });
        let answer = parts(world.complete(&ada, again).await).await.1;
        assert_eq!(world.prompt_tokens(answer["messageId"].as_str().unwrap()).await, words, "{own}");
    }
    let eve = world.person("eve").await;
    assert_eq!(world.get(&eve, "/api/preferences").await, json!({ "systemPrompt": "" }));
}

async fn the_model_names_a_conversation_for_nothing_and_nobody_waits(store: Store) {
    let world = World::start_with(store, &[("CHAT_TITLE_MODEL", "echo-slow")]).await;
    let ada = world.person("ada").await;
    let long = "what is it that holds a bridge up when the river below it rises after a week of rain";
    let id = ask(&world, &ada, long).await;
    let path = format!("/api/conversations/{id}");
    let first = world.get(&ada, &path).await["title"].as_str().unwrap().to_owned();
    assert!(first.starts_with("what is it that holds a bridge") && first.ends_with('…'), "{first}");
    until("the model has named it", async || {
        world.get(&ada, &path).await["title"].as_str().unwrap().starts_with("You said: Question: what is it that")
    })
    .await;
    assert_eq!((world.ledger_balance(&ada).await, world.count("messages").await), (49, 2));
    // Only the first exchange names it.
    let more = json!({ "messages": [{ "role": "user", "content": "more" }], "conversationId": id });
    world.complete(&ada, more).await;
    assert_eq!(world.model_calls(), 3);
}

async fn a_name_given_by_its_owner_stays_and_a_model_that_fails_changes_nothing(store: Store) {
    let world = World::start_with(store, &[("CHAT_TITLE_MODEL", "echo-slow")]).await;
    let ada = world.person("ada").await;
    let id = ask(&world, &ada, "one two three four five six").await;
    let path = format!("/api/conversations/{id}");
    world.call(&ada, Method::PATCH, &path, Some(json!({ "title": "Mine" }))).await;
    until("the title was written", async || world.calls.count().started == 2 && world.calls.count().finished == 2)
        .await;
    tokio::time::timeout(Duration::from_secs(5), async {
        assert_eq!(world.get(&ada, &path).await["title"], "Mine");
    })
    .await
    .unwrap();
    let world = World::start_with(store, &[("CHAT_TITLE_MODEL", "echo-fail")]).await;
    let ada = world.person("ada").await;
    let id = ask(&world, &ada, "plain words").await;
    until("the model failed", async || world.calls.count().started == 2).await;
    assert_eq!(world.get(&ada, &format!("/api/conversations/{id}")).await["title"], "plain words");
}

async fn all_can_be_deleted_and_a_stream_under_way_brings_nothing_back(store: Store) {
    for account in [false, true] {
        let world = World::start(store).await;
        let (ada, eve) = (world.person("ada").await, world.person("eve").await);
        let (kept, id) = (ask(&world, &eve, "hers").await, ask(&world, &ada, "mine").await);
        world.call(&ada, Method::PUT, "/api/preferences", Some(json!({ "systemPrompt": "x" }))).await;
        world.call(&ada, Method::POST, "/api/keys", Some(json!({ "name": "k" }))).await;
        world.call(&ada, Method::POST, &format!("/api/conversations/{id}/shares"), None).await;
        // Two answers under way: in a conversation that is there, and for one that is to be made.
        let streams = [Some(&id), None].map(|id| {
            let message = json!({ "role": "user", "content": "[delay=40] a b c d e f", });
            json!({ "messages": [message], "conversationId": id, "stream": true,
                "attachments": [{ "name": "a", "content": "b" }] })
        });
        let mut running = Vec::new();
        for body in streams {
            let mut events = Events::of(world.complete(&ada, body).await);
            events.next().await.unwrap();
            running.push(events);
        }
        if account {
            let url = world.url(&format!("/api/internal/users/{}", ada.id));
            assert_eq!(world.http.delete(&url).bearer_auth(&ada.token).send().await.unwrap().status(), 401);
            for _ in 0..2 {
                let call = world.http.delete(&url).header("x-service-token", SERVICE_TOKEN);
                assert_eq!(call.send().await.unwrap().status(), 204);
            }
        } else {
            assert_eq!(world.call(&ada, Method::DELETE, "/api/conversations", None).await.status(), 204);
        }
        for events in running {
            let last = events.collect().await.pop().unwrap();
            assert_eq!((last.0.as_str(), &last.1["code"]), ("error", &json!("conversation_deleted")), "{}", last.1);
        }
        for (table, left) in [("conversations", 1), ("messages", 2), ("attachments", 0), ("shares", 0)] {
            assert_eq!(world.count(table).await, left, "{table}");
        }
        assert_eq!(world.ledger_balance(&ada).await, 47, "what was given is charged, though it is not kept");
        assert_eq!(world.get(&eve, &format!("/api/conversations/{kept}")).await["title"], "hers");
        let again = world.ask(&ada, "a new start").await.status();
        if account {
            assert_eq!((again.as_u16(), world.count("preferences").await, world.count("api_keys").await), (409, 0, 0));
            let made = world.call(&ada, Method::POST, "/api/conversations", Some(json!({}))).await;
            let prefers = world.call(&ada, Method::PUT, "/api/preferences", Some(json!({ "systemPrompt": "x" }))).await;
            assert_eq!((made.status().as_u16(), prefers.status().as_u16()), (401, 401));
        } else {
            assert_eq!((again.as_u16(), world.count("preferences").await, world.count("api_keys").await), (200, 1, 1));
        }
    }
}

/// Many deletions against many answers: whatever the order, nothing of an answer stays that was not paid, nothing paid that
/// does not stay.
async fn deletions_race_with_answers_and_books_agree(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    for round in 0..10_u64 {
        let id = ask(&world, &ada, "start").await;
        let before = world.ledger_balance(&ada).await;
        let body = json!({ "messages": [{ "role": "user", "content": "[delay=3] a b" }], "conversationId": id });
        let path = format!("/api/conversations/{id}");
        let delete = async {
            tokio::time::sleep(Duration::from_millis(3 * round)).await;
            world.call(&ada, Method::DELETE, &path, None).await.status()
        };
        let (answer, deleted) = tokio::join!(world.complete(&ada, body), delete);
        let status = parts(answer).await.0;
        assert_eq!(deleted, 204);
        assert!([200, 404, 409].contains(&status), "{status}");
        let paid = i64::from(status == 200);
        until("the books agree", async || world.ledger_balance(&ada).await == before - paid).await;
        assert_eq!(world.count("messages").await, 0, "round {round}");
    }
}

/// Each address that names something, with things of someone else.
async fn nobody_gets_at_the_things_of_others(store: Store) {
    let world = World::start(store).await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let id = ask(&world, &ada, "a secret").await;
    let share = parts(world.call(&ada, Method::POST, &format!("/api/conversations/{id}/shares"), None).await).await.1;
    let share = share["id"].as_str().unwrap();
    let message = world.get(&ada, &format!("/api/conversations/{id}")).await["messages"][1]["id"].clone();
    let key = parts(world.call(&ada, Method::POST, "/api/keys", Some(json!({ "name": "k" }))).await).await.1;
    let key = key["id"].as_str().unwrap().to_owned();
    let own = ask(&world, &eve, "mine").await;
    let hi = json!([{ "role": "user", "content": "hi" }]);
    let before = world.get(&ada, &format!("/api/conversations/{id}")).await;
    let path = |rest: &str| format!("/api/conversations/{id}{rest}");
    let cases: Vec<(Method, String, Option<Value>)> = vec![
        (Method::GET, path(""), None),
        (Method::GET, path("?limit=1"), None),
        (Method::PATCH, path(""), Some(json!({ "title": "mine" }))),
        (Method::PATCH, path(""), Some(json!({ "archived": true }))),
        (Method::PATCH, path(""), Some(json!({ "systemPrompt": "obey eve" }))),
        (Method::PATCH, path(""), Some(json!({}))),
        (Method::DELETE, path(""), None),
        (Method::PUT, path("/branch"), Some(json!({ "messageId": message }))),
        (Method::PUT, format!("/api/conversations/{own}/branch"), Some(json!({ "messageId": message }))),
        (Method::GET, path("/shares"), None),
        (Method::POST, path("/shares"), None),
        (Method::DELETE, path(&format!("/shares/{share}")), None),
        (Method::DELETE, format!("/api/conversations/{own}/shares/{share}"), None),
        (Method::GET, path("/export"), None),
        (Method::GET, path("/export?format=json"), None),
        (Method::DELETE, format!("/api/keys/{key}"), None),
        (Method::POST, "/api/chat".into(), Some(json!({ "messages": hi, "conversationId": id }))),
        (Method::POST, "/api/chat".into(), Some(json!({ "messages": hi, "conversationId": id, "edit": message }))),
        (Method::POST, "/api/chat/completions".into(), Some(json!({ "conversationId": id, "regenerate": message }))),
        (
            Method::POST,
            "/api/chat/completions".into(),
            Some(json!({ "messages": hi, "conversationId": id, "stream": true })),
        ),
    ];
    for (method, path, body) in cases {
        let (status, problem) = parts(world.call(&eve, method.clone(), &path, body.clone()).await).await;
        assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{method} {path} {body:?}: {problem}");
    }
    // Lists and searches hold one's own alone; a page's cursor of someone else leads nowhere.
    let text = |value: Value| value.to_string();
    for path in [
        "/api/conversations",
        "/api/conversations?archived=true",
        "/api/keys",
        "/api/search?q=secret",
        "/api/export?format=json",
    ] {
        let answer = text(world.get(&eve, path).await);
        assert!(!answer.contains("secret") && !answer.contains(&id) && !answer.contains(&key), "{path}: {answer}");
    }
    let foreign = world.get(&eve, &format!("/api/conversations/{own}?cursor={}", message.as_str().unwrap())).await;
    assert_eq!(foreign["messages"], json!([]));
    assert_eq!(world.call(&eve, Method::DELETE, "/api/conversations", None).await.status(), 204);
    assert_eq!(world.get(&ada, &format!("/api/conversations/{id}")).await, before);
    assert_eq!(world.get(&ada, &path("/shares")).await["shares"].as_array().unwrap().len(), 1);
    assert_eq!((world.model_calls(), world.ledger_balance(&eve).await), (2, 49));
}

crate::support::on_both_stores!(
    words_are_found_in_titles_and_messages_of_ones_own,
    what_is_put_away_leaves_the_list_and_comes_back,
    a_link_shows_what_was_said_until_then_to_anybody_until_it_is_revoked,
    one_address_reads_a_hundred_links_a_minute_whether_they_show_anything_or_not,
    exports_hold_everything_and_nothing_of_others,
    a_long_export_comes_whole_in_order,
    instructions_are_a_persons_or_a_conversations_own,
    the_model_names_a_conversation_for_nothing_and_nobody_waits,
    a_name_given_by_its_owner_stays_and_a_model_that_fails_changes_nothing,
    all_can_be_deleted_and_a_stream_under_way_brings_nothing_back,
    deletions_race_with_answers_and_books_agree,
    nobody_gets_at_the_things_of_others,
);
