//! TLS on a developer's machine: an authority of its own, trusted by a real browser, HTTP/2 inside.

use std::path::PathBuf;
use std::time::Duration;

use fantoccini::{Client, Locator};
use reqwest::{Certificate, StatusCode};
use serde_json::Value;
use system_tests::browser::Browser;
use system_tests::people::PASSWORD;
use system_tests::{Ecosystem, manifest_in, wait};

/// Longest time for a page to show what it should.
const PATIENCE: Duration = Duration::from_secs(20);

async fn fill(client: &Client, css: &str, value: &str) {
    let element = client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await.expect(css);
    element.send_keys(value).await.expect(css);
}

async fn shows(client: &Client, css: &str, expected: &str) {
    wait::until(&format!("{css} shows {expected:?}"), PATIENCE, || async {
        let text = client.find(Locator::Css(css)).await.ok()?.text().await.ok()?;
        text.contains(expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_browser_that_trusts_the_authority_chats_over_http2() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = manifest_in(folder.path(), |text| format!("{text}\n[environments.development]\ntls = \"local\"\n"));
    let ecosystem = Ecosystem::new().with_manifest(manifest);
    let authority = ecosystem.mana(["trust", "--path"]);
    let authority = PathBuf::from(String::from_utf8(authority.stdout).expect("a path").trim());
    ecosystem.start();

    // Everyone who trusts it is answered; plain HTTP leads there.
    let root = Certificate::from_pem(&std::fs::read(&authority).expect("the authority")).expect("PEM");
    let builder = reqwest::Client::builder().tls_certs_only([root]).redirect(reqwest::redirect::Policy::none());
    let resolved = builder.resolve("auth.localhost", ([127, 0, 0, 1], 0).into()).no_proxy();
    let client = resolved.build().expect("a client");
    let url = ecosystem.secure_url("auth.localhost");
    let answer = client.get(format!("{url}/api/health")).send().await.expect("an answer over TLS");
    assert_eq!(answer.status(), StatusCode::OK);
    let plain = client.get(format!("{}/api/health", ecosystem.url("auth.localhost"))).send().await.expect("an answer");
    assert_eq!(plain.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(plain.headers()["location"].to_str().ok(), Some(format!("{url}/api/health").as_str()));
    let certificates = ecosystem.mana(["certificates", "--json"]);
    assert!(certificates.status.success());
    let certificates: Value = serde_json::from_slice(&certificates.stdout).expect("JSON");
    assert_eq!(
        certificates.as_array().expect("a list").len(),
        6,
        "one for each host, the door and the status page too: {certificates}"
    );

    let browser = Browser::trusting(1280, 900, Some(&authority)).await;
    let client = &browser.client;
    client.goto(&format!("{}/register", ecosystem.secure_url("app-chat.localhost"))).await.expect("the page loads");
    let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(client.execute(protocol, Vec::new()).await.expect("a protocol"), "h2");
    fill(client, "#name", "Ada").await;
    fill(client, "#email", "ada@example.com").await;
    fill(client, "#password", PASSWORD).await;
    client.find(Locator::Css("form button[type=submit]")).await.expect("a button").click().await.expect("a click");
    shows(client, "#credits", "50").await;
    fill(client, "#prompt", "What is a mana?").await;
    client.find(Locator::Css("#send")).await.expect("a button").click().await.expect("a click");
    shows(client, ".message[data-role=assistant]", "mana").await;
    shows(client, "#credits", "49").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
}
