//! Signing keys change, and no token of anybody is refused for it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::{Auth, Caller, Store, sql};

async fn published(caller: &Caller) -> Vec<String> {
    let keys = caller.get("/.well-known/jwks.json", "").await.body;
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// The id of the key that signed a token.
fn signed_by(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn the_next_key_is_known_before_it_signs_and_live_tokens_outlast_the_change(store: Store) {
    let auth = Auth::start(store).await;
    auth.look_after_keys().await;
    let caller = Caller::new(&auth.url);
    let first = caller.register("ada@example.com").await;
    let old = signed_by(first.access());
    assert_eq!(published(&caller).await, vec![old.clone()]);

    auth.command(&["rotate-keys"]).await.unwrap();
    auth.look_after_keys().await;
    let both = published(&caller).await;
    assert_eq!((both.len(), &both[1]), (2, &old), "the next one is published");
    let second = caller.refresh(first.refresh()).await;
    assert_eq!(signed_by(second.access()), old, "and does not sign yet");

    // The lead has passed.
    sql(&auth, "UPDATE signing_keys SET signs_from = signs_from - 900000 WHERE generation = 2").await;
    auth.look_after_keys().await;
    let third = caller.refresh(second.refresh()).await;
    assert_eq!(signed_by(third.access()), both[0]);
    assert_eq!(published(&caller).await.len(), 2, "the old one stays while its tokens live");
    for token in [first.access(), second.access(), third.access()] {
        assert!(caller.is_in(token).await);
    }

    // So has the life of its last token.
    sql(&auth, "UPDATE signing_keys SET signs_from = signs_from - 960001").await;
    auth.look_after_keys().await;
    assert_eq!(published(&caller).await, vec![both[0].clone()]);
    assert!(!caller.is_in(first.access()).await && caller.is_in(third.access()).await);
}

async fn a_compromised_key_ends_its_tokens_and_nobodys_session(store: Store) {
    let auth = Auth::start(store).await;
    auth.look_after_keys().await;
    let caller = Caller::new(&auth.url);
    let first = caller.register("ada@example.com").await;
    auth.command(&["rotate-keys", "--compromised"]).await.unwrap();
    auth.look_after_keys().await;
    assert!(!caller.is_in(first.access()).await);
    assert!(!published(&caller).await.contains(&signed_by(first.access())));
    let second = caller.refresh(first.refresh()).await;
    assert!(caller.is_in(second.access()).await);
}

async fn a_key_that_is_old_enough_is_followed_by_the_next_by_itself(store: Store) {
    let auth = Auth::start(store).await;
    auth.look_after_keys().await;
    let caller = Caller::new(&auth.url);
    assert_eq!(published(&caller).await.len(), 1);
    // Ninety days, but for less than the lead.
    sql(&auth, "UPDATE signing_keys SET signs_from = signs_from - 7775400000").await;
    auth.look_after_keys().await;
    auth.look_after_keys().await;
    assert_eq!(published(&caller).await.len(), 2);
}

async fn two_instances_sign_with_the_same_key(store: Store) {
    let auth = Auth::start(store).await;
    let beside = auth.beside().await;
    let (one, other) = (Caller::new(&auth.url), Caller::new(&beside.url));
    let first = one.register("ada@example.com").await;
    let second = other.refresh(first.refresh()).await;
    assert_eq!(signed_by(first.access()), signed_by(second.access()));
    assert!(other.is_in(first.access()).await && one.is_in(second.access()).await);
}

crate::support::on_both_stores!(
    the_next_key_is_known_before_it_signs_and_live_tokens_outlast_the_change,
    a_compromised_key_ends_its_tokens_and_nobodys_session,
    a_key_that_is_old_enough_is_followed_by_the_next_by_itself,
    two_instances_sign_with_the_same_key,
);
