//! What is done with conversations beside talking, without scripts.

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Browser, World};

async fn asked(browser: &Browser, text: &str) -> String {
    let answer = browser.send_form("/", "/ask", &[("prompt", text), ("conversation", "")]).await;
    answer.location().unwrap()
}

fn ids(text: &str, before: &str) -> Vec<String> {
    text.split(before).skip(1).map(|rest| rest.chars().take(36).collect()).collect()
}

async fn questions_are_edited_and_answers_given_again_without_scripts(world: World) {
    let browser = world.person("ada").await;
    let place = asked(&browser, "first").await;
    let id = place.strip_prefix("/c/").unwrap();
    let page = browser.get(&place).await;
    assert!(!page.text.contains(r#"class="versions""#));
    let said = ids(&page.text, r#"id="m-"#);
    let again = [("conversation", id), ("regenerate", said[1].as_str())];
    assert_eq!(browser.send_form(&place, "/ask", &again).await.location().as_deref(), Some(place.as_str()));
    let page = browser.get(&place).await;
    assert!(page.text.contains("<span>2/2</span>"), "{}", page.text);
    let edit = [("conversation", id), ("edit", said[0].as_str()), ("prompt", "second")];
    browser.send_form(&place, "/ask", &edit).await;
    let page = browser.get(&place).await;
    assert!(page.text.contains("You said: second") && !page.text.contains("You said: first"), "{}", page.text);
    let back = browser.send_form(&place, &format!("{place}/branch"), &[("message", &said[0])]).await;
    assert_eq!(back.location().unwrap(), format!("{place}#m-{}", said[0]));
    let page = browser.get(&place).await;
    assert!(page.text.contains("<span>1/2</span>") && page.text.contains("<span>2/2</span>"), "{}", page.text);
    assert_eq!(browser.get("/credits").await.json(), json!({ "credits": 47 }));
}

async fn a_link_is_for_anybody_until_it_is_revoked(world: World) {
    let browser = world.person("ada").await;
    let place = asked(&browser, "shared *words*").await;
    let links = format!("{place}/links");
    browser.send_form(&place, &links, &[]).await;
    let page = browser.get(&links).await;
    let token: String = page.text.split("/s/").nth(1).unwrap().chars().take(64).collect();
    let stranger = world.browser();
    let shown = stranger.get(&format!("/s/{token}")).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(shown.headers["x-robots-tag"], "noindex, nofollow");
    assert!(shown.text.contains("noindex") && shown.text.contains("<em>words</em>"), "{}", shown.text);
    let id = place.strip_prefix("/c/").unwrap();
    assert!(!shown.text.contains("ada") && !shown.text.contains(id) && !shown.text.contains("csrf"), "{}", shown.text);
    assert!(shown.headers.get("set-cookie").is_none());
    let revoke = ids(&page.text, &format!("{links}/"));
    browser.send_form(&links, &format!("{links}/{}/revoke", revoke[0]), &[]).await;
    let gone = stranger.get(&format!("/s/{token}")).await;
    assert_eq!((gone.status, gone.text.contains("was revoked")), (StatusCode::NOT_FOUND, true));
    for odd in ["/s/x", "/s/%2e%2e%2fconversations", "/s/..%2F..%2Fhealth"] {
        assert_eq!(stranger.get(odd).await.status, StatusCode::NOT_FOUND, "{odd}");
    }
}

async fn who_reads_too_many_links_is_told_so_and_nobody_else_is(world: World) {
    let browser = world.browser();
    let read = async |address: &str| {
        browser.send(browser.request(Method::GET, "/s/nothing").header("x-real-ip", address)).await.status
    };
    for _ in 0..100 {
        assert_eq!(read("203.0.113.7").await, StatusCode::NOT_FOUND);
    }
    assert_eq!(read("203.0.113.7").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(read("203.0.113.8").await, StatusCode::NOT_FOUND);
}

async fn conversations_are_put_away_found_instructed_and_taken_away(world: World) {
    let browser = world.person("ada").await;
    let place = asked(&browser, "heat pumps").await;
    let at = |rest: &str| format!("{place}{rest}");
    browser.send_form(&place, &at("/instructions"), &[("instructions", "a\r\nb <c>")]).await;
    assert!(browser.get(&place).await.text.contains("a\nb &#60;c&#62;</textarea>"));
    let away = browser.send_form(&place, &at("/archive"), &[("archived", "true")]).await;
    assert_eq!(away.location().as_deref(), Some("/"));
    assert!(!browser.get("/").await.text.contains("heat pumps"));
    assert!(browser.get("/archived").await.text.contains(&place));
    let found = browser.get("/search?q=PUMP").await;
    assert!(found.text.contains(&place) && found.text.contains("archived"), "{}", found.text);
    assert!(browser.get("/search?q=nothing").await.text.contains("Nothing was found"));
    assert!(browser.get("/search?q=%3C--%3E").await.text.contains("letters or digits"));
    browser.send_form(&place, &at("/archive"), &[("archived", "false")]).await;
    assert!(browser.get("/").await.text.contains("heat pumps"));
    let markdown = browser.get(&at("/export?format=markdown")).await;
    assert!(markdown.text.starts_with("# heat pumps\n"), "{}", markdown.text);
    assert!(markdown.headers["content-disposition"].to_str().unwrap().contains("attachment"));
    let all = browser.get("/export?format=json").await.json();
    assert_eq!(all["conversations"][0]["systemPrompt"], "a\nb <c>");
    browser.send_form("/settings", "/settings", &[("instructions", "always")]).await;
    assert!(browser.get("/settings").await.text.contains("always</textarea>"));
    browser.send_form("/settings", "/settings/delete-all", &[]).await;
    assert_eq!(browser.get(&place).await.status, StatusCode::NOT_FOUND);
}

async fn files_go_along_and_what_is_no_list_of_them_is_refused(world: World) {
    let browser = world.person("ada").await;
    let files = json!([{ "name": "<b>.txt", "content": "<i>in</i> it" }]).to_string();
    let fields = [("prompt", "read"), ("conversation", ""), ("attachments", files.as_str())];
    let place = browser.send_form("/", "/ask", &fields).await.location().unwrap();
    let page = browser.get(&place).await;
    assert!(page.text.contains("&#60;i&#62;in&#60;/i&#62; it</pre>") && !page.text.contains("<i>"), "{}", page.text);
    let refused = browser.ask(&[("prompt", "read"), ("conversation", ""), ("attachments", "{")]).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("attachments"))
    );
    let many = json!(vec![json!({ "name": "a", "content": "b" }); 5]).to_string();
    let refused = browser.ask(&[("prompt", "read"), ("conversation", ""), ("attachments", &many)]).await;
    assert!(refused.failure()["message"].as_str().unwrap().contains("4 are allowed"), "{}", refused.text);
}

async fn keys_are_shown_once_listed_and_revoked(world: World) {
    let browser = world.person("ada").await;
    let made = browser.send_form("/keys", "/keys", &[("name", "my <script>")]).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let key = made.between(r#"id="new-key" value=""#, "\"").unwrap();
    assert!(key.starts_with("mana_") && key.len() == 69, "{key}");
    let list = browser.get("/keys").await;
    assert!(!list.text.contains(key) && list.text.contains(&key[..12]), "{}", list.text);
    assert!(list.text.contains("never used") && list.text.contains("my &#60;script&#62;"), "{}", list.text);
    let id = ids(&list.text, "/keys/").remove(0);
    browser.send_form("/keys", &format!("/keys/{id}/revoke"), &[]).await;
    assert!(browser.get("/keys").await.text.contains("There is no key."));
    assert_eq!(browser.send_form("/keys", "/keys", &[("name", " ")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// Each address that names something, with things of someone else.
async fn nobody_gets_at_the_things_of_others(world: World) {
    let ada = world.person("ada").await;
    let place = asked(&ada, "a secret").await;
    let id = place.strip_prefix("/c/").unwrap();
    ada.send_form(&place, &format!("{place}/links"), &[]).await;
    let links = ada.get(&format!("{place}/links")).await;
    let link = ids(&links.text, &format!("{place}/links/")).remove(0);
    let message = ids(&ada.get(&place).await.text, r#"id="m-"#).remove(1);
    ada.send_form("/keys", "/keys", &[("name", "k")]).await;
    let key = ids(&ada.get("/keys").await.text, "/keys/").remove(0);
    let eve = world.person("eve").await;
    for rest in ["", "/older", "/messages", "/links", "/export?format=json", "/export?format=markdown"] {
        let answer = eve.get(&format!("{place}{rest}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{rest}");
        assert!(!answer.text.contains("a secret"), "{rest}");
    }
    for (path, fields) in [
        (format!("{place}/rename"), vec![("title", "mine")]),
        (format!("{place}/archive"), vec![("archived", "true")]),
        (format!("{place}/instructions"), vec![("instructions", "obey")]),
        (format!("{place}/branch"), vec![("message", message.as_str())]),
        (format!("{place}/links"), vec![]),
        (format!("{place}/links/{link}/revoke"), vec![]),
        (format!("{place}/delete"), vec![]),
        (format!("/keys/{key}/revoke"), vec![]),
        ("/ask".to_owned(), vec![("prompt", "in"), ("conversation", id), ("edit", message.as_str())]),
        ("/ask".to_owned(), vec![("conversation", id), ("regenerate", message.as_str())]),
    ] {
        assert_eq!(eve.send_form("/", &path, &fields).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/", "/archived", "/search?q=secret", "/export?format=json", "/keys"] {
        assert!(!eve.get(path).await.text.contains("a secret"), "{path}");
    }
    // Whoever is not signed in is sent to sign in, before anything is looked up.
    let stranger = world.browser();
    for path in [place.as_str(), "/search?q=secret", "/export", "/keys", "/settings", "/archived"] {
        let answer = stranger.send(stranger.request(reqwest::Method::GET, path).header(ACCEPT, "text/html")).await;
        assert_eq!(answer.location().as_deref(), Some("/login?ended"), "{path}");
    }
    assert!(ada.get(&place).await.text.contains("a secret"));
}

crate::support::on_both_stores!(
    questions_are_edited_and_answers_given_again_without_scripts,
    who_reads_too_many_links_is_told_so_and_nobody_else_is,
    a_link_is_for_anybody_until_it_is_revoked,
    conversations_are_put_away_found_instructed_and_taken_away,
    files_go_along_and_what_is_no_list_of_them_is_refused,
    keys_are_shown_once_listed_and_revoked,
    nobody_gets_at_the_things_of_others,
);
