//! A person with a real browser: registers, chats, watches the balance, runs out.

use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, Locator};
use system_tests::browser::Browser;
use system_tests::people::PASSWORD;
use system_tests::{Ecosystem, wait};

/// Longest time for a page to show what it should.
const PATIENCE: Duration = Duration::from_secs(20);

async fn text(client: &Client, css: &str) -> Option<String> {
    client.find(Locator::Css(css)).await.ok()?.text().await.ok()
}

async fn find(client: &Client, css: &str) -> Element {
    match client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await {
        Ok(element) => element,
        Err(error) => panic!("{css}: {error}: {}", client.source().await.expect("the page")),
    }
}

async fn fill(client: &Client, css: &str, value: &str) {
    find(client, css).await.send_keys(value).await.expect(css);
}

async fn click(client: &Client, css: &str) {
    find(client, css).await.click().await.expect(css);
}

async fn shows(client: &Client, css: &str, expected: &str) {
    wait::until(&format!("{css} shows {expected:?}"), PATIENCE, || async {
        text(client, css).await.filter(|text| text.contains(expected))
    })
    .await;
}

async fn register(ecosystem: &Ecosystem, client: &Client, email: &str) {
    client.goto(&format!("{}/register", ecosystem.url("app-chat.localhost"))).await.expect("the page loads");
    fill(client, "#name", "Ada").await;
    fill(client, "#email", email).await;
    fill(client, "#password", PASSWORD).await;
    click(client, "form button[type=submit]").await;
    shows(client, "#credits", "50").await;
}

async fn ask(client: &Client, question: &str) {
    fill(client, "#prompt", question).await;
    click(client, "#send").await;
}

#[tokio::test]
async fn a_person_registers_chats_sees_49_and_runs_out() {
    let ecosystem = Ecosystem::up();
    let browser = Browser::start(1280, 900).await;
    let client = &browser.client;
    register(&ecosystem, client, "ada@example.com").await;

    ask(client, "What is a mana?").await;
    shows(client, ".message[data-role=assistant]", "mana").await;
    shows(client, "#credits", "49").await;

    // The page keeps what was said, and nothing a model says becomes markup.
    client.refresh().await.expect("the page loads again");
    shows(client, ".message[data-role=user]", "What is a mana?").await;
    ask(client, "<img src=x onerror=\"document.title='broken into'\"><b>bold</b>").await;
    shows(client, "#credits", "48").await;
    assert_eq!(client.find_all(Locator::Css(".message img, .message b")).await.expect("a list").len(), 0);
    assert_ne!(client.title().await.expect("a title"), "broken into");

    drain(&ecosystem, client).await;
    ask(client, "The last one").await;
    shows(client, "#credits", "0").await;
    client.refresh().await.expect("the page loads again");
    shows(client, "#out-of-credits", "credits").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}

/// Spends all but one credit through the API, as the same person.
async fn drain(ecosystem: &Ecosystem, client: &Client) {
    let http = ecosystem.client();
    let login = serde_json::json!({ "email": "ada@example.com", "password": PASSWORD });
    let url = format!("{}/api/auth/login", ecosystem.url("auth.localhost"));
    let answer: serde_json::Value =
        http.post(url).json(&login).send().await.expect("login").json().await.expect("JSON");
    let token = answer["accessToken"].as_str().expect("accessToken").to_owned();
    let url = format!("{}/api/chat/completions", ecosystem.url("api-chat.localhost"));
    let body = serde_json::json!({ "messages": [{ "role": "user", "content": "Spend" }] });
    loop {
        let answer = http.post(&url).bearer_auth(&token).json(&body).send().await.expect("an answer");
        let answer: serde_json::Value = answer.json().await.expect("JSON");
        if answer["credits"] == 1 {
            break;
        }
        assert!(answer["credits"].as_i64().is_some_and(|credits| credits > 1), "{answer}");
    }
    client.refresh().await.expect("the page loads again");
    shows(client, "#credits", "1").await;
}

#[tokio::test]
async fn a_stopped_answer_stays_stopped_and_the_page_works_on() {
    let ecosystem = Ecosystem::up();
    let browser = Browser::start(390, 844).await;
    let client = &browser.client;
    register(&ecosystem, client, "grace@example.com").await;
    let script =
        "const model = document.querySelector('select[name=model]'); model.value = 'echo-slow'; return model.value";
    let chosen = client.execute(script, Vec::new()).await.expect("a model choice");
    assert_eq!(chosen, "echo-slow", "the models on offer hold a slow one in development");
    ask(client, &"a long question that takes a while ".repeat(20)).await;
    shows(client, ".message[data-role=assistant]", "You said:").await;
    click(client, "#stop").await;
    wait::until("the stop button is gone", PATIENCE, || async {
        let stop = client.find(Locator::Css("#stop")).await.ok()?;
        (!stop.is_displayed().await.ok()?).then_some(())
    })
    .await;
    let stopped = text(client, ".message[data-role=assistant]").await.expect("the answer so far");
    assert!(stopped.len() < 20 * 30, "{stopped}");
}

#[tokio::test]
async fn the_landing_page_links_to_the_app() {
    let ecosystem = Ecosystem::up();
    let browser = Browser::start(1280, 900).await;
    let client = &browser.client;
    client.goto(&ecosystem.url("chat.localhost")).await.expect("the page loads");
    click(client, "a[href='/app']").await;
    wait::until("the app opens", PATIENCE, || async {
        let url = client.current_url().await.ok()?;
        (url.host_str() == Some("app-chat.localhost")).then_some(())
    })
    .await;
}
