//! Registering, signing in and out.

use reqwest::{Method, StatusCode};

use crate::support::{PASSWORD, World};

async fn who_is_not_signed_in_is_sent_to_sign_in(world: World) {
    let browser = world.browser();
    for path in ["/", "/c/0190b2f4-1c8e-7000-8000-000000000000", "/conversations"] {
        let answer = browser.get(path).await;
        assert_eq!(
            (answer.status, answer.location().as_deref()),
            (StatusCode::SEE_OTHER, Some("/login?ended")),
            "{path}"
        );
    }
    let script = browser.send(browser.request(Method::GET, "/credits")).await;
    assert_eq!((script.status, script.json()["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("signed_out")));
}

async fn a_person_registers_and_signs_in_again(world: World) {
    let browser = world.person("ada").await;
    let page = browser.get("/").await;
    assert!(page.text.contains(r#"data-credits="50""#) && page.text.contains("50 credits"), "{}", page.text);
    assert_eq!(browser.get("/login").await.location().as_deref(), Some("/"), "who is signed in need not sign in");

    let out = browser.send_form("/", "/logout", &[]).await;
    assert_eq!(out.location().as_deref(), Some("/login?out"));
    assert_eq!(browser.get("/").await.location().as_deref(), Some("/login?ended"));
    let login = [("email", " Ada@Example.org"), ("password", PASSWORD)];
    assert_eq!(browser.send_form("/login", "/login", &login).await.location().as_deref(), Some("/"));
    assert!(browser.get("/").await.text.contains("ada@example.org"));
}

async fn what_is_wrong_with_a_form_stands_beside_its_field(world: World) {
    world.person("ada").await;
    let browser = world.browser();
    let register = async |email: &str, password: &str, name: &str| {
        browser.send_form("/register", "/register", &[("email", email), ("password", password), ("name", name)]).await
    };
    let short = register("grace@example.org", "short", "Grace").await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(short.between(r#"id="password-problem">"#, "<").unwrap().starts_with("The password "), "{}", short.text);
    assert!(
        short.text.contains(r#"value="grace@example.org""#) && !short.text.contains("short"),
        "what was typed stays, a password never"
    );

    let known = register("ada@example.org", PASSWORD, "Ada").await;
    assert_eq!(known.status, StatusCode::CONFLICT);
    assert!(known.between(r#"id="email-problem">"#, "<").unwrap().contains("account already"), "{}", known.text);

    let wrong =
        browser.send_form("/login", "/login", &[("email", "ada@example.org"), ("password", "not this one")]).await;
    let unknown =
        browser.send_form("/login", "/login", &[("email", "eve@example.org"), ("password", "not this one")]).await;
    for answer in [&wrong, &unknown] {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.between(r#"role="alert">"#, "<"), Some("The e-mail address or the password is wrong."));
    }
}

async fn signing_out_ends_the_session_everywhere(world: World) {
    let browser = world.person("ada").await;
    let thief = world.browser();
    thief.take_cookies_of(&browser);
    assert_eq!(thief.get("/").await.status, StatusCode::OK);
    browser.send_form("/", "/logout", &[]).await;
    assert_eq!(thief.get("/").await.location().as_deref(), Some("/login?ended"));
    assert_eq!(World::number(&world.database, "SELECT COUNT(*) FROM web_sessions").await, 0);
    let ended = "SELECT COUNT(*) FROM sessions WHERE ended_at IS NOT NULL";
    assert_eq!(World::number(&world.auth.database, ended).await, 1, "mana-core-auth was told");
}

async fn each_sign_in_has_a_new_id(world: World) {
    let browser = world.person("ada").await;
    let before = browser.cookies();
    let csrf = browser.get("/").await.csrf();
    let login = [("email", "ada@example.org"), ("password", PASSWORD)];
    assert_eq!(browser.post("/login", &csrf, "text/html", &login).await.location().as_deref(), Some("/"));
    assert_ne!(browser.cookies(), before);
    assert_eq!(
        World::number(&world.database, "SELECT COUNT(*) FROM web_sessions").await,
        1,
        "the one before has ended"
    );
}

crate::support::on_both_stores!(
    who_is_not_signed_in_is_sent_to_sign_in,
    a_person_registers_and_signs_in_again,
    what_is_wrong_with_a_form_stands_beside_its_field,
    signing_out_ends_the_session_everywhere,
    each_sign_in_has_a_new_id,
);
