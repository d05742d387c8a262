//! The page of one's own account, letters, and the second step.

use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::support::{Browser, PASSWORD, SERVICE_TOKEN, Store, World};

async fn sign_in(world: &World, name: &str, password: &str) -> (Browser, crate::support::Answer) {
    let browser = world.browser();
    let email = format!("{name}@example.org");
    let answer = browser.send_form("/login", "/login", &[("email", &email), ("password", password)]).await;
    (browser, answer)
}

async fn a_person_changes_the_password_and_other_devices_are_signed_out(world: World) {
    let here = world.person("ada").await;
    let (there, _) = sign_in(&world, "ada", PASSWORD).await;
    assert_eq!(there.get("/").await.status, StatusCode::OK);
    let page = here.get("/account").await;
    assert!(page.text.contains("ada@example.org") && page.text.contains("(this one)"), "{}", page.text);

    let fields = [("password", "not this one"), ("new_password", "another good password")];
    let wrong = here.send_form("/account", "/account/password", &fields).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(wrong.text.contains("The password is wrong. Nothing was changed."), "{}", wrong.text);
    let fields = [("password", PASSWORD), ("new_password", "another good password")];
    let changed = here.send_form("/account", "/account/password", &fields).await;
    assert_eq!(changed.location().as_deref(), Some("/account?done=password"));
    assert_eq!(here.get("/account?done=password").await.status, StatusCode::OK);
    // Its access token was good for minutes; whatever concerns the account is asked of mana-core-auth.
    assert_eq!(there.get("/account").await.location().as_deref(), Some("/login?ended"));
    assert_eq!(sign_in(&world, "ada", PASSWORD).await.1.status, StatusCode::UNAUTHORIZED);
}

async fn a_code_of_an_app_is_asked_for_after_the_password(world: World) {
    let browser = world.person("ada").await;
    let begun = browser.send_form("/account", "/account/second-factor", &[("password", PASSWORD)]).await;
    let secret = begun.between(r#"<code id="secret">"#, "<").unwrap().to_owned();
    let confirmed =
        browser.send_form("/account", "/account/second-factor/confirm", &[("code", &world.auth.totp(&secret))]).await;
    let codes =
        confirmed.between(r#"<ul id="recovery-codes">"#, "</ul>").unwrap_or_else(|| panic!("{}", confirmed.text));
    let code = codes.split("<code>").nth(1).unwrap().split('<').next().unwrap();

    let (again, step) = sign_in(&world, "ada", PASSWORD).await;
    let ticket = step.between(r#"name="ticket" value=""#, "\"").unwrap_or_else(|| panic!("{}", step.text)).to_owned();
    let second = async |code: &str| {
        again.post("/login/second", &step.csrf(), "text/html", &[("ticket", &ticket), ("code", code)]).await
    };
    let wrong = second("000000").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text.contains("The code is wrong or was used"), "{}", wrong.text);
    assert_eq!(second(code).await.location().as_deref(), Some("/"));
    assert_eq!(again.get("/").await.status, StatusCode::OK);
}

async fn a_forgotten_password_is_chosen_anew_by_a_letter(world: World) {
    let browser = world.person("ada").await;
    let stranger = world.browser();
    let asked = stranger.send_form("/forgot", "/forgot", &[("email", "ada@example.org")]).await;
    let unknown = stranger.send_form("/forgot", "/forgot", &[("email", "nobody@example.org")]).await;
    assert_eq!(asked.between("role=\"status\">", "<"), unknown.between("role=\"status\">", "<"));
    let code = world.auth.code_of_letter("Choose another password").await;
    let fields = [("code", code.as_str()), ("password", "another good password")];
    let done = stranger.send_form("/reset", "/reset", &fields).await;
    assert!(done.text.contains("Your password is changed"), "{}", done.text);
    let again = stranger.send_form("/reset", "/reset", &fields).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(browser.get("/account").await.location().as_deref(), Some("/login?ended"));
    assert_eq!(sign_in(&world, "ada", "another good password").await.1.location().as_deref(), Some("/"));
    let confirm = world.auth.code_of_letter("Confirm your e-mail address").await;
    let confirmed = stranger.send_form("/verify", "/verify", &[("code", &confirm)]).await;
    assert!(confirmed.text.contains("Your address is confirmed."), "{}", confirmed.text);
}

async fn where_addresses_are_confirmed_first_a_letter_leads_in(store: Store) {
    let world = World::start_confirming(store).await;
    let browser = world.browser();
    let fields = [("email", "ada@example.org"), ("password", PASSWORD), ("name", "Ada")];
    let asked = browser.send_form("/register", "/register", &fields).await;
    assert_eq!((asked.status, asked.location().as_deref()), (StatusCode::SEE_OTHER, Some("/confirm?sent")));
    let page = browser.get("/confirm?sent").await;
    assert!(page.text.contains("A letter is on its way to your address."), "{}", page.text);
    let code = world.auth.code_of_letter("Finish making your account").await;
    let wrong = [("code", code.as_str()), ("password", "not this one")];
    let wrong = browser.send_form("/confirm", "/confirm", &wrong).await;
    assert!(wrong.text.contains("The password is wrong."), "{}", wrong.text);
    let right = [("code", code.as_str()), ("password", PASSWORD)];
    let done = browser.send_form("/confirm", "/confirm", &right).await;
    assert_eq!(done.location().as_deref(), Some("/"));
    assert!(browser.get("/").await.text.contains("50 credits"));

    let stranger = world.browser();
    let taken = stranger.send_form("/register", "/register", &fields).await;
    assert_eq!((taken.status, taken.location()), (asked.status, asked.location()), "a stranger learns nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_addresses_are_confirmed_first_a_letter_leads_in_on_sqlite() {
    where_addresses_are_confirmed_first_a_letter_leads_in(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_addresses_are_confirmed_first_a_letter_leads_in_on_postgres() {
    where_addresses_are_confirmed_first_a_letter_leads_in(Store::Postgres).await;
}

async fn a_person_takes_everything_along_and_deletes_the_account(world: World) {
    let browser = world.person("ada").await;
    let export = browser.get("/account/export").await;
    assert_eq!(export.json()["account"]["email"], json!("ada@example.org"));
    let kept = browser.send_form("/account", "/account/delete", &[("password", "not this one")]).await;
    assert_eq!(kept.status, StatusCode::FORBIDDEN);
    let gone = browser.send_form("/account", "/account/delete", &[("password", PASSWORD)]).await;
    assert_eq!(gone.location().as_deref(), Some("/login?deleted"));
    assert!(!browser.cookies().contains("chat-session"));
    assert_eq!(sign_in(&world, "ada", PASSWORD).await.1.status, StatusCode::UNAUTHORIZED);
}

/// How many sessions chat-web keeps.
async fn kept(world: &World) -> i64 {
    World::number(&world.database, "SELECT COUNT(*) FROM web_sessions").await
}

async fn a_deleted_account_leaves_no_session_on_any_device(world: World) {
    let here = world.person("ada").await;
    let (there, _) = sign_in(&world, "ada", PASSWORD).await;
    let eve = world.person("eve").await;
    assert_eq!(kept(&world).await, 3);
    here.send_form("/account", "/account/delete", &[("password", PASSWORD)]).await;
    assert_eq!(kept(&world).await, 1, "a name and an address stay nowhere");
    assert_eq!(there.get("/").await.location().as_deref(), Some("/login?ended"));
    assert_eq!(eve.get("/").await.status, StatusCode::OK);
}

async fn whom_another_service_says_to_forget_is_forgotten(world: World) {
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let (there, _) = sign_in(&world, "ada", PASSWORD).await;
    let id = ada.get("/account/export").await.json()["account"]["id"].as_str().unwrap().to_owned();
    // As an older version has left it; the next exchange of tokens says whose it is.
    let older = "UPDATE web_sessions SET user_id = NULL, access_expires_at = 0";
    world.database.execute_unprepared(older).await.unwrap();
    for browser in [&ada, &there, &eve] {
        assert_eq!(browser.get("/").await.status, StatusCode::OK);
    }
    assert_eq!(world.forget(&id, "nobody's token").await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.forget("nobody", SERVICE_TOKEN).await, StatusCode::NOT_FOUND);
    assert_eq!(kept(&world).await, 3);
    for _ in 0..2 {
        assert_eq!(world.forget(&id, SERVICE_TOKEN).await, StatusCode::NO_CONTENT);
        assert_eq!(kept(&world).await, 1);
    }
    assert_eq!(ada.get("/").await.location().as_deref(), Some("/login?ended"));
    assert_eq!(eve.get("/").await.status, StatusCode::OK);
}

/// In a real browser, with an authenticator of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_made_and_signs_in_and_every_page_is_faultless() {
    let world = World::start(crate::support::Store::Sqlite).await;
    world.person("ada").await;
    let ui = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../ui");
    let mut node = tokio::process::Command::new("node");
    node.arg("drive-account.mjs").current_dir(ui).kill_on_drop(true);
    node.env("URL", crate::support::ORIGIN_OF_THE_SITE).env("PORT", world.port());
    node.env("EMAIL", "ada@example.org").env("PASSWORD", PASSWORD);
    let output = tokio::time::timeout(std::time::Duration::from_mins(2), node.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

crate::support::on_both_stores!(
    a_person_changes_the_password_and_other_devices_are_signed_out,
    a_code_of_an_app_is_asked_for_after_the_password,
    a_forgotten_password_is_chosen_anew_by_a_letter,
    a_person_takes_everything_along_and_deletes_the_account,
    a_deleted_account_leaves_no_session_on_any_device,
    whom_another_service_says_to_forget_is_forgotten,
);
