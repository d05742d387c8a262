//! Whoever is signed out, or whose account is closed, is out here as well: at once, and not when the token expires.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Fault, Person, Store, World, parts};

async fn status(world: &World, person: &Person) -> StatusCode {
    world.call(person, Method::GET, "/api/conversations", None).await.status()
}

async fn ends(world: &World, person: &Person) {
    let began = Instant::now();
    while status(world, person).await != StatusCode::UNAUTHORIZED {
        assert!(began.elapsed() < Duration::from_secs(3), "the token still counts");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_closed_account_is_out_at_once_with_its_tokens_and_its_keys(store: Store) {
    let world = World::start(store).await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    assert_eq!(world.ask(&ada, "Hello").await.status(), StatusCode::OK);
    let made = world.call(&ada, Method::POST, "/api/keys", Some(json!({"name": "a program"}))).await;
    let key: Value = made.error_for_status().unwrap().json().await.unwrap();
    let key = Person { id: ada.id.clone(), token: key["key"].as_str().unwrap().to_owned() };
    let by_key = async || {
        let body = json!({"model": "echo", "messages": [{"role": "user", "content": "Hello"}]});
        parts(world.call(&key, Method::POST, "/v1/chat/completions", Some(body)).await).await
    };
    assert_eq!(by_key().await.0, 200);

    world.auth.command(&["disable", "--email", "ada@example.org"]).await.unwrap();
    let (status_by_key, told) = by_key().await;
    assert_eq!((status_by_key, told["error"]["code"].as_str()), (403, Some("account_disabled")), "{told}");
    ends(&world, &ada).await;
    let calls = world.model_calls();
    assert_eq!(world.ask(&ada, "Hello again").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.model_calls(), calls, "no model was asked");
    assert_eq!(status(&world, &bob).await, StatusCode::OK, "nobody else is");
    world.auth.command(&["enable", "--email", "ada@example.org"]).await.unwrap();
    assert_eq!(by_key().await.0, 200, "the keys of an account that is opened again count again");
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

async fn an_issuer_that_stumbles_is_believed_for_a_while(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    assert_eq!(status(&world, &ada).await, StatusCode::OK);
    world.gate.fault("ended", Fault::Error);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&world, &ada).await, StatusCode::OK, "for a minute what is known counts");
    world.gate.heal();
    world.auth.command(&["disable", "--email", "ada@example.org"]).await.unwrap();
    ends(&world, &ada).await;
}

async fn who_never_heard_which_sessions_have_ended_lets_nobody_in(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    for fault in [Fault::Error, Fault::Break] {
        world.gate.fault("ended", fault);
        let (status, told) = parts(world.call(&ada, Method::GET, "/api/conversations", None).await).await;
        assert_eq!((status, told["code"].as_str()), (503, Some("auth_unavailable")), "{fault:?}: {told}");
        world.gate.heal();
    }
    let began = Instant::now();
    while status(&world, &ada).await != StatusCode::OK {
        assert!(began.elapsed() < Duration::from_secs(3), "it recovers by itself");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

crate::support::on_both_stores!(
    a_closed_account_is_out_at_once_with_its_tokens_and_its_keys,
    an_issuer_that_stumbles_is_believed_for_a_while,
    who_never_heard_which_sessions_have_ended_lets_nobody_in,
);
