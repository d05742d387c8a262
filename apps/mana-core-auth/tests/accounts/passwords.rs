//! Passwords are changed, hashed anew, and accounts closed.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Auth, Caller, PASSWORD, Store, number, until};

const NEW: &str = "another good password";

async fn changing_the_password_ends_every_session_but_the_new_one(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let (here, there) = (caller.register("ada@example.com").await, caller.login("ada@example.com", PASSWORD).await);
    let change = |old: &str, new: &str| {
        let body = json!({"currentPassword": old, "newPassword": new});
        let (caller, token) = (caller.clone(), here.access().to_owned());
        async move { caller.post_as(&token, "/api/auth/password", body).await }
    };
    assert_eq!(change("wrong password", NEW).await.code(), (403, "wrong_password"));
    let weak = change(PASSWORD, "password1").await;
    assert_eq!((weak.code(), &weak.body["errors"][0]["field"]), ((422, "invalid"), &json!("newPassword")));
    assert!(caller.is_in(there.access()).await, "what is refused ends nothing");

    let now = change(PASSWORD, NEW).await;
    assert_eq!(now.status, StatusCode::OK, "{now:?}");
    for ended in [&here, &there] {
        assert!(!caller.is_in(ended.access()).await);
        assert_eq!(caller.refresh(ended.refresh()).await.status, StatusCode::UNAUTHORIZED);
    }
    assert!(caller.is_in(now.access()).await);
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(caller.login("ada@example.com", NEW).await.status, StatusCode::OK);
}

async fn a_thief_with_a_session_cannot_try_passwords_without_end(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    let body = json!({"currentPassword": "wrong password", "newPassword": NEW});
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(caller.post_as(ada.access(), "/api/auth/password", body.clone()).await.status.as_u16());
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429]);
}

async fn a_password_is_hashed_anew_when_parameters_have_risen(store: Store) {
    let auth = Auth::start(store).await;
    Caller::new(&auth.url).register("ada@example.com").await;
    let higher = "SELECT COUNT(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=3,p=1$%'";
    let auth = auth.start_again(&[("PASSWORD_PASSES", "3")]).await;
    let caller = Caller::new(&auth.url);
    caller.login("ada@example.com", "wrong password").await;
    assert_eq!(number(&auth, higher).await, 0);
    for _ in 0..2 {
        assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::OK);
        assert_eq!(number(&auth, higher).await, 1);
    }
}

async fn a_closed_account_ends_at_once_and_opens_again(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    auth.command(&["disable", "--email", "Ada@example.com"]).await.unwrap();
    assert!(!caller.is_in(ada.access()).await);
    assert_eq!(caller.refresh(ada.refresh()).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(caller.login("ada@example.com", "wrong password").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.code(), (403, "account_disabled"));
    auth.command(&["enable", "--email", "ada@example.com"]).await.unwrap();
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::OK);
    assert!(!caller.is_in(ada.access()).await, "what has ended stays so");
    let unknown = auth.command(&["disable", "--email", "nobody@example.com"]).await.unwrap_err().to_string();
    assert_eq!(unknown, "there is no account with the address nobody@example.com");
}

async fn a_role_counts_from_the_next_tokens_on(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    auth.command(&["make-admin", "--email", "ada@example.com"]).await.unwrap();
    let next = caller.refresh(ada.refresh()).await;
    assert_eq!(next.body["user"]["role"], "admin");
    auth.command(&["set-role", "--email", "ada@example.com", "--role", "user"]).await.unwrap();
    assert_eq!(caller.refresh(next.refresh()).await.body["user"]["role"], "user");
}

async fn all_other_sessions_are_ended_in_one_go(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let (here, there) = (caller.register("ada@example.com").await, caller.login("ada@example.com", PASSWORD).await);
    let ended = caller.send(Method::DELETE, "/api/auth/sessions", here.access(), None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert!(caller.is_in(here.access()).await && !caller.is_in(there.access()).await);
}

/// More logins than there are threads for hashing, by far; each takes as long as several balances.
async fn logins_can_wait_for_each_other_but_never_starve_the_rest(store: Store) {
    const LOGINS: usize = 50;
    let auth = Auth::start_with(store, &[("PASSWORD_PASSES", "4")]).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    let before = auth.hashes();
    let emails: Vec<_> = (0..LOGINS).map(|n| format!("nobody{n}@example.com")).collect();
    let logins = join_all(emails.iter().map(|email| caller.login(email, PASSWORD)));
    let balances = async {
        until("the first login", async || (auth.hashes() > before).then_some(())).await;
        for _ in 0..20 {
            let balance = caller.get("/api/credits/balance", ada.access()).await;
            assert_eq!((balance.status, &balance.body["balance"]), (StatusCode::OK, &json!(50)));
        }
        auth.hashes() - before
    };
    let (logins, hashed) = tokio::join!(logins, balances);
    assert!(hashed < LOGINS as u64, "the balances were answered after all the logins");
    for login in logins {
        // Whose turn has not come in time is told to come again.
        assert!(matches!(login.status.as_u16(), 401 | 503), "{login:?}");
    }
}

crate::support::on_both_stores!(
    logins_can_wait_for_each_other_but_never_starve_the_rest,
    changing_the_password_ends_every_session_but_the_new_one,
    a_thief_with_a_session_cannot_try_passwords_without_end,
    a_password_is_hashed_anew_when_parameters_have_risen,
    a_closed_account_ends_at_once_and_opens_again,
    a_role_counts_from_the_next_tokens_on,
    all_other_sessions_are_ended_in_one_go,
);
