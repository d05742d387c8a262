//! Access ends at once in other services, too: each way to end a session, as a service sees it that verifies tokens by itself.

use std::time::{Duration, Instant};

use kit::auth::{EndedSessions, Verifier};
use kit::config::Env;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Answer, Auth, Caller, ISSUER, PASSWORD, SERVICE_TOKEN, Store, number, sql};

const NEW: &str = "another good password";

/// A service of the app `chat`.
fn service(auth: &Auth) -> Verifier {
    let env = Env::table([
        ("TOKEN_ISSUER", ISSUER),
        ("MANA_CORE_AUTH_URL", auth.url.as_str()),
        ("SERVICE_TOKEN", SERVICE_TOKEN),
        ("TOKEN_APPS", "chat,mana"),
    ]);
    Verifier::read(&env).unwrap()
}

/// Waits until a token does not count any more; as long as it may take, and no longer.
async fn ends(service: &Verifier, person: &Answer) {
    let began = Instant::now();
    while service.verify(person.access()).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(3), "it still counts");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn told(auth: &Auth, query: &str, token: &str) -> (StatusCode, Option<EndedSessions>) {
    let url = format!("{}/api/internal/sessions/ended{query}", auth.url);
    let answer = reqwest::Client::new().get(url).header("x-service-token", token).send().await.unwrap();
    (answer.status(), answer.json().await.ok())
}

async fn every_way_to_end_a_session_ends_it_in_other_services(store: Store) {
    let auth = Auth::start(store).await;
    let (caller, service) = (Caller::new(&auth.url), service(&auth));
    let bystander = caller.register("bystander@example.com").await;
    let [out, revoked, others, closed, gone] =
        ["out", "revoked", "others", "closed", "gone"].map(|name| format!("{name}@example.com"));

    let person = caller.register(&out).await;
    assert!(service.verify(person.access()).await.is_ok());
    caller.post("/api/auth/logout", json!({"refreshToken": person.refresh()})).await;
    ends(&service, &person).await;

    let (here, there) = (caller.register(&revoked).await, caller.login(&revoked, PASSWORD).await);
    let sessions = caller.get("/api/auth/sessions", here.access()).await;
    let sessions = sessions.body["sessions"].as_array().unwrap();
    let other = sessions.iter().find(|session| session["current"] == false).unwrap()["id"].as_str().unwrap();
    caller.send(Method::DELETE, &format!("/api/auth/sessions/{other}"), here.access(), None).await;
    ends(&service, &there).await;
    assert!(service.verify(here.access()).await.is_ok(), "the one that asked goes on");

    let (here, there) = (caller.register(&others).await, caller.login(&others, PASSWORD).await);
    caller.send(Method::DELETE, "/api/auth/sessions", here.access(), None).await;
    ends(&service, &there).await;
    let change = json!({"currentPassword": PASSWORD, "newPassword": NEW});
    let changed = caller.post_as(here.access(), "/api/auth/password", change).await;
    ends(&service, &here).await;
    assert!(service.verify(changed.access()).await.is_ok(), "the new one counts");
    caller.post("/api/auth/password/forgot", json!({"email": others})).await;
    let code = auth.code_of_letter("Choose another password").await;
    caller.post("/api/auth/password/reset", json!({"code": code, "newPassword": PASSWORD})).await;
    ends(&service, &changed).await;

    let person = caller.register(&closed).await;
    auth.command(&["disable", "--email", &closed]).await.unwrap();
    ends(&service, &person).await;

    let person = caller.register(&gone).await;
    caller.post_as(person.access(), "/api/auth/account/delete", json!({"password": PASSWORD})).await;
    ends(&service, &person).await;

    let person = caller.login(&out, PASSWORD).await;
    let next = caller.refresh(person.refresh()).await;
    sql(&auth, "UPDATE refresh_tokens SET used_at = used_at - 11000 WHERE used_at IS NOT NULL").await;
    assert_eq!(caller.refresh(person.refresh()).await.status, StatusCode::UNAUTHORIZED, "a copied refresh token");
    ends(&service, &next).await;

    assert!(service.verify(bystander.access()).await.is_ok());
}

async fn ended_sessions_are_told_to_services_as_long_as_their_tokens_live(store: Store) {
    let auth = Auth::start_with(store, &[("SERVICE_TOKEN_SCOPES", "sessions")]).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    assert_eq!(told(&auth, "", "nobody's token").await.0, StatusCode::UNAUTHORIZED);
    let before = told(&auth, "", SERVICE_TOKEN).await.1.unwrap();
    assert_eq!((before.sessions.len(), before.kept_for), (0, 16 * 60));
    caller.post("/api/auth/logout", json!({"refreshToken": ada.refresh()})).await;
    let since = format!("?since={}", before.as_of);
    assert_eq!(told(&auth, &since, SERVICE_TOKEN).await.1.unwrap().sessions.len(), 1);
    let later = format!("?since={}", before.as_of + 60_000);
    assert_eq!(told(&auth, &later, SERVICE_TOKEN).await.1.unwrap().sessions.len(), 0, "told before");
    assert_eq!(told(&auth, "?since=x", SERVICE_TOKEN).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    sql(&auth, "UPDATE ended_sessions SET ended_at = ended_at - 960001").await;
    assert_eq!(told(&auth, "", SERVICE_TOKEN).await.1.unwrap().sessions.len(), 0, "its tokens have expired");
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM ended_sessions").await, 1, "until housekeeping comes");
    auth.keep_house().await;
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM ended_sessions").await, 0);
}

/// Signing in while the account is closed, or its password changed, at the same moment: whatever comes of it, no token is left that counts.
async fn nobody_slips_in_while_the_door_is_closed(store: Store) {
    let auth = Auth::start(store).await;
    let (caller, service) = (Caller::new(&auth.url), service(&auth));
    for round in 0..6 {
        let email = format!("ada{round}@example.com");
        let ada = caller.register(&email).await;
        let logins = async {
            let one = caller.from("203.0.113.7");
            tokio::join!(one.login(&email, PASSWORD), one.login(&email, PASSWORD))
        };
        let closing = async {
            // Somewhere in the middle of the hashing and what follows.
            tokio::time::sleep(Duration::from_millis(12 * round)).await;
            if round % 2 == 0 {
                auth.command(&["disable", "--email", &email]).await.unwrap();
            } else {
                let change = json!({"currentPassword": PASSWORD, "newPassword": NEW});
                let changed = caller.post_as(ada.access(), "/api/auth/password", change).await;
                assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
            }
        };
        let ((one, two), ()) = tokio::join!(logins, closing);
        for login in [one, two] {
            match login.status {
                StatusCode::OK => ends(&service, &login).await,
                status => assert!(matches!(status.as_u16(), 401 | 403), "{login:?}"),
            }
        }
        ends(&service, &ada).await;
    }
}

crate::support::on_both_stores!(
    every_way_to_end_a_session_ends_it_in_other_services,
    ended_sessions_are_told_to_services_as_long_as_their_tokens_live,
    nobody_slips_in_while_the_door_is_closed,
);
