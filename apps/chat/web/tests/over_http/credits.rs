//! The page of credits: history, gift codes, export.

use kit::Credits;
use reqwest::{Method, StatusCode};

use crate::support::World;

async fn a_gift_code_is_redeemed_and_stands_in_the_history(world: World) {
    let browser = world.person("ada").await;
    let page = browser.get("/credits/history").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("<strong>50 credits</strong>") && page.text.contains("Given to you: sign-up"),
        "{}",
        page.text
    );

    let code = world.auth.gift_code(Credits::from_units(7_500), 1).await;
    let typed = format!("{} {}", &code[..3].to_lowercase(), &code[3..]);
    let redeemed = browser.send_form("/credits/history", "/credits/redeem", &[("code", &typed)]).await;
    assert_eq!(redeemed.location().as_deref(), Some("/credits/history?redeemed"));
    let page = browser.get("/credits/history?redeemed").await;
    assert!(page.text.contains("57.5 credits") && page.text.contains("50 free, which are spent first, and 7.5 paid"));
    assert!(page.text.contains("The code was redeemed") && page.text.contains("+7.5"), "{}", page.text);

    browser.ask(&[("prompt", "hello")]).await;
    let page = browser.get("/credits/history").await;
    assert!(page.text.contains("Held for an answer: an answer in chat"), "{}", page.text);

    let again = browser.send_form("/credits/history", "/credits/redeem", &[("code", &code)]).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.between(r#"id="code-problem">"#, "<"), Some("You have redeemed this code already."));
    let wrong = browser.send_form("/credits/history", "/credits/redeem", &[("code", "\"><script>")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.between(r#"id="code-problem">"#, "<").unwrap().starts_with("A code has six"));
    assert!(!wrong.text.contains("\"><script>"), "what was typed is text");
    let unknown = browser.send_form("/credits/history", "/credits/redeem", &[("code", "ZZZZZZ")]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

async fn the_history_is_paged_and_downloaded(world: World) {
    let browser = world.person("ada").await;
    for n in 0..26 {
        browser.ask(&[("prompt", &format!("question {n}"))]).await;
    }
    let page = browser.get("/credits/history").await;
    let cursor = page.between(r#"href="/credits/history?cursor="#, "\"").unwrap();
    let earlier = browser.get(&format!("/credits/history?cursor={cursor}")).await;
    assert!(earlier.text.contains("sign-up") && !page.text.contains("sign-up"), "{}", earlier.text);
    let csv = browser.get("/credits/history.csv").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8; header=present");
    assert_eq!(csv.text.lines().count(), 1 + 1 + 2 * 26, "a head, the sign-up, and twice for each answer");
}

async fn credits_are_for_who_is_signed_in_and_redeemed_from_this_site_only(world: World) {
    let browser = world.browser();
    for path in ["/credits/history", "/credits/history.csv"] {
        assert_eq!(browser.get(path).await.location().as_deref(), Some("/login?ended"), "{path}");
    }
    let person = world.person("ada").await;
    let request = person.request(Method::POST, "/credits/redeem").header("accept", "text/html");
    assert_eq!(person.send(request).await.status, StatusCode::FORBIDDEN);
}

crate::support::on_both_stores!(
    a_gift_code_is_redeemed_and_stands_in_the_history,
    the_history_is_paged_and_downloaded,
    credits_are_for_who_is_signed_in_and_redeemed_from_this_site_only,
);
