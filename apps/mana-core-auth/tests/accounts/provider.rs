//! Signing in with an OpenID Connect provider: a certified one, over the wire. And what an app learns of us by itself.

use std::collections::BTreeMap;
use std::process::Stdio;

use futures_util::future::join_all;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, StatusCode, redirect};
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use crate::support::{Answer, Auth, Caller, ISSUER, PASSWORD, Store, number, sql, until};

const REDIRECT: &str = "http://auth.test/login/provider";
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

struct Provider {
    issuer: String,
    /// Read no more, but held open: it goes on saying things.
    _said: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    _process: Child,
}

impl Provider {
    async fn start() -> Self {
        kit::testing::install_clients(CLIENTS);
        let mut command = Command::new("node");
        command.arg("provider.mjs").current_dir(CLIENTS).kill_on_drop(true);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // It says other things, too, about being set up for development.
        loop {
            let line = lines.next_line().await.unwrap().expect("it says where it is");
            if line.starts_with("http://127.0.0.1:") {
                return Self { issuer: line, _said: lines, _process: process };
            }
        }
    }

    async fn auth(&self, store: Store) -> Auth {
        let settings = [
            ("OIDC_ISSUER", self.issuer.as_str()),
            ("OIDC_CLIENT_ID", "mana"),
            ("OIDC_CLIENT_SECRET", "a secret: with signs/+"),
            ("OIDC_NAME", "Elsewhere"),
        ];
        Auth::start_with(store, &settings).await
    }
}

/// Goes there and back as a browser would, as this person; gives `code` and `state`.
async fn there_and_back(start: &str, person: &str) -> (String, String) {
    let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let mut cookies = BTreeMap::new();
    let mut at = Url::parse(start).unwrap();
    let mut form: Option<String> = None;
    for _ in 0..20 {
        if at.as_str().starts_with(REDIRECT) {
            let query: BTreeMap<_, _> = at.query_pairs().into_owned().collect();
            return (query["code"].clone(), query["state"].clone());
        }
        let jar = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let call = match form.take() {
            Some(body) => http.post(at.clone()).header("content-type", "application/x-www-form-urlencoded").body(body),
            None => http.get(at.clone()),
        };
        let answer = call.header(COOKIE, jar).send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        if let Some(next) = answer.headers().get(LOCATION) {
            at = at.join(next.to_str().unwrap()).unwrap();
            continue;
        }
        let page = answer.text().await.unwrap();
        let prompt = if page.contains(r#"value="login""#) { "login" } else { "consent" };
        assert!(page.contains("prompt"), "{page}");
        form = Some(format!("prompt={prompt}&login={person}&password=any"));
    }
    panic!("the provider does not let {person} go");
}

async fn begin(caller: &Caller) -> Answer {
    let body = json!({"redirectUri": REDIRECT, "appId": "chat"});
    let begun = caller.post("/api/auth/login/provider/begin", body).await;
    assert_eq!(begun.status, StatusCode::OK, "{begun:?}");
    begun
}

async fn finish(caller: &Caller, ticket: &str, code: &str, state: &str) -> Answer {
    let body = json!({"ticket": ticket, "code": code, "state": state});
    caller.post("/api/auth/login/provider/finish", body).await
}

async fn enter(caller: &Caller, person: &str) -> Answer {
    let begun = begin(caller).await;
    let (code, state) = there_and_back(begun.text("url"), person).await;
    finish(caller, begun.text("ticket"), &code, &state).await
}

async fn who_is_new_gets_an_account_and_finds_it_again(store: Store) {
    let provider = Provider::start().await;
    let auth = provider.auth(store).await;
    let caller = Caller::new(&auth.url);
    assert_eq!(caller.get("/api/auth/login/provider", "").await.body, json!({"name": "Elsewhere"}));
    let first = enter(&caller, "ada").await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    assert_eq!(
        (first.body["user"]["email"].as_str(), first.body["user"]["emailVerified"].as_bool()),
        (Some("ada@example.org"), Some(true))
    );
    assert_eq!(
        caller.get("/api/credits/balance", first.access()).await.body,
        json!({"balance": 50, "free": 50, "paid": 0})
    );
    let again = enter(&caller, "ada").await;
    assert_eq!(first.body["user"]["id"], again.body["user"]["id"]);
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(caller.login("ada@example.org", "!").await.status, StatusCode::UNAUTHORIZED, "there is no password");
    let deleted = caller.post_as(again.access(), "/api/auth/account/delete", json!({})).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "a session that has just begun shows who it is");
}

/// Where several can write at once (PostgreSQL), each finds no account before any of them makes it.
async fn first_sign_ins_at_the_same_moment_end_in_one_account(store: Store) {
    let provider = Provider::start().await;
    let auth = provider.auth(store).await;
    let caller = Caller::new(&auth.url);
    let mut trips = Vec::new();
    for _ in 0..3 {
        let begun = begin(&caller).await;
        let (code, state) = there_and_back(begun.text("url"), "ada").await;
        trips.push((begun.text("ticket").to_owned(), code, state));
    }
    let sign_ins = join_all(trips.iter().map(|(ticket, code, state)| finish(&caller, ticket, code, state)));
    let sign_ins = match store {
        Store::Sqlite => sign_ins.await,
        Store::Postgres => {
            let gate = auth.database.begin_write().await.unwrap();
            gate.execute_unprepared("LOCK TABLE users IN SHARE MODE").await.unwrap();
            let opened = async {
                let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                until("three sign-ins", async || (number(&auth, waiting).await == 3).then_some(())).await;
                gate.commit().await.unwrap();
            };
            tokio::join!(sign_ins, opened).0
        }
    };
    for answer in &sign_ins {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.body["user"]["id"], sign_ins[0].body["user"]["id"]);
    }
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(auth.ledger_findings().await, Vec::<String>::new());
}

async fn an_answer_counts_once_for_the_browser_that_asked(store: Store) {
    let provider = Provider::start().await;
    let auth = provider.auth(store).await;
    let caller = Caller::new(&auth.url);
    let (ours, other) = (begin(&caller).await, begin(&caller).await);
    let (code, state) = there_and_back(ours.text("url"), "ada").await;
    for (ticket, code, state) in [
        (other.text("ticket"), code.as_str(), state.as_str()),
        (ours.text("ticket"), code.as_str(), "another state"),
        ("x.y", code.as_str(), state.as_str()),
    ] {
        assert_eq!(finish(&caller, ticket, code, state).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(finish(&caller, ours.text("ticket"), &code, &state).await.status, StatusCode::OK);
    assert_eq!(finish(&caller, ours.text("ticket"), &code, &state).await.status, StatusCode::UNAUTHORIZED);
    let made_up = begin(&caller).await;
    let (_, state) = there_and_back(made_up.text("url"), "ada").await;
    assert_eq!(finish(&caller, made_up.text("ticket"), "made up", &state).await.status, StatusCode::UNAUTHORIZED);
    let elsewhere = json!({"redirectUri": "https://evil.test/login/provider"});
    assert_eq!(caller.post("/api/auth/login/provider/begin", elsewhere).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

async fn nobodys_account_is_taken_over_by_an_address_alone(store: Store) {
    let provider = Provider::start().await;
    let auth = provider.auth(store).await;
    let caller = Caller::new(&auth.url);
    assert_eq!(enter(&caller, "unvouched").await.code(), (403, "email_not_vouched_for"));
    caller.register("ada@example.org").await;
    assert_eq!(
        enter(&caller, "ada").await.status,
        StatusCode::CONFLICT,
        "whoever made it has not shown that it is theirs"
    );
    sql(&auth, "UPDATE users SET email_verified_at = 1").await;
    assert_eq!(enter(&caller, "ada").await.status, StatusCode::OK);
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(caller.login("ada@example.org", PASSWORD).await.status, StatusCode::OK);
    auth.command(&["disable", "--email", "ada@example.org"]).await.unwrap();
    assert_eq!(enter(&caller, "ada").await.code(), (403, "account_disabled"));
}

#[tokio::test]
async fn a_provider_that_is_away_is_said() {
    let settings =
        [("OIDC_ISSUER", "http://127.0.0.1:1"), ("OIDC_CLIENT_ID", "mana"), ("OIDC_CLIENT_SECRET", "a secret")];
    let auth = Auth::start_with(Store::Sqlite, &settings).await;
    let caller = Caller::new(&auth.url);
    let begun = caller.post("/api/auth/login/provider/begin", json!({"redirectUri": REDIRECT})).await;
    assert_eq!(begun.code(), (503, "provider_unavailable"));
    let none = Auth::start(Store::Sqlite).await;
    assert_eq!(Caller::new(&none.url).get("/api/auth/login/provider", "").await.status, StatusCode::NOT_FOUND);
}

/// What others' implementations make of us, with a token of somebody.
async fn agrees(program: &str, script: &str) {
    let auth = Auth::start(Store::Sqlite).await;
    let ada = Caller::new(&auth.url).register("ada@example.com").await;
    let user = ada.body["user"]["id"].as_str().unwrap();
    let mut command = Command::new(program);
    let output = command.args([script, &auth.url, ISSUER, ada.access(), user]).current_dir(CLIENTS).output();
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn jose_verifies_our_tokens_from_metadata_alone() {
    kit::testing::install_clients(CLIENTS);
    agrees("node", "verify.mjs").await;
}

#[tokio::test]
async fn openid_client_finds_out_about_us_and_who_is_signed_in() {
    kit::testing::install_clients(CLIENTS);
    agrees("node", "discover.mjs").await;
}

#[tokio::test]
async fn authlib_verifies_our_tokens_from_metadata_alone() {
    let python = kit::testing::install_python_clients(CLIENTS);
    agrees(python.to_str().unwrap(), "authlib_client.py").await;
}

crate::support::on_both_stores!(
    who_is_new_gets_an_account_and_finds_it_again,
    first_sign_ins_at_the_same_moment_end_in_one_account,
    an_answer_counts_once_for_the_browser_that_asked,
    nobodys_account_is_taken_over_by_an_address_alone,
);
