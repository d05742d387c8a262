//! Refresh tokens: exchanged, given again, and copied.

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::support::{Auth, Caller, PASSWORD, Store, number, sql};

async fn within_the_grace_the_old_token_gives_the_same_successor_and_later_it_ends_the_session(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let first = caller.register("ada@example.com").await;
    let one = caller.refresh(first.refresh()).await;
    let other = caller.refresh(first.refresh()).await;
    assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(one.refresh(), other.refresh(), "two tabs go on with one successor");
    assert_ne!(one.refresh(), first.refresh());
    assert!(caller.is_in(one.access()).await && caller.is_in(other.access()).await);
    let next = caller.refresh(one.refresh()).await;
    assert_eq!(next.status, StatusCode::OK);

    // Eleven seconds later.
    sql(&auth, "UPDATE refresh_tokens SET used_at = used_at - 11000 WHERE used_at IS NOT NULL").await;
    assert_eq!(caller.refresh(first.refresh()).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(caller.refresh(next.refresh()).await.status, StatusCode::UNAUTHORIZED, "the family is revoked");
    assert!(!caller.is_in(next.access()).await);
}

async fn thirty_exchanges_at_once_on_two_instances_give_one_successor(store: Store) {
    let auth = Auth::start(store).await;
    let beside = auth.beside().await;
    let callers = [Caller::new(&auth.url), Caller::new(&beside.url)];
    let first = callers[0].register("ada@example.com").await;
    let answers = join_all((0..30).map(|index| callers[index % 2].refresh(first.refresh()))).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.refresh(), answers[0].refresh());
    }
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM refresh_tokens").await, 2);
    assert_eq!(callers[1].refresh(answers[0].refresh()).await.status, StatusCode::OK);
}

async fn neither_token_nor_successor_is_stored(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let first = caller.register("ada@example.com").await;
    let second = caller.refresh(first.refresh()).await;
    for token in [first.refresh(), second.refresh()] {
        let query = format!("SELECT COUNT(*) FROM refresh_tokens WHERE hash = '{token}'");
        assert_eq!(number(&auth, &query).await, 0);
    }
    // What was stolen from the database opens nothing.
    let hash = sea_orm::Statement::from_string(auth.database.engine(), "SELECT hash FROM refresh_tokens LIMIT 1");
    let row = sea_orm::ConnectionTrait::query_one_raw(&*auth.database, hash).await.unwrap().unwrap();
    let hash: String = row.try_get_by_index(0).unwrap();
    assert_eq!(caller.refresh(&hash).await.status, StatusCode::UNAUTHORIZED);
}

async fn a_session_that_nobody_uses_is_over_with_its_last_token_and_goes(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let here = caller.register("ada@example.com").await;
    caller.login("ada@example.com", PASSWORD).await;
    let listed = async || {
        let told = caller.get("/api/auth/sessions", here.access()).await;
        told.body["sessions"].as_array().unwrap().len()
    };
    let kept = async || number(&auth, "SELECT COUNT(*) FROM sessions").await;
    assert_eq!((listed().await, kept().await), (2, 2));
    // The other one was used a week ago, when it began.
    sql(&auth, "UPDATE sessions SET last_used_at = last_used_at - 604800001 WHERE app_id = 'mana'").await;
    assert_eq!(listed().await, 1);
    auth.keep_house().await;
    assert_eq!(kept().await, 2, "for a day it is still known");
    sql(&auth, "UPDATE sessions SET last_used_at = last_used_at - 86400001 WHERE app_id = 'mana'").await;
    auth.keep_house().await;
    assert_eq!((listed().await, kept().await), (1, 1));
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM refresh_tokens").await, 1);
    assert_eq!(caller.refresh(here.refresh()).await.status, StatusCode::OK);
}

crate::support::on_both_stores!(
    a_session_that_nobody_uses_is_over_with_its_last_token_and_goes,
    within_the_grace_the_old_token_gives_the_same_successor_and_later_it_ends_the_session,
    thirty_exchanges_at_once_on_two_instances_give_one_successor,
    neither_token_nor_successor_is_stored,
);
