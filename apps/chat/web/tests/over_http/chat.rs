//! Asking: as a stream, without scripts, and when it does not work.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{World, html_of};

async fn an_answer_streams_in_and_is_kept(world: World) {
    let browser = world.person("ada").await;
    let asked = "[delay=60] one two <b>three</b>";
    let answer = browser.ask(&[("prompt", asked), ("conversation", "")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let events = answer.events();
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names[0], names[1], *names.last().unwrap()), ("start", "delta", "done"));
    assert!(names.len() > 4, "in pieces: {names:?}");
    assert_eq!(html_of(&events), "<p>You said: one two &lt;b&gt;three&lt;/b&gt;</p>");
    assert_eq!(events.last().unwrap().1["credits"], 49);

    let id = events[0].1["conversationId"].as_str().unwrap();
    let page = browser.get(&format!("/c/{id}")).await;
    assert!(page.text.contains("49 credits"));
    assert!(
        page.text.contains("one two &#60;b&#62;three&#60;/b&#62;") && !page.text.contains("<b>three"),
        "{}",
        page.text
    );
    assert_eq!(page.text.matches(r#"class="message" data-role="#).count(), 2);
    assert!(page.text.contains(&format!(r#"<a href="/c/{id}" aria-current="page">"#)));
    let list = browser.get("/conversations").await;
    assert!(list.text.contains(&format!("/c/{id}")));
    assert_eq!(browser.get("/credits").await.json(), json!({ "credits": 49 }));
}

async fn it_works_without_scripts(world: World) {
    let browser = world.person("ada").await;
    let first = browser.send_form("/", "/ask", &[("prompt", "line\r\nbreak"), ("conversation", "")]).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", first.text);
    let place = first.location().unwrap();
    let page = browser.get(&place).await;
    assert!(page.text.contains("line\nbreak</div>"), "{}", page.text);

    let id = place.strip_prefix("/c/").unwrap();
    let next = browser.send_form(&place, "/ask", &[("prompt", "more"), ("conversation", id)]).await;
    assert_eq!(next.location().as_deref(), Some(place.as_str()));
    browser.send_form(&place, &format!("{place}/rename"), &[("title", "Breaking lines")]).await;
    assert!(browser.get(&place).await.text.contains(r#"<h1 id="heading">Breaking lines</h1>"#));
    let gone = browser.send_form(&place, &format!("{place}/delete"), &[]).await;
    assert_eq!(gone.location().as_deref(), Some("/"));
    assert_eq!(browser.get(&place).await.status, StatusCode::NOT_FOUND);
}

async fn a_question_that_fails_can_be_sent_again_and_cost_nothing(world: World) {
    let browser = world.person("ada").await;
    let page =
        browser.send_form("/", "/ask", &[("prompt", "try me"), ("model", "echo-fail"), ("conversation", "")]).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(page.text.contains("Nothing was charged") && page.text.contains("try me</textarea>"), "{}", page.text);
    assert!(page.text.contains("50 credits"));
    assert!(
        page.text.contains(r#"<option value="echo-fail" data-credits="1" selected>"#),
        "the choice stays: {}",
        page.text
    );

    let refused = browser.ask(&[("prompt", "try me"), ("model", "echo-fail"), ("conversation", "")]).await;
    let failure = refused.failure();
    assert!(failure["message"].as_str().unwrap().contains("Nothing was charged"), "{failure}");
    assert_eq!(failure["kept"], false, "{failure}");

    let broken = browser.ask(&[("prompt", "one two three four"), ("model", "echo-abort"), ("conversation", "")]).await;
    assert_eq!(broken.failure()["kept"], false);
    // What was made for the first one goes in the background.
    for _ in 0..500 {
        if browser.get("/").await.text.contains("Your conversations appear here") {
            assert_eq!(browser.get("/credits").await.json(), json!({ "credits": 50 }));
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("empty conversations stay behind");
}

async fn without_credits_the_page_says_so(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    for left in (0..50).rev() {
        let answer =
            browser.post("/ask", &csrf, "text/event-stream", &[("prompt", "spend"), ("conversation", "")]).await;
        assert_eq!(answer.events().last().unwrap().1["credits"], left);
    }
    let refused = browser.post("/ask", &csrf, "text/event-stream", &[("prompt", "more"), ("conversation", "")]).await;
    assert_eq!(refused.failure()["code"], "out_of_credits");
    let page = browser.get("/").await;
    assert!(page.text.contains("0 credits"));
    let notice = page.between(r#"id="out-of-credits""#, ">").unwrap();
    assert!(!notice.contains("hidden"), "{notice}");
}

async fn another_persons_conversation_is_not_there(world: World) {
    let ada = world.person("ada").await;
    let answer = ada.ask(&[("prompt", "a secret"), ("conversation", "")]).await;
    let id = answer.events()[0].1["conversationId"].as_str().unwrap().to_owned();
    let grace = world.person("grace").await;
    let page = grace.get(&format!("/c/{id}")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(!page.text.contains("a secret"));
    for (path, fields) in [
        (format!("/c/{id}/rename"), [("title", "mine")].as_slice()),
        (format!("/c/{id}/delete"), &[]),
        ("/ask".to_owned(), &[("prompt", "let me in"), ("conversation", &id)]),
    ] {
        assert_eq!(grace.send_form("/", &path, fields).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ada.get(&format!("/c/{id}")).await.status, StatusCode::OK);
}

async fn when_the_backend_is_away_the_page_says_so_and_stands(mut world: World) {
    let browser = world.person("ada").await;
    world.stop_the_backend();
    let page = browser.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Chat cannot be reached") && page.text.contains("50 credits"), "{}", page.text);
    let refused = browser.ask(&[("prompt", "hello"), ("conversation", "")]).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("backend_away"))
    );
}

crate::support::on_both_stores!(
    an_answer_streams_in_and_is_kept,
    it_works_without_scripts,
    a_question_that_fails_can_be_sent_again_and_cost_nothing,
    without_credits_the_page_says_so,
    another_persons_conversation_is_not_there,
    when_the_backend_is_away_the_page_says_so_and_stands,
);
