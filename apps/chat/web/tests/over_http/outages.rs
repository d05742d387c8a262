//! chat-web's own database going away and coming back, with a server of the test's own: requests fail clearly and in time, nobody is
//! signed out or charged for it, and all is well again without anybody's help.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kit::testing::{OwnPostgres, TestDatabase};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Answer, Browser, World, html_of};

/// No request takes longer, however the database fails.
const LONGEST: Duration = Duration::from_secs(15);

/// By then everything works again.
const RECOVERED: Duration = Duration::from_secs(30);

/// Loads a page until it is there.
async fn there_again(browser: &Browser, path: &str) -> Answer {
    let began = Instant::now();
    loop {
        let answer = browser.get(path).await;
        if answer.status == StatusCode::OK {
            return answer;
        }
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
        assert!(began.elapsed() < RECOVERED, "{path} does not come back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_halted_signs_nobody_out_and_is_found_again() {
    let postgres = OwnPostgres::start(50);
    let world = World::start_at(TestDatabase::at(postgres.url(), None)).await;
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let ask = async |key: &str| {
        let fields = [("prompt", "hello"), ("conversation", ""), ("key", key)];
        browser.post("/ask", &csrf, "text/event-stream", &fields).await
    };
    assert_eq!(ask("before").await.events().last().unwrap().1["credits"], 49);
    let (cookies, calls) = (browser.cookies(), world.calls.count().started);

    postgres.halt();
    let began = Instant::now();
    // More than there are connections.
    let (pages, asked) = tokio::join!(join_all((0..16).map(|_| browser.get("/"))), ask("halted"));
    assert!(began.elapsed() < LONGEST, "they took {:?}", began.elapsed());
    for page in &pages {
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{}", page.text);
        assert!(page.text.contains("You stay signed in"), "{}", page.text);
        assert!(page.headers.contains_key("retry-after"), "{:?}", page.headers);
    }
    assert_eq!((asked.status, &asked.json()["code"]), (pages[0].status, &json!("database_unavailable")));
    assert_eq!(browser.cookies(), cookies, "nobody is signed out");
    assert_eq!(world.calls.count().started, calls, "no model is asked");
    assert_eq!(browser.get("/api/health/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.browser().get("/login").await.status, StatusCode::OK, "what needs no session is there");

    postgres.go_on();
    there_again(&browser, "/").await;
    // The question that got no answer, once more.
    assert_eq!(ask("halted").await.events().last().unwrap().1["credits"], 48);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_under_an_answer_costs_nobody_the_answer() {
    let mut postgres = OwnPostgres::start(50);
    let world = World::start_at(TestDatabase::at(postgres.url(), None)).await;
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let fields = [("prompt", "[delay=40] [words=50]"), ("conversation", ""), ("key", "one")];
    let mut telling = browser.read_along(&csrf, &fields).await;
    let id = telling.until("start").await["conversationId"].as_str().unwrap().to_owned();
    telling.until("delta").await;
    tokio::task::block_in_place(|| postgres.stop());
    let events = telling.all().await;
    assert_eq!((events.last().unwrap().0.as_str(), &events.last().unwrap().1["credits"]), ("done", &json!(49)));
    assert!(html_of(&events).ends_with("word50</p>"), "{events:?}");
    assert_eq!(browser.get("/credits").await.status, StatusCode::SERVICE_UNAVAILABLE);

    tokio::task::block_in_place(|| postgres.start_again());
    assert!(there_again(&browser, &format!("/c/{id}")).await.text.contains("word50</p>"));
    assert_eq!(there_again(&browser, "/credits").await.json(), json!({ "credits": 49 }));
}
