//! Tokens stay here, and are exchanged once however many requests come at that moment.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;
use sea_orm::ConnectionTrait;

use crate::support::World;

async fn expire(world: &World) {
    world.database.execute_unprepared("UPDATE web_sessions SET access_expires_at = 0").await.unwrap();
}

async fn tokens_never_reach_the_browser_nor_lie_open(world: World) {
    let browser = world.person("ada").await;
    let mut seen = browser.cookies();
    for path in ["/", "/conversations", "/credits", "/c/0190b2f4-1c8e-7000-8000-000000000000"] {
        let answer = browser.get(path).await;
        seen += &answer.everything();
    }
    let asked = browser.ask(&[("prompt", "hello"), ("conversation", "")]).await;
    seen += &asked.everything();
    // A token begins with the coded `{"`.
    assert!(!seen.contains("eyJ"), "a token reached the browser");
    // What is sealed may hold these letters by chance (SQLite's LIKE takes any case), but no full stop between two of them.
    let open = "SELECT COUNT(*) FROM web_sessions WHERE tokens LIKE '%eyJ%.eyJ%' OR tokens LIKE '%access%'";
    assert_eq!(World::number(&world.database, open).await, 0);
}

async fn thirty_requests_at_expiry_exchange_the_tokens_once(world: World) {
    let browser = world.person("ada").await;
    expire(&world).await;
    let answers = join_all((0..30).map(|_| browser.get("/credits"))).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    let used = "SELECT COUNT(*) FROM refresh_tokens WHERE used_at IS NOT NULL";
    assert_eq!(World::number(&world.auth.database, used).await, 1);
    assert_eq!(World::number(&world.database, "SELECT generation FROM web_sessions").await, 1);
}

async fn a_session_that_auth_has_ended_signs_the_browser_out(world: World) {
    let browser = world.person("ada").await;
    world.auth.database.execute_unprepared("UPDATE sessions SET ended_at = 1").await.unwrap();
    expire(&world).await;
    let answer = browser.get("/").await;
    assert_eq!(answer.location().as_deref(), Some("/login?ended"));
    assert!(!browser.cookies().contains("chat-session"), "the cookie goes");
    assert_eq!(World::number(&world.database, "SELECT COUNT(*) FROM web_sessions").await, 0);
}

async fn a_session_older_than_a_sign_in_may_last_is_over(world: World) {
    let browser = world.person("ada").await;
    world.database.execute_unprepared("UPDATE web_sessions SET expires_at = 1").await.unwrap();
    assert_eq!(browser.get("/").await.location().as_deref(), Some("/login?ended"));
}

async fn sessions_whose_time_is_over_go_by_themselves(world: World) {
    world.person("ada").await;
    let eve = world.person("eve").await;
    world.database.execute_unprepared("UPDATE web_sessions SET expires_at = 1 WHERE name = 'ada'").await.unwrap();
    // Each instance looks when it begins, and every minute.
    let _beside = world.another_instance().await;
    let began = Instant::now();
    while World::number(&world.database, "SELECT COUNT(*) FROM web_sessions").await > 1 {
        assert!(began.elapsed() < Duration::from_secs(20), "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(eve.get("/").await.status, StatusCode::OK);
}

async fn a_row_moved_to_another_cookie_opens_nothing(world: World) {
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let steal = "UPDATE web_sessions SET tokens = (SELECT tokens FROM web_sessions WHERE name = 'ada')";
    world.database.execute_unprepared(steal).await.unwrap();
    assert_eq!(eve.get("/").await.location().as_deref(), Some("/login?ended"));
    assert_eq!(ada.get("/").await.status, StatusCode::OK);
}

crate::support::on_both_stores!(
    tokens_never_reach_the_browser_nor_lie_open,
    thirty_requests_at_expiry_exchange_the_tokens_once,
    a_session_that_auth_has_ended_signs_the_browser_out,
    a_session_older_than_a_sign_in_may_last_is_over,
    sessions_whose_time_is_over_go_by_themselves,
    a_row_moved_to_another_cookie_opens_nothing,
);
