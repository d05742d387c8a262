//! People at the operators' door: how they are invited, log in and out, what they may do, and what is written down of it.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command as Process, Stdio};

use mana_control::api::{NewOperator, NewToken, OperatorChange, Role, Scope};
use mana_control::client::ClientError;
use mana_control::paths;

use support::{Ecosystem, Service};

const PASSWORD: &str = "correct horse battery";

/// A browser as far as this needs one: it keeps cookies and says where its forms come from.
struct Browser {
    origin: String,
    cookies: BTreeMap<String, String>,
    headers: Vec<String>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What the forms of the page hold.
    fn form_token(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().expect("a value").to_owned()
    }
}

impl Browser {
    fn new(ecosystem: &Ecosystem) -> Self {
        let origin = format!("http://127.0.0.1:{}", ecosystem.listen);
        let headers =
            vec![format!("origin: {origin}"), "sec-fetch-site: same-origin".into(), "user-agent: Tester".into()];
        Self { origin, cookies: BTreeMap::new(), headers }
    }

    fn ask(&mut self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut curl = Process::new("curl");
        curl.args(["--silent", "--include", "--max-time", "30", "--request", method, "--data-binary", "@-"]);
        for header in self.headers.iter().map(String::as_str).chain(headers.iter().copied()) {
            curl.args(["--header", header]);
        }
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            curl.args(["--cookie", &cookies.join("; ")]);
        }
        curl.arg(format!("{}{path}", self.origin));
        let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl runs");
        child.stdin.take().expect("its input").write_all(body.as_bytes()).expect("written");
        let text = String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<_> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        for (_, cookie) in headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            }
        }
        Answer { status: status.parse().expect("a number"), headers, body: body.to_owned() }
    }

    fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// Fills in the form of a page, and sends it to `to`.
    fn send(&mut self, page: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.get(page).form_token();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let form = form.extend_pairs(fields).append_pair("csrf", &token).finish();
        self.ask("POST", to, &["content-type: application/x-www-form-urlencoded"], &form)
    }

    fn log_in(&mut self, name: &str, password: &str, code: &str) -> Answer {
        self.send("/login", "/login", &[("name", name), ("password", password), ("code", code)])
    }

    fn is_logged_in(&mut self) -> bool {
        self.get("/account").status == 200
    }

    /// A call as scripts of a page make one.
    fn call(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let token = self.get("/account").form_token();
        let token = format!("x-csrf-token: {token}");
        self.ask(method, path, &["content-type: application/json", &token], body)
    }
}

async fn started() -> Ecosystem {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.write(&[Service::new("one")]);
    let manifest = std::fs::read_to_string(ecosystem.manifest()).expect("read");
    // The door's host is the address that the tests ask.
    let manifest = manifest.replace("listen = ", "ops = \"127.0.0.1\"\nlisten = ");
    std::fs::write(ecosystem.manifest(), manifest).expect("written");
    support::repository::up(&ecosystem).await;
    ecosystem
}

/// Invites somebody; answers the code of the link.
async fn invited(ecosystem: &Ecosystem, name: &str, role: Role) -> String {
    let request = NewOperator { name: name.into(), role };
    let after = ecosystem.client().await.add_operator(&request).await.expect("added");
    let link = after.invitation.expect("a link").link;
    let begin = format!("http://127.0.0.1:{}/invite#", ecosystem.listen);
    link.strip_prefix(&begin).expect("a code behind the #").to_owned()
}

fn accept(browser: &mut Browser, code: &str, password: &str) -> Answer {
    browser.send("/invite", "/invite", &[("code", code), ("password", password), ("again", password)])
}

/// Somebody who is logged in.
async fn somebody(ecosystem: &Ecosystem, name: &str, role: Role) -> Browser {
    let code = invited(ecosystem, name, role).await;
    let mut browser = Browser::new(ecosystem);
    assert_eq!(accept(&mut browser, &code, PASSWORD).status, 303);
    browser
}

/// The audit log, oldest first, in short.
async fn written(ecosystem: &Ecosystem) -> Vec<String> {
    let mut entries = ecosystem.client().await.audit(1_000).await.expect("read");
    entries.reverse();
    let line = |entry: mana_control::api::AuditEntry| {
        [entry.who, entry.source, entry.what, entry.target, entry.outcome].join("|")
    };
    entries.into_iter().map(line).collect()
}

fn log(ecosystem: &Ecosystem) -> String {
    std::fs::read_to_string(paths::control_log(&ecosystem.data())).expect("a log")
}

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

/// The code of a moment, by a program that is not ours.
fn code(secret: &str, offset_s: i64) -> String {
    let script = "import base64, hashlib, hmac, struct, sys, time\n\
        key = base64.b32decode(sys.argv[1])\n\
        step = (int(time.time()) + int(sys.argv[2])) // 30\n\
        mac = hmac.new(key, struct.pack('>Q', step), hashlib.sha1).digest()\n\
        at = mac[-1] & 15\n\
        print('%06d' % ((struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 1000000))";
    let output = Process::new("python3").args(["-c", script, secret, &offset_s.to_string()]).output().expect("runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_each_code_is_good_once() {
    let mut ecosystem = started().await;
    let mut ada = somebody(&ecosystem, "ada", Role::Operator).await;
    let mut elsewhere = Browser::new(&ecosystem);
    elsewhere.log_in("ada", PASSWORD, "");
    let page = ada.get("/account/second-factor");
    let (_, rest) = page.body.split_once("name=\"secret\" value=\"").expect("a secret");
    let secret = rest.split('"').next().expect("a value").to_owned();
    let set = |ada: &mut Browser, code: &str, password: &str| {
        let fields = [("secret", secret.as_str()), ("code", code), ("password", password)];
        ada.send("/account/second-factor", "/account/second-factor", &fields)
    };
    assert_eq!(set(&mut ada, "000000", PASSWORD).status, 422);
    assert_eq!(set(&mut ada, &code(&secret, 0), "another password").status, 403);
    let codes = set(&mut ada, &code(&secret, 0), PASSWORD);
    assert_eq!(codes.status, 200, "{}", codes.body);
    let codes: Vec<&str> =
        codes.body.lines().filter_map(|line| line.trim().strip_prefix("<li>")?.strip_suffix("</li>")).collect();
    assert_eq!(codes.len(), 10);
    assert!(ada.is_logged_in() && !elsewhere.is_logged_in());
    assert_eq!(elsewhere.log_in("ada", PASSWORD, "").status, 401);
    let good = code(&secret, 30);
    assert_eq!(elsewhere.log_in("ada", "wrong password", &good).status, 401);
    assert_eq!(elsewhere.log_in("ada", PASSWORD, &good).status, 303, "a failed try uses no code up");
    assert_eq!(Browser::new(&ecosystem).log_in("ada", PASSWORD, &good).status, 401, "it was used");
    assert_eq!(Browser::new(&ecosystem).log_in("ada", PASSWORD, codes[3]).status, 303);
    assert_eq!(Browser::new(&ecosystem).log_in("ada", PASSWORD, codes[3]).status, 401, "it was used");
    let remove = |browser: &mut Browser, password: &str| {
        browser.send("/account", "/account/second-factor/remove", &[("password", password)])
    };
    assert_eq!(remove(&mut ada, "another password").status, 403);
    assert_eq!(remove(&mut ada, PASSWORD).status, 303);
    assert_eq!(Browser::new(&ecosystem).log_in("ada", PASSWORD, "").status, 303);
    // Another password ends what the old one began.
    let change = [("current", PASSWORD), ("password", "staple of another kind"), ("again", "staple of another kind")];
    assert_eq!(ada.send("/account", "/account/password", &change).status, 303);
    assert!(ada.is_logged_in() && !elsewhere.is_logged_in());
    assert_eq!(elsewhere.log_in("ada", PASSWORD, "").status, 401);
    assert_eq!(elsewhere.log_in("ada", "staple of another kind", "").status, 303);
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

#[tokio::test]
async fn a_passkey_is_made_lets_in_and_opens_nothing_once_it_is_removed() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.write(&[Service::new("one")]);
    let manifest = std::fs::read_to_string(ecosystem.manifest()).expect("read");
    // Browsers make passkeys for names alone; this one is of the machine itself, and is trusted as such.
    let manifest = manifest.replace("listen = ", "ops = \"ops.localhost\"\nlisten = ");
    std::fs::write(ecosystem.manifest(), manifest).expect("written");
    support::repository::up(&ecosystem).await;
    let request = NewOperator { name: "ada".into(), role: Role::Admin };
    let after = ecosystem.client().await.add_operator(&request).await.expect("added");
    let link = after.invitation.expect("a link").link;
    let (origin, code) = link.split_once("/invite#").expect("a code behind the #");

    let ui = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    let mut node = tokio::process::Command::new("node");
    node.arg("drive-operators.mjs").current_dir(ui).kill_on_drop(true);
    node.env("URL", origin).env("NAME", "ada").env("PASSWORD", PASSWORD).env("INVITATION", code);
    let driven = node.output().await.expect("node runs (`make ui` installs what it needs)");
    let said = String::from_utf8_lossy(&driven.stdout);
    assert!(driven.status.success(), "{said}\n{}", String::from_utf8_lossy(&driven.stderr));

    let rows = written(&ecosystem).await;
    let outcomes = |what: &str, outcome: &str| {
        rows.iter()
            .filter(|row| row.starts_with("ada|") && row.contains(&format!("|{what}|")) && row.contains(outcome))
            .count()
    };
    assert_eq!((outcomes("login/passkey", "done"), outcomes("account/passkeys", "done")), (2, 1), "{rows:#?}");
    assert_eq!(outcomes("login/passkey", "refused: passkey: its count went back"), 1, "{rows:#?}");
    assert_eq!(outcomes("account/passkeys/remove", "done"), 1, "{rows:#?}");
    assert!(
        rows.iter().any(|row| row.starts_with("unknown|") && row.ends_with("refused: an unknown passkey")),
        "{rows:#?}"
    );
    ecosystem.down().await;
}

#[tokio::test]
async fn no_second_factor_lies_open_in_the_data_folder() {
    let mut ecosystem = started().await;
    let mut ada = somebody(&ecosystem, "ada", Role::Admin).await;
    let page = ada.get("/account/second-factor");
    let secret =
        page.body.split_once("name=\"secret\" value=\"").expect("a secret").1.split('"').next().expect("it").to_owned();
    let shown = [("secret", secret.as_str()), ("code", &code(&secret, 0)), ("password", PASSWORD)];
    assert_eq!(ada.send("/account/second-factor", "/account/second-factor", &shown).status, 200);
    let database = paths::database(&ecosystem.data());
    for file in [database.clone(), database.with_extension("db-wal")] {
        let text = std::fs::read(&file).unwrap_or_default();
        assert!(!text.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", file.display());
    }
    // It is still asked for, and right, after the control plane has begun anew.
    ecosystem.kill_control();
    ecosystem.start_control().await;
    let mut browser = Browser::new(&ecosystem);
    support::until("the door is open again", async || (browser.get("/login").status == 200).then_some(())).await;
    assert_eq!(browser.log_in("ada", PASSWORD, "000000").status, 401);
    assert_eq!(browser.log_in("ada", PASSWORD, &code(&secret, 30)).status, 303);
    ecosystem.down().await;
}
