//! Whatever is sent, the service answers as its OpenAPI document says, and never fails: tried by schemathesis.

use crate::support::{Auth, Caller, PASSWORD, SERVICE_TOKEN, Store};

/// What only some people, or services, may do.
const RESERVED: &str = "^/api/(admin|internal)/";

/// What depends on how people register.
const OF_NEW_PEOPLE: &str = "^/api/auth/(register|login|password|verify-email)";

/// Tries what is sent with this access token and a service's.
async fn conforms(auth: &Auth, token: &str, flags: &[&str]) {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("X-Service-Token", SERVICE_TOKEN)];
    let flags = [&["--max-examples", "15"][..], flags].concat();
    kit::testing::conforms(&format!("{}/api/openapi.json", auth.url), &headers, &flags).await;
}

async fn nothing_that_a_person_sends_brings_a_server_error_or_an_answer_that_is_not_documented(store: Store) {
    let auth = Auth::start(store).await;
    let ada = Caller::new(&auth.url).register("ada@example.com").await;
    conforms(&auth, ada.access(), &[]).await;
    assert_eq!(auth.ledger_findings().await, Vec::<String>::new());
}

async fn nor_does_what_an_administrator_or_a_service_sends(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    caller.register("ada@example.com").await;
    auth.make_admin("ada@example.com").await;
    let ada = caller.login("ada@example.com", PASSWORD).await;
    conforms(&auth, ada.access(), &["--include-path-regex", RESERVED]).await;
    assert_eq!(auth.ledger_findings().await, Vec::<String>::new());
}

async fn nor_what_anybody_sends_where_addresses_are_confirmed_first(store: Store) {
    let auth = Auth::start_with(store, &[("REGISTRATION", "confirmed")]).await;
    conforms(&auth, "none", &["--include-path-regex", OF_NEW_PEOPLE]).await;
    assert_eq!(auth.ledger_findings().await, Vec::<String>::new());
}

macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::support::Store::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::support::Store::Postgres).await;
            })*
        }
    };
}

on_both_stores!(
    nothing_that_a_person_sends_brings_a_server_error_or_an_answer_that_is_not_documented,
    nor_does_what_an_administrator_or_a_service_sends,
    nor_what_anybody_sends_where_addresses_are_confirmed_first,
);
