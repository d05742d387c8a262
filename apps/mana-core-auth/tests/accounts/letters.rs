//! Letters: addresses confirmed, passwords chosen anew, and what they do not tell.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Auth, Caller, PASSWORD, Store, number, sql, until};

const NEW: &str = "another good password";

/// The code of the newest letter of a kind, once it has come.
async fn code(auth: &Auth, subject: &str) -> String {
    let letter = until(subject, async || auth.letters().await.into_iter().rev().find(|it| it.contains(subject))).await;
    letter.split_once("it is\r\n\r\n").unwrap().1.lines().next().unwrap().trim().to_owned()
}

async fn an_address_is_confirmed_by_the_letter_that_went_there(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    assert_eq!(ada.body["user"]["emailVerified"], false);
    let code = code(&auth, "Confirm your e-mail address").await;
    let letter = &auth.letters().await[0];
    assert!(letter.contains("To: ada@example.com") && letter.contains(&format!("/verify#{code}")), "{letter}");
    for (given, status) in [("nonsense", 422), (code.as_str(), 204), (code.as_str(), 422)] {
        assert_eq!(caller.post("/api/auth/verify-email", json!({"code": given})).await.status.as_u16(), status);
    }
    assert_eq!(caller.get("/api/auth/me", ada.access()).await.body["emailVerified"], true);
    let reset = json!({"code": code, "newPassword": NEW});
    assert_eq!(caller.post("/api/auth/password/reset", reset).await.status.as_u16(), 422, "it is no reset's");
}

async fn a_forgotten_password_is_chosen_anew_and_every_session_ends(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    let hashes = auth.hashes();
    let forgot = async |email: &str| caller.post("/api/auth/password/forgot", json!({"email": email})).await;
    let (known, unknown) = (forgot("Ada@example.com").await, forgot("nobody@example.com").await);
    assert_eq!((known.status, known.body), (unknown.status, unknown.body.clone()));
    assert_eq!((unknown.status, auth.hashes()), (StatusCode::ACCEPTED, hashes));

    let code = code(&auth, "Choose another password").await;
    let reset = async |password: &str| {
        caller.post("/api/auth/password/reset", json!({"code": code, "newPassword": password})).await.status.as_u16()
    };
    assert_eq!(reset("password1").await, 422);
    assert_eq!(reset(NEW).await, 204, "a weak password did not use the code up");
    assert_eq!(reset("a third good password").await, 422);
    assert!(!caller.is_in(ada.access()).await);
    assert_eq!(caller.refresh(ada.refresh()).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(caller.login("ada@example.com", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(caller.login("ada@example.com", NEW).await.body["user"]["emailVerified"], true);
}

async fn a_code_is_too_old_after_its_time(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    caller.register("ada@example.com").await;
    caller.post("/api/auth/password/forgot", json!({"email": "ada@example.com"})).await;
    let code = code(&auth, "Choose another password").await;
    sql(&auth, "UPDATE letters SET expires_at = expires_at - 3600000").await;
    let answer = caller.post("/api/auth/password/reset", json!({"code": code, "newPassword": NEW})).await;
    assert_eq!(answer.body["errors"][0]["field"], "code");
}

async fn nobody_is_flooded_and_no_code_is_stored(store: Store) {
    let auth = Auth::start(store).await;
    let caller = Caller::new(&auth.url);
    let ada = caller.register("ada@example.com").await;
    for _ in 0..8 {
        let sent = caller.post_as(ada.access(), "/api/auth/verify-email/send", json!({})).await;
        assert_eq!(sent.status, StatusCode::ACCEPTED);
    }
    assert_eq!(number(&auth, "SELECT COUNT(*) FROM letters").await, 5, "the one of registering, and four more");
    until("five letters", async || (auth.letters().await.len() == 5).then_some(())).await;
    let code = code(&auth, "Confirm").await;
    let rows = "SELECT COUNT(*) FROM letters WHERE CAST(id AS TEXT) LIKE '%CODE%' OR email LIKE '%CODE%'";
    assert_eq!(number(&auth, &rows.replace("CODE", &code)).await, 0);
}

#[tokio::test]
async fn the_page_of_letters_is_there_in_development_only() {
    let auth = Auth::start(Store::Sqlite).await;
    let caller = Caller::new(&auth.url);
    caller.register("ada@example.com").await;
    code(&auth, "Confirm").await;
    let page = reqwest::get(format!("{}/dev/mail", auth.url)).await.unwrap();
    assert!(page.text().await.unwrap().contains("To: ada@example.com"));
    let production = Auth::start_with(Store::Sqlite, &[("MANA_ENVIRONMENT", "production")]).await;
    let caller = Caller::new(&production.url);
    assert_eq!(caller.get("/dev/mail", "").await.status, StatusCode::NOT_FOUND);
    let forgot = caller.post("/api/auth/password/forgot", json!({"email": "ada@example.com"})).await;
    assert_eq!(forgot.code(), (503, "mail_unavailable"), "without a mail server it is said");
}

/// A mail server that takes letters, as far as a client can tell.
async fn mail_server() -> (String, tokio::sync::mpsc::Receiver<String>) {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let (letters, received) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        // The first one is turned away: servers do so when they are busy.
        for turn in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let busy = turn == 0;
            let greeting: &[u8] = if busy { b"421 busy\r\n" } else { b"220 mail.test\r\n" };
            stream.write_all(greeting).await.unwrap();
            let (mut letter, mut in_letter, mut line) = (String::new(), false, String::new());
            while !busy && stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                let answer: &[u8] = match line.trim_end() {
                    "." if in_letter => {
                        in_letter = false;
                        letters.send(std::mem::take(&mut letter)).await.unwrap();
                        b"250 taken\r\n"
                    }
                    _ if in_letter => {
                        letter.push_str(&line);
                        b""
                    }
                    "DATA" => {
                        in_letter = true;
                        b"354 go on\r\n"
                    }
                    "QUIT" => b"221 bye\r\n",
                    _ => b"250 ok\r\n",
                };
                stream.write_all(answer).await.unwrap();
                line.clear();
            }
        }
    });
    (url, received)
}

async fn a_letter_is_sent_again_when_the_mail_server_was_busy(store: Store) {
    let (smtp, mut received) = mail_server().await;
    let auth = Auth::start_with(store, &[("SMTP_URL", &smtp), ("MAIL_FROM", "Mana <mana@example.org>")]).await;
    Caller::new(&auth.url).register("ada@example.com").await;
    until("the first try", async || {
        (number(&auth, "SELECT COUNT(*) FROM letters WHERE attempts = 1").await == 1).then_some(())
    })
    .await;
    // The pause has passed.
    sql(&auth, "UPDATE letters SET next_try_at = 0").await;
    let letter = tokio::time::timeout(std::time::Duration::from_secs(20), received.recv()).await.unwrap().unwrap();
    assert!(letter.contains("To: ada@example.com") && letter.contains("<mana@example.org>"), "{letter}");
    until("the note", async || {
        (number(&auth, "SELECT COUNT(*) FROM letters WHERE sent_at IS NOT NULL").await == 1).then_some(())
    })
    .await;
}

crate::support::on_both_stores!(
    an_address_is_confirmed_by_the_letter_that_went_there,
    a_forgotten_password_is_chosen_anew_and_every_session_ends,
    a_code_is_too_old_after_its_time,
    nobody_is_flooded_and_no_code_is_stored,
    a_letter_is_sent_again_when_the_mail_server_was_busy,
);
