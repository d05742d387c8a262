//! What every page has, and what every form needs.

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, ORIGIN, REFERER};
use reqwest::{Method, StatusCode};

use crate::support::{ORIGIN_OF_THE_SITE, World, with_form};

async fn every_answer_is_locked_down(world: World) {
    let browser = world.person("ada").await;
    let stranger = world.browser();
    let answers = [
        browser.get("/").await,
        stranger.get("/login").await,
        stranger.get("/register").await,
        browser.get("/nowhere").await,
        stranger.send(stranger.request(Method::POST, "/login")).await,
    ];
    for answer in answers {
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(
            !answer.text.contains("style=\"") && !answer.text.contains("onclick"),
            "nothing inline: {}",
            answer.text
        );
        assert!(!answer.text.contains("<script>") && !answer.text.contains("<style"));
    }
}

async fn forms_of_other_sites_and_without_token_are_refused(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let foreign =
        browser.request(Method::POST, "/logout").header(ORIGIN, "http://evil.test").header(ACCEPT, "text/html");
    let foreign = browser.send(with_form(foreign, &[("csrf", &csrf)])).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(foreign.text.contains("came from another site"), "{}", foreign.text);
    let eve = world.person("eve").await;
    for token in ["", "AAAA", &eve.get("/").await.csrf()] {
        assert_eq!(browser.post("/logout", token, "text/html", &[]).await.status, StatusCode::FORBIDDEN, "{token}");
    }
    let long = "x".repeat(2_200_000);
    let too_long = browser.post("/ask", &csrf, "application/json", &[("prompt", &long)]).await;
    assert_eq!(too_long.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(browser.get("/").await.status, StatusCode::OK, "still signed in");
}

async fn assets_are_kept_for_ever_and_packed(world: World) {
    let browser = world.browser();
    let page = browser.get("/login").await;
    for (before, kind) in [("<link rel=\"stylesheet\" href=\"", "text/css"), ("<script src=\"", "text/javascript")] {
        let path = page.between(before, "\"").unwrap();
        let plain = browser.get(path).await;
        assert_eq!(plain.status, StatusCode::OK);
        assert!(plain.headers["content-type"].to_str().unwrap().starts_with(kind));
        assert!(plain.headers["cache-control"].to_str().unwrap().contains("immutable"));
        let packed = browser.request(Method::GET, path).header(ACCEPT_ENCODING, "br").send().await.unwrap();
        assert_eq!(packed.headers()["content-encoding"], "br");
        assert!(packed.bytes().await.unwrap().len() * 2 < plain.text.len());
    }
    assert_eq!(browser.get("/assets/nothing.js").await.status, StatusCode::NOT_FOUND);
}

async fn colours_are_chosen_without_scripts(world: World) {
    let browser = world.person("ada").await;
    let csrf = browser.get("/").await.csrf();
    let choose = |theme: &'static str, back: &str| {
        let request = browser.request(Method::POST, "/theme").header(ORIGIN, ORIGIN_OF_THE_SITE).header(REFERER, back);
        browser.send(with_form(request, &[("csrf", &csrf), ("theme", theme)]))
    };
    let chosen = choose("dark", &format!("{ORIGIN_OF_THE_SITE}/c/x")).await;
    assert_eq!(chosen.location().as_deref(), Some("/c/x"));
    assert!(browser.get("/").await.text.contains(r#"data-theme="dark""#));
    let elsewhere = choose("light", "http://chat.test.evil.example/x").await;
    assert_eq!(elsewhere.location().as_deref(), Some("/"), "never to another site");
}

async fn it_is_a_service_like_the_others(world: World) {
    let browser = world.browser();
    assert_eq!(browser.get("/api/health").await.status, StatusCode::OK);
    let ready = browser.get("/api/health/ready").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert!(ready.text.contains("chat-backend") && ready.text.contains("mana-core-auth"), "{}", ready.text);
    assert!(browser.get("/metrics").await.text.contains("http_requests"));
}

crate::support::on_both_stores!(
    every_answer_is_locked_down,
    forms_of_other_sites_and_without_token_are_refused,
    assets_are_kept_for_ever_and_packed,
    colours_are_chosen_without_scripts,
    it_is_a_service_like_the_others,
);
