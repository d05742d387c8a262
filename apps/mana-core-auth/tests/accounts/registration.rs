//! Getting an account, and what a stranger learns by trying.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Answer, Auth, Caller, PASSWORD, SERVICE_TOKEN, Store, number, sql, until};

const CONFIRMED: &[(&str, &str)] = &[("REGISTRATION", "confirmed")];

async fn ask(caller: &Caller, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password, "name": "Ada", "appId": "chat"});
    let mut answer = caller.post("/api/auth/register", body).await;
    if let Some(body) = answer.body.as_object_mut() {
        body.remove("requestId");
    }
    answer
}

async fn confirm(caller: &Caller, code: &str, password: &str) -> Answer {
    caller.post("/api/auth/register/confirm", json!({"code": code, "password": password})).await
}

/// The letters to an address with this subject, once there are so many.
async fn letters_to(auth: &Auth, email: &str, subject: &str, count: usize) -> Vec<String> {
    until(subject, async || {
        let letters = auth.letters().await.into_iter();
        let found: Vec<String> =
            letters.filter(|it| it.contains(&format!("To: {email}")) && it.contains(subject)).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

fn code_of(letter: &str) -> &str {
    letter.split_once("it is\r\n\r\n").unwrap().1.lines().next().unwrap().trim()
}

/// What of the database a registration changes, as numbers.
async fn rows(auth: &Auth) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["users", "sessions", "balances", "postings", "letters", "registrations"] {
        counts.push(number(auth, &format!("SELECT COUNT(*) FROM {table}")).await);
    }
    counts
}

async fn a_stranger_learns_nothing_of_who_has_an_account(store: Store) {
    let auth = Auth::start_with(store, CONFIRMED).await;
    let caller = Caller::new(&auth.url);
    let closed = [("ada@example.com", None), ("bob@example.com", Some("disable"))];
    for (email, command) in closed {
        ask(&caller, email, PASSWORD).await;
        let letters = letters_to(&auth, email, "Finish making your account", 1).await;
        assert_eq!(confirm(&caller, code_of(&letters[0]), PASSWORD).await.status, StatusCode::CREATED);
        if let Some(command) = command {
            auth.command(&[command, "--email", email]).await.unwrap();
        }
    }
    let mut told = Vec::new();
    for email in ["ada@example.com", "bob@example.com", "nobody@example.com"] {
        for password in [PASSWORD, "password1"] {
            let (hashes, before) = (auth.hashes(), rows(&auth).await);
            let answer = ask(&caller, email, password).await;
            let after = rows(&auth).await;
            let changed: Vec<i64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
            told.push((answer.status, answer.retry_after, answer.body, auth.hashes() - hashes, changed));
        }
    }
    assert_eq!((told[0].0, told[0].3, told[0].4.last()), (StatusCode::ACCEPTED, 1, Some(&1)), "{told:?}");
    assert_eq!((told[1].0, told[1].3), (StatusCode::UNPROCESSABLE_ENTITY, 0), "{told:?}");
    assert!(told[..2] == told[2..4] && told[..2] == told[4..], "{told:?}");
    for email in ["ada@example.com", "bob@example.com"] {
        let letters = letters_to(&auth, email, "You have an account already", 1).await;
        assert!(!letters[0].contains("confirm#") && letters[0].contains("/login"), "{}", letters[0]);
    }
    letters_to(&auth, "nobody@example.com", "Finish making your account", 1).await;
    assert_eq!(auth.ledger_findings().await, Vec::<String>::new());
}

async fn an_account_is_made_by_who_has_the_letter_and_knows_the_password(store: Store) {
    let auth = Auth::start_with(store, CONFIRMED).await;
    let caller = Caller::new(&auth.url);
    assert_eq!(ask(&caller, " Ada@Example.com", PASSWORD).await.body, json!({"expiresIn": 86_400}));
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::UNAUTHORIZED, "there is none yet");
    let letter = letters_to(&auth, "ada@example.com", "Finish making your account", 1).await.remove(0);
    let code = code_of(&letter);
    assert!(letter.contains(&format!("/confirm#{code}")), "{letter}");
    assert_eq!(confirm(&caller, "nonsense", PASSWORD).await.body["errors"][0]["field"], "code");
    assert_eq!(confirm(&caller, code, "not this one").await.code(), (403, "wrong_password"));
    let made = confirm(&caller, code, PASSWORD).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["user"]["emailVerified"], true);
    assert!(caller.is_in(made.access()).await);
    assert_eq!(caller.get("/api/credits/balance", made.access()).await.body["balance"], 50);
    assert_eq!(confirm(&caller, code, PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY, "once");
    let sessions = caller.get("/api/auth/sessions", made.access()).await;
    assert_eq!(sessions.body["sessions"][0]["appId"], "chat", "the app that was registered at");
    let rows = "SELECT COUNT(*) FROM registrations WHERE CAST(id AS TEXT) LIKE '%CODE%' OR name LIKE '%CODE%'";
    assert_eq!(number(&auth, &rows.replace("CODE", code)).await, 0);
}

/// Somebody registers with another one's address, in the hope that its owner confirms it.
async fn nobody_takes_an_address_in_advance(store: Store) {
    let auth = Auth::start_with(store, CONFIRMED).await;
    let caller = Caller::new(&auth.url);
    ask(&caller, "ada@example.com", "the thief's password").await;
    let first = letters_to(&auth, "ada@example.com", "Finish", 1).await.remove(0);
    ask(&caller, "ada@example.com", PASSWORD).await;
    let letters = letters_to(&auth, "ada@example.com", "Finish", 2).await;
    let own = letters.iter().find(|letter| **letter != first).unwrap();
    // The owner has both letters and opens one after the other with the password that they chose.
    assert_eq!(confirm(&caller, code_of(&first), PASSWORD).await.code(), (403, "wrong_password"));
    assert_eq!(confirm(&caller, code_of(own), PASSWORD).await.status, StatusCode::CREATED);
    let late = confirm(&caller, code_of(&first), "the thief's password").await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY, "what else was asked for with the address is forgotten");
    assert_eq!(caller.login("ada@example.com", "the thief's password").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM users").await, 1);
}

async fn a_registration_lives_a_day_and_guesses_of_its_password_are_counted(store: Store) {
    let auth = Auth::start_with(store, CONFIRMED).await;
    let caller = Caller::new(&auth.url);
    ask(&caller, "ada@example.com", PASSWORD).await;
    let letter = letters_to(&auth, "ada@example.com", "Finish", 1).await.remove(0);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(confirm(&caller, code_of(&letter), "a guess of it").await.status.as_u16());
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429]);
    let elsewhere = caller.from("203.0.113.7");
    sql(&auth, "UPDATE registrations SET expires_at = expires_at - 86400000").await;
    assert_eq!(confirm(&elsewhere, code_of(&letter), PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM users").await, 0);
}

async fn two_at_once_with_one_code_make_one_account(store: Store) {
    let auth = Auth::start_with(store, CONFIRMED).await;
    let caller = Caller::new(&auth.url);
    ask(&caller, "ada@example.com", PASSWORD).await;
    let letter = letters_to(&auth, "ada@example.com", "Finish", 1).await.remove(0);
    let code = code_of(&letter);
    let (one, two) = tokio::join!(confirm(&caller, code, PASSWORD), confirm(&caller, code, PASSWORD));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM postings").await, 1, "one sign-up grant");
}

async fn nobody_is_flooded_by_registrations(store: Store) {
    let auth = Auth::start_with(store, CONFIRMED).await;
    let caller = Caller::new(&auth.url);
    for _ in 0..7 {
        assert_eq!(ask(&caller, "ada@example.com", PASSWORD).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(letters_to(&auth, "ada@example.com", "Finish", 5).await.len(), 5);
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM registrations").await, 6, "and the last one without a letter");
}

/// The thief asks, from wherever they are, until no more letters go to the address.
async fn strangers_who_use_up_the_letters_keep_nobody_out(store: Store) {
    let auth = Auth::start_with(store, CONFIRMED).await;
    let caller = Caller::new(&auth.url);
    let (thief, owner) = (caller.from("203.0.113.7"), caller.from("198.51.100.9"));
    let (email, theirs) = ("ada@example.com", "the thief's password");
    for _ in 0..7 {
        assert_eq!(ask(&thief, email, theirs).await.status, StatusCode::ACCEPTED);
    }
    let withheld = ask(&owner, email, PASSWORD).await;
    assert_eq!((withheld.status, &withheld.body), (StatusCode::ACCEPTED, &ask(&thief, email, theirs).await.body));
    let letters = letters_to(&auth, email, "Finish", 5).await;
    assert_eq!(
        number(&auth, "SELECT COUNT(*) FROM registrations WHERE asked_from IS NOT NULL").await,
        2,
        "one of each"
    );

    let code = code_of(&letters[2]);
    assert_eq!(confirm(&thief, code, PASSWORD).await.code(), (403, "wrong_password"), "it was asked for elsewhere");
    assert_eq!(confirm(&owner, code, "a guess of it").await.code(), (403, "wrong_password"));
    let made = confirm(&owner, code, PASSWORD).await;
    assert_eq!((made.status, &made.body["user"]["emailVerified"]), (StatusCode::CREATED, &json!(true)), "{made:?}");
    assert_eq!(caller.login(email, theirs).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM registrations").await, 0);
    assert_eq!(auth.letters().await.len(), 5, "and nobody is flooded for it");
}

async fn at_once_is_the_same_work_for_a_taken_address(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let before = auth.hashes();
    caller.register("ada@example.com").await;
    let free = auth.hashes() - before;
    let taken = ask(&caller, "ada@example.com", PASSWORD).await;
    assert_eq!((taken.status, auth.hashes() - before), (StatusCode::CONFLICT, 2 * free));
}

#[tokio::test]
async fn in_production_addresses_are_confirmed_and_without_letters_nobody_registers() {
    let auth = Auth::start_with(Store::Sqlite, &[("MANA_ENVIRONMENT", "production")]).await;
    let caller = Caller::new(&auth.url);
    let (hashes, before) = (auth.hashes(), rows(&auth).await);
    assert_eq!(ask(&caller, "ada@example.com", PASSWORD).await.code(), (503, "mail_unavailable"));
    assert_eq!((auth.hashes(), rows(&auth).await), (hashes, before));
}

#[tokio::test]
async fn a_service_makes_an_account_at_once_and_nobody_else_does() {
    let auth = Auth::start_with(Store::Sqlite, &[("MANA_ENVIRONMENT", "production")]).await;
    let caller = Caller::new(&auth.url);
    let call = async |token: &str| {
        let body = json!({"email": "smoke@example.com", "password": PASSWORD, "name": "Smoke", "appId": "chat"});
        let call = reqwest::Client::new().post(format!("{}/api/internal/accounts", auth.url));
        call.header("x-service-token", token).json(&body).send().await.unwrap()
    };
    assert_eq!(call("nobody's token").await.status(), StatusCode::UNAUTHORIZED);
    let made = call(SERVICE_TOKEN).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    assert!(caller.is_in(made["accessToken"].as_str().unwrap()).await);
    assert_eq!(call(SERVICE_TOKEN).await.status(), StatusCode::CONFLICT);
}

crate::support::on_both_stores!(
    a_stranger_learns_nothing_of_who_has_an_account,
    an_account_is_made_by_who_has_the_letter_and_knows_the_password,
    nobody_takes_an_address_in_advance,
    a_registration_lives_a_day_and_guesses_of_its_password_are_counted,
    two_at_once_with_one_code_make_one_account,
    nobody_is_flooded_by_registrations,
    strangers_who_use_up_the_letters_keep_nobody_out,
    at_once_is_the_same_work_for_a_taken_address,
);
