//! Who loses an answer half-way comes back to it: on the same instance or another, read along or as it is kept, and it is paid for once.

use std::time::Duration;

use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::support::{Browser, World, html_of};

/// A question whose answer takes a second, and what the answer is.
const SLOW: &str = "[delay=40] [words=25]";

fn words(count: usize) -> String {
    let words: Vec<_> = (1..=count).map(|n| format!("word{n}")).collect();
    format!("<p>{}</p>", words.join(" "))
}

/// Asks, reads the first words and breaks the connection; gives the conversation.
async fn begun(browser: &Browser, csrf: &str, key: &str) -> String {
    let mut telling = browser.read_along(csrf, &[("prompt", SLOW), ("conversation", ""), ("key", key)]).await;
    let id = telling.until("start").await["conversationId"].as_str().unwrap().to_owned();
    telling.until("delta").await;
    id
}

async fn credits(browser: &Browser) -> Value {
    browser.get("/credits").await.json()["credits"].clone()
}

async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(), "{what}");
}

async fn who_comes_back_reads_on_and_pays_once(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let id = begun(&browser, &csrf, "one").await;
    let again = [("prompt", SLOW), ("conversation", id.as_str()), ("key", "one")];
    let (mut first, second) = (browser.read_along(&csrf, &again).await, browser.read_along(&csrf, &again).await);
    let delta = first.until("delta").await;
    assert_eq!(delta["keep"], 0, "who comes back is told from the beginning: {delta}");
    assert!(delta["html"].as_str().unwrap().starts_with("<p>word1"), "{delta}");
    assert!(!delta["html"].as_str().unwrap().contains("word25"), "it is still being written: {delta}");
    for telling in [first, second] {
        let events = telling.all().await;
        assert_eq!(html_of(&events), words(25));
        assert_eq!(events.last().unwrap().1["credits"], 49, "{events:?}");
    }
    let late = browser.read_along(&csrf, &again).await.all().await;
    assert_eq!((html_of(&late), late.last().unwrap().0.as_str()), (words(25), "done"));
    assert_eq!((credits(&browser).await, world.calls.count().started), (json!(49), 1));
    let page = browser.get(&format!("/c/{id}")).await;
    assert_eq!(page.text.matches(r#"class="message" data-role="#).count(), 2);
    assert!(!page.text.contains("Stopped."), "{}", page.text);
    let thief = world.person("eve").await;
    let csrf = thief.get("/").await.csrf();
    let other = thief.read_along(&csrf, &again).await.all().await;
    assert_eq!(other.last().unwrap().1["code"], "not_found", "a key is one's own: {other:?}");
}

async fn another_instance_gives_it_when_it_is_whole(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let id = begun(&browser, &csrf, "one").await;
    let other = world.another_instance().await;
    let again = [("prompt", SLOW), ("conversation", id.as_str()), ("key", "one")];
    let events = browser.at(&other.url).read_along(&csrf, &again).await.all().await;
    assert_eq!(html_of(&events), words(25));
    assert_eq!(events.last().unwrap().1["credits"], 49, "{events:?}");
    assert_eq!((credits(&browser).await, world.calls.count().started), (json!(49), 1));
}

async fn who_leaves_finds_it_whole(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let id = begun(&browser, &csrf, "one").await;
    until("it is kept", async || browser.get(&format!("/c/{id}")).await.text.contains("word25</p>")).await;
    assert!(!browser.get(&format!("/c/{id}")).await.text.contains("Stopped."));
    until("it is paid", async || credits(&browser).await == json!(49)).await;
}

async fn a_stop_ends_it_with_what_was_said(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let mut telling = browser.read_along(&csrf, &[("prompt", SLOW), ("conversation", ""), ("key", "one")]).await;
    let id = telling.until("start").await["conversationId"].as_str().unwrap().to_owned();
    telling.until("delta").await;
    let stopped = browser.post("/ask/stop", &csrf, "*/*", &[("key", "one")]).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT);
    let events = telling.all().await;
    assert_eq!(events.last().unwrap().1["code"], "stopped", "{events:?}");
    assert_eq!(events.last().unwrap().1["kept"], true);
    until("it is kept", async || browser.get(&format!("/c/{id}")).await.text.contains("Stopped.")).await;
    assert!(!browser.get(&format!("/c/{id}")).await.text.contains("word25"));
    until("it is paid", async || credits(&browser).await == json!(49)).await;
    assert_eq!(world.calls.count().cancelled, 1, "the model was stopped");

    // Nothing was said yet.
    let fields = [("prompt", "[delay=20000] later"), ("conversation", ""), ("key", "two")];
    let mut telling = browser.read_along(&csrf, &fields).await;
    let id = telling.until("start").await["conversationId"].as_str().unwrap().to_owned();
    browser.post("/ask/stop", &csrf, "*/*", &[("key", "two")]).await;
    assert_eq!(telling.all().await.last().unwrap().1["kept"], false);
    assert_eq!(browser.get(&format!("/c/{id}")).await.status, StatusCode::NOT_FOUND);

    // The stop was faster.
    browser.post("/ask/stop", &csrf, "*/*", &[("key", "three")]).await;
    let events = browser.read_along(&csrf, &[("prompt", SLOW), ("key", "three")]).await.all().await;
    assert_eq!((events.len(), &events[0].1["code"]), (1, &json!("stopped")), "{events:?}");
    assert_eq!(events[0].1["kept"], false, "none was made for it");
    until("what was held for it is given back", async || credits(&browser).await == json!(49)).await;

    // Also in a conversation that was there before, which stays.
    let asked = browser.ask(&[("prompt", "hello"), ("conversation", "")]).await;
    let there = asked.events()[0].1["conversationId"].as_str().unwrap().to_owned();
    browser.post("/ask/stop", &csrf, "*/*", &[("key", "four")]).await;
    let fields = [("prompt", SLOW), ("conversation", there.as_str()), ("key", "four")];
    let events = browser.read_along(&csrf, &fields).await.all().await;
    assert_eq!((&events[0].1["code"], &events[0].1["kept"]), (&json!("stopped"), &json!(true)), "{events:?}");
    assert_eq!(browser.get(&format!("/c/{there}")).await.status, StatusCode::OK);
}

async fn a_stop_ends_it_whichever_instance_it_reaches(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let other = world.another_instance().await;
    let fields = [("prompt", "[delay=40] [words=1000]"), ("conversation", ""), ("key", "one")];
    let mut telling = browser.read_along(&csrf, &fields).await;
    telling.until("delta").await;
    let stopped = browser.at(&other.url).post("/ask/stop", &csrf, "*/*", &[("key", "one")]).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT);
    let events = telling.all().await;
    assert_eq!(
        (&events.last().unwrap().1["code"], &events.last().unwrap().1["kept"]),
        (&json!("stopped"), &json!(true))
    );
    assert!(!html_of(&events).contains("word999"), "{events:?}");
    until("it is paid", async || credits(&browser).await == json!(49)).await;
    assert_eq!(world.calls.count().cancelled, 1, "the model was stopped");
    let stops = async || World::number(&world.database, "SELECT COUNT(*) FROM stopped_answers").await;
    assert_eq!(stops().await, 1);
    // Each instance looks when it begins, and every minute.
    world.database.execute_unprepared("UPDATE stopped_answers SET stopped_at = 1").await.unwrap();
    let _beside = world.another_instance().await;
    until("it goes", async || stops().await == 0).await;
}

async fn a_first_question_that_comes_to_nothing_takes_no_other_answer_with_it(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let begin = async |key: &str| {
        let fields = [("prompt", "[delay=20000] later"), ("conversation", ""), ("key", key)];
        let mut telling = browser.read_along(&csrf, &fields).await;
        let id = telling.until("start").await["conversationId"].as_str().unwrap().to_owned();
        (telling, id)
    };
    let stop = async |key: &str| browser.post("/ask/stop", &csrf, "*/*", &[("key", key)]).await;
    let (first, kept) = begin("one").await;
    let other = browser.read_along(&csrf, &[("prompt", "meanwhile"), ("conversation", &kept), ("key", "two")]).await;
    assert_eq!(other.all().await.last().unwrap().0, "done");
    stop("one").await;
    assert_eq!(first.all().await.last().unwrap().1["kept"], true, "it is there, and the page stays with it");
    let (second, gone) = begin("three").await;
    stop("three").await;
    assert_eq!(second.all().await.last().unwrap().1["kept"], false);
    let page = browser.get(&format!("/c/{gone}")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND, "it is gone when the page is told");
    let page = browser.get(&format!("/c/{kept}")).await;
    assert!(page.status == StatusCode::OK && page.text.contains("You said: meanwhile"), "{}", page.text);
    assert_eq!(credits(&browser).await, json!(49));
}

async fn a_line_cut_behind_us_costs_nothing_twice(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let mut telling = browser.read_along(&csrf, &[("prompt", SLOW), ("conversation", ""), ("key", "one")]).await;
    let id = telling.until("start").await["conversationId"].as_str().unwrap().to_owned();
    telling.until("delta").await;
    world.wire.cut();
    let events = telling.all().await;
    let lost = &events.last().unwrap().1;
    assert_eq!((&lost["code"], &lost["kept"]), (&json!("backend_away"), &json!(true)), "{lost}");
    // What had been delivered is the answer; it is given again, not written again.
    let again = [("prompt", SLOW), ("conversation", id.as_str()), ("key", "one")];
    let events = browser.read_along(&csrf, &again).await.all().await;
    assert_eq!(events.last().unwrap().0, "done", "{events:?}");
    assert!(html_of(&events).starts_with("<p>word1"), "{events:?}");
    assert_eq!((credits(&browser).await, world.calls.count().started), (json!(49), 1));
    let wrong = browser.post("/ask", &csrf, "text/event-stream", &[("prompt", "x"), ("key", "not a key!")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

crate::support::on_both_stores!(
    who_comes_back_reads_on_and_pays_once,
    another_instance_gives_it_when_it_is_whole,
    who_leaves_finds_it_whole,
    a_stop_ends_it_with_what_was_said,
    a_stop_ends_it_whichever_instance_it_reaches,
    a_first_question_that_comes_to_nothing_takes_no_other_answer_with_it,
    a_line_cut_behind_us_costs_nothing_twice,
);
