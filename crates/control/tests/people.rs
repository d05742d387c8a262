//! People at the operators' door: how they are invited, log in and out, what they may do, and what is written down of it.

mod support;

use mana_control::api::{NewOperator, NewToken, OperatorChange, Role, Scope};
use mana_control::client::ClientError;
use mana_control::paths;

use support::people::{Browser, PASSWORD, accept, invited, log, somebody, started, written};

#[tokio::test]
async fn an_invitation_sets_a_password_once_and_stands_in_no_log() {
    let mut ecosystem = started().await;
    let code = invited(&ecosystem, "ada", Role::Admin).await;
    let mut browser = Browser::new(&ecosystem);
    assert_eq!(accept(&mut browser, &code, "short").status, 422);
    assert_eq!(accept(&mut browser, "wrong", PASSWORD).status, 410);
    let answer = accept(&mut browser, &code, PASSWORD);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let cookie = answer.header("set-cookie").expect("a session");
    assert!(
        cookie.starts_with("mana=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800"),
        "{cookie}"
    );
    assert!(browser.is_logged_in());
    let again = accept(&mut Browser::new(&ecosystem), &code, "another long password");
    assert_eq!(again.status, 410, "{}", again.body);
    let operators = ecosystem.client().await.operators().await.expect("listed");
    assert!(operators[0].has_password && operators[0].sessions == 1, "{operators:?}");
    let session = browser.cookies["mana"].clone();
    for file in [log(&ecosystem), std::fs::read_to_string(ecosystem.manifest()).expect("read")] {
        assert!(!file.contains(&code) && !file.contains(&session) && !file.contains(PASSWORD));
    }
    for file in std::fs::read_dir(ecosystem.data()).expect("read").flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).expect("read");
        for secret in [&code, &session, PASSWORD] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {}", file.path().display());
        }
    }
    ecosystem.down().await;
}

#[tokio::test]
async fn a_wrong_password_is_answered_alike_whether_the_name_is_known_or_not() {
    let mut ecosystem = started().await;
    somebody(&ecosystem, "ada", Role::Operator).await;
    let mut browser = Browser::new(&ecosystem);
    let (known, unknown) = (browser.log_in("ada", "wrong password", ""), browser.log_in("eve", "wrong password", ""));
    assert_eq!((known.status, unknown.status), (401, 401));
    assert_eq!(known.body.replace("\"ada\"", "\"eve\""), unknown.body);
    assert!(!browser.is_logged_in());
    let before = browser.cookies.get("mana").cloned();
    assert_eq!(browser.log_in("ada", PASSWORD, "").status, 303);
    assert_ne!(browser.cookies.get("mana").cloned(), before);
    assert!(browser.is_logged_in());
    let written = written(&ecosystem).await;
    let logins: Vec<&String> = written.iter().filter(|line| line.contains("|login|")).collect();
    assert_eq!(
        logins,
        [
            "ada|127.0.0.1|login||refused: wrong name or password",
            "unknown|127.0.0.1|login||refused: wrong name or password",
            "ada|127.0.0.1|login||done",
        ]
    );
    ecosystem.down().await;
}

#[tokio::test]
async fn tries_run_out_and_say_when_there_is_another() {
    let mut ecosystem = started().await;
    somebody(&ecosystem, "ada", Role::Operator).await;
    let mut browser = Browser::new(&ecosystem);
    // Addresses are the edge's to say: one that is made up changes nothing.
    let made_up = |number: u32| format!("x-real-ip: 192.0.2.{number}");
    let (mut refused, began) = (None, std::time::Instant::now());
    for number in 0..15 {
        browser.headers.truncate(3);
        browser.headers.push(made_up(number));
        let answer = browser.log_in("ada", "wrong password", "");
        if answer.status == 429 {
            refused = Some((number, answer));
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let (number, answer) = refused.expect("refused");
    // One more comes each minute, and a password takes its time on a busy machine.
    let more = u32::try_from(began.elapsed().as_secs() / 60).expect("some");
    assert!((10..=10 + more).contains(&number), "{number} and {more}");
    let wait: u32 = answer.header("retry-after").expect("when").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    if more == 0 && wait > 30 {
        let even = browser.log_in("ada", PASSWORD, "");
        assert_eq!(even.status, 429, "the right one would tell that it is right");
    }
    assert!(!written(&ecosystem).await.iter().any(|line| line.contains("192.0.2.")));
    ecosystem.down().await;
}

#[tokio::test]
async fn what_another_site_makes_a_browser_send_is_refused() {
    let mut ecosystem = started().await;
    let mut ada = somebody(&ecosystem, "ada", Role::Admin).await;
    let page = ada.get("/account");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe-inline"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let token = page.form_token();
    let form = "content-type: application/x-www-form-urlencoded";
    let own = ada.headers.clone();
    let cases: [(&[&str], &str); 4] = [
        (&["sec-fetch-site: cross-site", "origin: https://evil.example"], &token),
        (&["sec-fetch-site: same-site"], &token),
        (&[], &token),
        (&["sec-fetch-site: same-origin"], "wrong"),
    ];
    for (headers, token) in cases {
        ada.headers.clear();
        let headers: Vec<&str> = headers.iter().copied().chain([form]).collect();
        assert_eq!(ada.ask("POST", "/logout", &headers, &format!("csrf={token}")).status, 403, "{headers:?} {token}");
    }
    ada.headers.clone_from(&own);
    let restart = "{\"command\":\"abort\",\"by\":\"\"}";
    let json = "content-type: application/json";
    assert_eq!(ada.ask("POST", "/api/v1/rollouts/7", &[json], restart).status, 403, "a cookie alone changes nothing");
    assert_eq!(ada.call("POST", "/api/v1/rollouts/7", restart).status, 404);
    assert_eq!(ada.get("/api/v1/status").status, 200);
    assert!(ada.is_logged_in());
    let stranger = Browser::new(&ecosystem).ask("POST", "/login", &[form], "name=ada&password=x");
    assert_eq!(stranger.status, 403, "nor is anybody logged in by another site");
    let lines = written(&ecosystem).await;
    assert!(lines.contains(&"ada|127.0.0.1|logout||refused: the request was not sent by you".to_owned()), "{lines:#?}");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_session_that_is_revoked_ends_at_once() {
    let mut ecosystem = started().await;
    let client = ecosystem.client().await;
    let mut first = somebody(&ecosystem, "ada", Role::Operator).await;
    let mut second = Browser::new(&ecosystem);
    assert_eq!(second.log_in("ada", PASSWORD, "").status, 303);
    let sessions = client.operator_sessions("ada").await.expect("listed");
    assert_eq!(sessions.len(), 2);
    assert_eq!((sessions[0].address.as_str(), sessions[0].agent.as_str()), ("127.0.0.1", "Tester"));
    let revoke = |session: Option<String>| OperatorChange::Revoke { session };
    let error = client.change_operator("ada", &revoke(Some("nothing".into()))).await.err().expect("none");
    assert!(error.to_string().contains("no such session"), "{error}");
    client.change_operator("ada", &revoke(Some(sessions[0].id.clone()))).await.expect("revoked");
    let still = [first.is_logged_in(), second.is_logged_in()];
    assert_eq!(still.iter().filter(|still| **still).count(), 1, "{still:?}");
    // By hand, from the other browser, and by logging out.
    let mut third = Browser::new(&ecosystem);
    third.log_in("ada", PASSWORD, "");
    assert_eq!(third.send("/account", "/account/sessions", &[("session", "")]).status, 303);
    assert_eq!([first.is_logged_in(), second.is_logged_in(), third.is_logged_in()], [false, false, true]);
    let before = third.cookies.clone();
    assert_eq!(third.send("/account", "/logout", &[]).status, 303);
    assert!(!third.cookies.contains_key("mana"));
    third.cookies = before;
    assert!(!third.is_logged_in(), "the cookie is worth nothing any more");
    third.log_in("ada", PASSWORD, "");
    client.change_operator("ada", &OperatorChange::Disable).await.expect("kept out");
    assert!(!third.is_logged_in());
    assert_eq!(third.log_in("ada", PASSWORD, "").status, 401);
    client.change_operator("ada", &OperatorChange::Enable).await.expect("let in");
    assert_eq!(third.log_in("ada", PASSWORD, "").status, 303);
    client.change_operator("ada", &OperatorChange::Reset).await.expect("invited").invitation.expect("a link");
    assert!(!third.is_logged_in());
    assert_eq!(third.log_in("ada", PASSWORD, "").status, 401, "the password is forgotten");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_role_that_is_too_low_is_refused_by_name() {
    let mut ecosystem = started().await;
    let client = ecosystem.client().await;
    let mut vera = somebody(&ecosystem, "vera", Role::Viewer).await;
    let mut oscar = somebody(&ecosystem, "oscar", Role::Operator).await;
    let mut ada = somebody(&ecosystem, "ada", Role::Admin).await;
    let deploy = "{\"service\":\"nothing\",\"release\":null,\"by\":\"somebody else\"}";
    let reject = "{\"command\":\"reject\",\"comment\":null,\"by\":\"\"}";
    assert_eq!(vera.get("/api/v1/status").status, 200);
    let refused = vera.call("POST", "/api/v1/rollouts", deploy);
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("vera is viewer; to deploy takes operator"), "{}", refused.body);
    assert_eq!(oscar.call("POST", "/api/v1/rollouts", deploy).status, 404, "let through: no such service");
    let refused = oscar.call("POST", "/api/v1/rollouts/1", reject);
    assert!(
        refused.status == 403 && refused.body.contains("oscar is operator; to approve takes approver"),
        "{refused:?}"
    );
    let refused = oscar.get("/api/v1/audit");
    assert!(refused.status == 403 && refused.body.contains("takes admin"), "{refused:?}");
    assert_eq!(ada.get("/api/v1/audit").status, 200);
    assert_eq!(ada.call("POST", "/api/v1/rollouts/1", reject).status, 404);
    // Admins make operators and tokens, but not themselves nobody.
    let eve = ada.call("POST", "/api/v1/operators", "{\"name\":\"eve\",\"role\":\"viewer\"}");
    assert!(eve.status == 200 && eve.body.contains("/invite#"), "{eve:?}");
    assert_eq!(ada.call("POST", "/api/v1/operators/ada", "{\"change\":\"disable\"}").status, 409);
    assert_eq!(ada.call("POST", "/api/v1/operators/vera", "{\"change\":\"role\",\"role\":\"operator\"}").status, 200);
    assert_eq!(vera.call("POST", "/api/v1/rollouts", deploy).status, 404, "the new role holds at once");
    // A token of an operator who is kept out lets nobody in either.
    let scopes = Scope::ALL.into_iter().collect();
    let made = client.make_token(&NewToken { name: "oscar".into(), scopes, days: None }).await.expect("made");
    let bearer = format!("authorization: Bearer {}", made.token);
    let mut script = Browser::new(&ecosystem);
    assert_eq!(script.ask("GET", "/api/v1/status", &[&bearer], "").status, 200);
    assert_eq!(script.ask("GET", "/api/v1/operators", &[&bearer], "").status, 403, "tokens make no operators");
    assert_eq!(ada.call("POST", "/api/v1/operators/oscar", "{\"change\":\"disable\"}").status, 200);
    assert_eq!(script.ask("GET", "/api/v1/status", &[&bearer], "").status, 401);
    // What is for the owner of the socket alone is not there for an admin either.
    for path in ["run", "apply", "down"] {
        assert_eq!(ada.call("POST", &format!("/api/v1/{path}"), "{}").status, 404, "{path}");
    }
    let lines = written(&ecosystem).await;
    for expected in [
        "owner|socket|apply|",
        "owner|socket|add operator|vera viewer|done",
        "vera|127.0.0.1|invite||done",
        "vera|127.0.0.1|deploy|nothing|refused: your role does not allow it",
        "oscar|127.0.0.1|deploy|nothing|refused: there is no such service",
        "oscar|127.0.0.1|reject|rollout 1|refused: your role does not allow it",
        "ada|127.0.0.1|add operator|eve viewer|done",
        "ada|127.0.0.1|disable operator|ada|refused: nobody takes away their own access",
        "ada|127.0.0.1|role operator|vera operator|done",
        "owner|socket|make token|oscar read,deploy,approve|done",
        "ada|127.0.0.1|disable operator|oscar|done",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected} is not in {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains(&made.token)));
    ecosystem.down().await;
}

#[tokio::test]
async fn who_sees_a_page_logged_out_comes_back_to_it_after_logging_in() {
    let mut ecosystem = started().await;
    somebody(&ecosystem, "ada", Role::Viewer).await;
    let mut browser = Browser::new(&ecosystem);
    let sent = browser.get("/account?done=password");
    assert_eq!((sent.status, sent.header("location")), (303, Some("/login?next=%2Faccount%3Fdone%3Dpassword")));
    let page = browser.get("/login?next=%2Faccount%3Fdone%3Dpassword");
    assert!(page.body.contains("value=\"/account?done=password\""), "{}", page.body);
    let fields = [("name", "ada"), ("password", PASSWORD), ("next", "/account?done=password")];
    assert_eq!(browser.send("/login", "/login", &fields).header("location"), Some("/account?done=password"));
    let mut other = Browser::new(&ecosystem);
    let fields = [("name", "ada"), ("password", PASSWORD), ("next", "//evil.example/")];
    assert_eq!(other.send("/login", "/login", &fields).header("location"), Some("/"));
    let style = page.body.split('"').find(|part| part.starts_with("/people/") && part.contains(".css"));
    let style = browser.get(style.expect("a style"));
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
    ecosystem.down().await;
}

#[tokio::test]
async fn a_row_that_somebody_changed_is_named() {
    let mut ecosystem = started().await;
    let client = ecosystem.client().await.speaking_for("root@desk");
    for name in ["ada", "bob", "eve"] {
        client.add_operator(&NewOperator { name: name.into(), role: Role::Viewer }).await.expect("added");
    }
    let refused = client.add_operator(&NewOperator { name: "a b".into(), role: Role::Viewer }).await;
    assert!(matches!(refused, Err(ClientError::Refused(problem)) if problem.status == 422));
    let lines = written(&ecosystem).await;
    assert!(lines.contains(&"root@desk|socket|add operator|bob viewer|done".to_owned()), "{lines:#?}");
    assert!(
        lines.contains(&"root@desk|socket|add operator|a b viewer|refused: that is no name".to_owned()),
        "{lines:#?}"
    );
    let check = client.check_audit().await.expect("checked");
    assert_eq!((check.good, &check.broken), (lines.len() as u64, &None));
    assert!(log(&ecosystem).contains(&check.head), "the log is a witness of its own");
    let number = 1 + lines.iter().position(|line| line.contains("bob")).expect("there") as u64;
    let sql = |statement: &str| {
        rusqlite::Connection::open(paths::database(&ecosystem.data())).and_then(|db| db.execute_batch(statement))
    };
    let tamper = format!("UPDATE audit SET who = 'mallory' WHERE number = {number};");
    assert!(sql(&tamper).is_err(), "triggers refuse it");
    sql(&format!("DROP TRIGGER audit_is_not_changed; {tamper}")).expect("tampered");
    let check = client.check_audit().await.expect("checked");
    assert_eq!((check.good, check.broken.map(|broken| broken.number)), (number - 1, Some(number)));
    ecosystem.down().await;
}
