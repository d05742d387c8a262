//! The operators' door: who comes in, and what reaches control from elsewhere.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command as Process, Stdio};

use mana_control::api::{Deploy, NewToken, PutBack, RolloutCommand, Scope};
use mana_control::client::{Client, ClientError};
use mana_delivery::rollout::{Command, Digest};

use support::repository::{Repository, SHOP, up};
use support::{Ecosystem, until};

async fn token(ecosystem: &Ecosystem, name: &str, scopes: &[Scope]) -> String {
    let request =
        NewToken { name: name.into(), scopes: scopes.iter().copied().collect::<BTreeSet<_>>(), days: Some(1) };
    ecosystem.client().await.make_token(&request).await.expect("made").token
}

fn at(listen: u16, token: &str) -> Client {
    at_host("127.0.0.1", listen, token)
}

fn at_host(host: &str, listen: u16, token: &str) -> Client {
    Client::server(&format!("http://{host}:{listen}"), token.to_owned().into()).expect("a client")
}

fn status(error: &ClientError) -> u16 {
    let ClientError::Refused(problem) = error else { panic!("{error}") };
    problem.status
}

/// What curl is answered: status and body.
fn curl(arguments: &[&str], body: &str) -> (u16, String) {
    let mut curl = Process::new("curl");
    curl.args(["--silent", "--write-out", "\n%{http_code}", "--max-time", "60", "--data-binary", "@-"]).args(arguments);
    let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl runs");
    child.stdin.take().expect("its input").write_all(body.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, code) = text.rsplit_once('\n').expect("a code");
    (code.parse().expect("a number"), body.to_owned())
}

/// As the documentation tells people to sign.
fn hmac(key: &str, text: &str) -> String {
    let mut openssl = Process::new("openssl");
    openssl.args(["dgst", "-sha256", "-hmac", key, "-r"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().expect("openssl runs");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().expect("a digest").to_owned()
}

// The door's host is the address that the tests ask.
const DOOR: &str = "ops = \"127.0.0.1\"\n";

#[tokio::test]
async fn only_a_token_lets_in_and_only_to_what_it_is_for() {
    let repository = Repository::with_environments("", "", DOOR).await;
    let (reader, deployer) = (
        token(&repository.production, "eve", &[Scope::Read]).await,
        token(&repository.production, "ci", &[Scope::Read, Scope::Deploy]).await,
    );
    let door = |token: &str| at(repository.listen, token);
    // Names below localhost are found, whatever the machine's resolver knows; the door is at another one here.
    assert_eq!(
        status(&at_host("ops.localhost", repository.listen, &reader).rollouts(None).await.expect_err("no such host")),
        404
    );
    assert_eq!(status(&door("mana_wrong").rollouts(None).await.expect_err("unknown")), 401);
    assert!(door(&reader).rollouts(None).await.expect("let in").is_empty());
    let deploy = Deploy { service: SHOP.into(), by: "somebody else".into(), ..Deploy::default() };
    assert_eq!(status(&door(&reader).deploy(&deploy).await.expect_err("a reader")), 403);
    let begun = door(&deployer).deploy(&deploy).await.expect("begun");
    assert_eq!(begun.started_by, "ci", "the token says who it is");
    let approve = RolloutCommand { by: "bob".into(), key: None, command: Command::Reject { comment: None } };
    assert_eq!(status(&door(&deployer).rollout_command(begun.number, &approve).await.expect_err("no approver")), 403);
    // What is for the owner of the socket alone is not there at all; who comes in is said by people who are logged in.
    let bearer = format!("authorization: Bearer {deployer}");
    for (path, code) in [("run", 404), ("apply", 404), ("down", 404), ("tokens", 403), ("operators", 403)] {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", repository.listen);
        assert_eq!(curl(&["-H", &bearer, "-H", "content-type: application/json", &url], "{}").0, code, "{path}");
    }
    let client = repository.production.client().await;
    assert_eq!(client.tokens().await.expect("listed").len(), 2);
    client.remove_token("ci").await.expect("taken back");
    assert_eq!(status(&door(&deployer).rollouts(None).await.expect_err("taken back")), 401);
    let log = std::fs::read_to_string(mana_control::paths::control_log(&repository.production.data())).expect("a log");
    assert!(!log.contains(&deployer), "no token in a log");
    repository.down().await;
}

#[tokio::test]
async fn staging_on_another_machine_gets_the_same_artefact_over_its_door() {
    let smoke =
        "[services.shop-backend.smoke.version]\nrequest = \"GET /env/VERSION\"\n[secrets]\nSTAGING_TOKEN = {}\n";
    let listen = support::free_port();
    let staging =
        format!("{DOOR}server = \"http://127.0.0.1:{listen}\"\nserver_token = \"${{secret.STAGING_TOKEN}}\"\n");
    let mut repository = Repository::with_environments(smoke, &staging, "").await;
    let text = std::fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let own = format!("listen = \"127.0.0.1:{}\"", repository.staging_listen);
    repository.write("mana.toml", &text.replace(&own, &format!("listen = \"127.0.0.1:{listen}\"")));
    repository.commit("where staging listens");
    up(&repository.production).await;
    let begun = repository.deploy(None).await.expect("begun");
    let ended = repository.reaches(begun.number, &["aborted"]).await;
    assert!(ended.why.as_ref().is_some_and(|why| why.contains("the secret STAGING_TOKEN is missing")), "{ended:#?}");
    // A machine of its own: another folder for its data, nothing of the repository's.
    let there = repository.production.beside("staging").await;
    up(&there).await;
    let token = token(&there, "production", &[Scope::Read, Scope::Deploy]).await;
    repository.staging = Some(there);
    mana_control::secrets::set(&repository.production.data(), "STAGING_TOKEN", &token.into()).expect("set");
    let begun = repository.deploy(None).await.expect("begun");
    let serves = repository.reaches(begun.number, &["window"]).await;
    let said = repository.said(begun.number).await;
    assert!(said.contains("staging: shop-backend") && said.contains("smoke version"), "{said}");
    let staging = repository.staging.as_ref().expect("there").client().await;
    let there = staging.rollouts(Some(SHOP)).await.expect("listed");
    assert_eq!((&there[0].new.digest, there[0].started_by.as_str()), (&serves.new.digest, "production"));
    let left = std::fs::read_dir(mana_control::paths::builds(&repository.production.data())).expect("read");
    let left: Vec<_> =
        left.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("passing")).collect();
    assert!(left.is_empty(), "{left:?}");
    repository.down().await;
}

#[tokio::test]
async fn a_signed_push_is_deployed_once() {
    let more = "[secrets]\nPUSH_SECRET = { generate = 32 }\n[services.shop-backend.production.more]\n";
    let more = more.replace("[services.shop-backend.production.more]\n", "");
    let door = format!("{DOOR}push_secret = \"${{secret.PUSH_SECRET}}\"\n");
    let repository = Repository::with_environments(&more, "", &door).await;
    let text = std::fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let text = text.replace(
        "rollout = { canary = [], warm = \"1h\", requests = 1 }",
        "rollout = { canary = [], warm = \"1h\", requests = 1, on_push = \"main\", staging = false }",
    );
    repository.write("mana.toml", &text);
    repository.commit("deployed by pushes");
    up(&repository.production).await;
    // Somebody else's clone is pushed to the repository that this one fetches from.
    let origin = tempfile::tempdir().expect("folder");
    let path = origin.path().display().to_string();
    repository.git(&["clone", "-q", "--bare", ".", &path]);
    repository.git(&["remote", "add", "origin", &path]);
    let here = repository.git(&["rev-parse", "HEAD"]);
    repository.write("version", "pushed");
    repository.commit("pushed");
    let pushed = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["push", "-q", "origin", "main"]);
    repository.git(&["reset", "-q", "--hard", &here]);
    let secrets = std::fs::read_to_string(mana_control::paths::secrets(&repository.production.data())).expect("read");
    let secrets: serde_json::Value = serde_json::from_str(&secrets).expect("JSON");
    let secret = find(&secrets, "PUSH_SECRET").expect("generated");
    let url = format!("http://127.0.0.1:{}/hooks/push", repository.listen);
    let say = |secret: &str, body: &str| {
        let signature = format!("x-hub-signature-256: sha256={}", hmac(secret, body));
        curl(&["-H", &signature, "-H", "content-type: application/json", &url], body)
    };
    let push = |branch: &str, commit: &str| format!("{{\"ref\":\"refs/heads/{branch}\",\"after\":\"{commit}\"}}");
    assert_eq!(say("wrong", &push("main", &pushed)).0, 401);
    assert_eq!(say(&secret, "no push").0, 422);
    assert_eq!(say(&secret, &push("other", &pushed)), (200, "[]".to_owned()));
    assert_eq!(say(&secret, &push("main", &"0".repeat(40))).0, 409);
    let (code, begun) = say(&secret, &push("main", &pushed));
    assert_eq!(code, 200, "{begun}");
    // The same once more, by the hook that the documentation gives.
    let file = origin.path().join("secret");
    std::fs::write(&file, format!("{secret}\n")).expect("written");
    let hook = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ci/post-receive");
    let mut hook = Process::new(hook);
    hook.env("MANA_PUSH_URL", &url).env("MANA_PUSH_SECRET_FILE", &file).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut hook = hook.spawn().expect("the hook runs");
    writeln!(hook.stdin.take().expect("its input"), "{here} {pushed} refs/heads/main").expect("written");
    let told = hook.wait_with_output().expect("it ends");
    assert!(told.status.success() && told.stderr.is_empty(), "{}", String::from_utf8_lossy(&told.stderr));
    repository.reaches(1, &["window"]).await;
    until("it serves", async || (repository.version().await == "pushed").then_some(())).await;
    let all = repository.production.client().await.rollouts(None).await.expect("listed");
    assert_eq!((all.len(), all[0].started_by.as_str()), (1, "push"));
    repository.down().await;
}

#[tokio::test]
async fn an_approval_comes_signed() {
    let repository = Repository::with_environments("", "", DOOR).await;
    let text = std::fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let text = text.replace(
        "rollout = { canary = [], warm = \"1h\", requests = 1 }",
        "rollout = { canary = [], warm = \"1h\", requests = 1, staging = false, approvers = [\"bob\"] }",
    );
    repository.write("mana.toml", &text);
    repository.commit("four eyes");
    up(&repository.production).await;
    let bob = token(&repository.production, "bob", &[Scope::Approve]).await;
    let begun = repository.deploy(None).await.expect("begun");
    let waits = repository.reaches(begun.number, &["awaiting-approval"]).await;
    let path = format!("/api/v1/rollouts/{}", begun.number);
    let url = format!("http://127.0.0.1:{}{path}", repository.listen);
    let digest = Digest(waits.new.digest.clone().expect("built"));
    let approve = RolloutCommand {
        by: String::new(),
        key: None,
        command: Command::Approve { digest, comment: Some("looked at it".into()) },
    };
    let body = serde_json::to_string(&approve).expect("JSON");
    let key = Process::new("sh")
        .args(["-c", &format!("printf %s {bob} | sha256sum | cut -d' ' -f1")])
        .output()
        .expect("runs");
    let key = String::from_utf8_lossy(&key.stdout).trim().to_owned();
    let signed = |seconds: i64| {
        let signature = hmac(&key, &format!("{seconds}.POST {path}.{body}"));
        let header = format!("mana-signature: name=bob,t={seconds},v1={signature}");
        curl(&["-H", &header, "-H", "content-type: application/json", &url], &body)
    };
    let now = Process::new("date").arg("+%s").output().expect("date runs");
    let now: i64 = String::from_utf8_lossy(&now.stdout).trim().parse().expect("a number");
    assert_eq!(signed(now - 1000).0, 401, "too old");
    let (code, said) = signed(now);
    assert_eq!(code, 200, "{said}");
    repository.reaches(begun.number, &["window"]).await;
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    repository.production.client().await.put_back(&put_back).await.expect("back");
    repository.down().await;
}

/// A value by its name, however deep.
fn find(json: &serde_json::Value, name: &str) -> Option<String> {
    let table = json.as_object()?;
    let own = table.get(name).and_then(|value| value.as_str().map(str::to_owned));
    own.or_else(|| table.values().find_map(|value| find(value, name)))
}

#[tokio::test]
async fn a_question_that_is_posted_needs_no_more_than_reading_and_is_no_change() {
    let repository = Repository::with_environments("", "", DOOR).await;
    let reader = token(&repository.production, "grafana", &[Scope::Read]).await;
    let bearer = format!("authorization: Bearer {reader}");
    let url = |call: &str| format!("http://127.0.0.1:{}/api/v1/{call}", repository.listen);
    let audited = async || repository.production.client().await.audit(1_000).await.expect("read").len();
    let before = audited().await;
    // As Grafana asks, which posts its questions. The first series are there within a round of scraping.
    until("an answer", async || {
        let (code, body) = curl(&["--header", &bearer, &url("query")], "query=mana_instances_ready");
        assert_ne!(code, 403, "{body}");
        (code == 200 && body.contains(SHOP)).then_some(())
    })
    .await;
    for (call, form) in
        [("query_range", "query=up&start=1700000000&end=1700000060&step=15"), ("labels", ""), ("series", "match[]=up")]
    {
        let (code, body) = curl(&["--header", &bearer, &url(call)], form);
        assert!(code == 200 && body.starts_with("{\"status\":\"success\""), "{call}: {code} {body}");
    }
    assert_eq!(curl(&["--header", &bearer, &url("query")], "query=sum(").0, 400);
    assert_eq!(curl(&[&url("query")], "query=up").0, 401, "not for strangers");
    assert_eq!(audited().await, before, "nothing was changed");
    assert_eq!(curl(&["--header", &bearer, &url("put-back")], "{}").0, 403);
    repository.down().await;
}
