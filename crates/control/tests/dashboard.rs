//! The operators' pages: who sees them, what they say, and what their buttons do, over HTTP and in a real browser.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command as Process;

use mana_control::api::{NewToken, Role, Scope};

use support::people::invitation;
use support::repository::{Repository, SHOP, up};
use support::webhook::webhook;
use support::{Ecosystem, Load, free_port, until};

const DOOR: &str = "ops = \"127.0.0.1\"\n";

async fn token(ecosystem: &Ecosystem, name: &str, scopes: &[Scope]) -> String {
    let request =
        NewToken { name: name.into(), scopes: scopes.iter().copied().collect::<BTreeSet<_>>(), days: Some(1) };
    ecosystem.client().await.make_token(&request).await.expect("made").token
}

/// Headers and body of what curl is answered, with its status first.
fn curl(url: &str, arguments: &[&str]) -> (u16, String) {
    let mut curl = Process::new("curl");
    curl.args(["--silent", "--include", "--max-time", "30", "--write-out", "\n%{http_code}"]).args(arguments).arg(url);
    let output = curl.output().expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (answer, code) = text.rsplit_once('\n').expect("a code");
    (code.parse().expect("a number"), answer.to_owned())
}

/// A shop whose rollouts bob has to approve, with one that waits for him, a database in a file, and something that it depends on.
async fn shop(hook: u16) -> (Repository, u64) {
    let repository = Repository::with_environments("", "", &format!("{DOOR}scheme = \"http\"\n")).await;
    let text = std::fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let books = repository.folder().join("data/books.db");
    rusqlite::Connection::open(&books)
        .and_then(|db| db.execute_batch("CREATE TABLE books (title TEXT)"))
        .expect("made");
    let text = text.replace(
        "rollout = { canary = [], warm = \"1h\", requests = 1 }",
        &format!(
            "env = {{ GREETING = \"hello\", API_TOKEN = \"written-down\", BOOKS_URL = \"sqlite://{}\" }}\n\
             rollout = {{ canary = [], warm = \"1h\", requests = 1, staging = false, approvers = [\"bob\"] }}",
            books.display()
        ),
    );
    let text = format!(
        "{text}\n[notifications.team]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{hook}/hook\"\nsecret = \"${{secret.HOOK}}\"\nevents = [\"page\"]\n\n[dependencies.model]\nurl = \"tcp://127.0.0.1:{}\"\n\n[secrets]\nHOOK = {{ generate = 16 }}\n",
        repository.port
    );
    repository.write("mana.toml", &text);
    repository.commit("four eyes");
    up(&repository.production).await;
    let begun = repository.deploy(None).await.expect("begun");
    repository.reaches(begun.number, &["awaiting-approval"]).await;
    (repository, begun.number)
}

#[tokio::test]
async fn pages_are_for_those_who_may_see_them_and_say_only_what_is_known() {
    let (repository, rollout) = shop(free_port()).await;
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", repository.listen);
    let reader = format!("authorization: Bearer {}", token(&repository.production, "eve", &[Scope::Read]).await);
    let approver = format!("authorization: Bearer {}", token(&repository.production, "zoe", &[Scope::Approve]).await);
    let page = "accept: text/html";

    // A stranger is shown where to log in, or told so as the API says it, and gets nothing but pictures and scripts.
    for path in
        ["/", "/services/shop-backend", "/rollouts", "/logs", "/live?panels=health", "/data/p95", "/export/health.csv"]
    {
        assert_eq!(curl(&at(path), &[]).0, 401, "{path}");
    }
    let (code, refused) = curl(&at("/"), &["-H", page]);
    assert!(code == 303 && refused.contains("location: /login?next=%2F") && !refused.contains(SHOP), "{refused}");
    assert_eq!(curl(&at("/favicon.svg"), &[]).0, 200);
    assert_eq!(curl(&at("/"), &["-H", &approver]).0, 403, "an approver without the right to look");

    // What is known stands there; what is not measured is said to be that.
    let (code, overview) = curl(&at("/"), &["-H", &reader, "-H", page]);
    assert_eq!(code, 200);
    let headers = overview.split_once("\r\n\r\n").expect("a head").0.to_ascii_lowercase();
    assert!(headers.contains("content-security-policy: default-src 'self'"), "{headers}");
    assert!(!headers.contains("unsafe"), "{headers}");
    for absent in [" style=\"", "<script>", "onclick="] {
        assert!(!overview.contains(absent), "nothing is inline: {absent}");
    }
    // But what the page looks like, which the policy knows: a browser takes nothing else.
    assert!(overview.matches("<style").count() == 1 && headers.contains("style-src 'self' 'sha256-"), "{headers}");
    let (code, health) = until("the first round of scraping", async || {
        let (code, health) = curl(&at("/export/health.json"), &["-H", &reader]);
        health.contains("\"services_up\"").then_some((code, health))
    })
    .await;
    assert_eq!(code, 200);
    let body = health.split_once("\r\n\r\n").expect("a head").1;
    let table: serde_json::Value = serde_json::from_str(body.trim()).expect("JSON");
    let errors = table.as_array().expect("rows").iter().find(|row| row["figure"] == "error_share").expect("a row");
    assert_eq!((&errors["value"], &errors["state"]), (&serde_json::Value::Null, &serde_json::json!("unknown")));

    let (code, service) = curl(&at("/services/shop-backend"), &["-H", &reader, "-H", page]);
    assert_eq!(code, 200);
    assert!(service.contains("GREETING") && service.contains("hello"), "its configuration is shown");
    assert!(!service.contains("written-down"), "but nothing that looks like a secret");
    assert!(!service.contains("Roll shop-backend back"), "a reader sees no button");
    for (path, code) in [
        ("/services/nothing", 404),
        ("/rollouts/99", 404),
        ("/panels/nothing", 404),
        ("/export/health.xml", 404),
        ("/data/nothing", 404),
        ("/data/p95?last=yesterday", 422),
        ("/data/requests?service=a%22%7D", 422),
        ("/logs?service=nothing", 404),
        ("/incidents/99", 404),
        ("/incidents/99/post-mortem.md", 404),
    ] {
        assert_eq!(curl(&at(path), &["-H", &reader]).0, code, "{path}");
    }

    // A reader sees what is watched and what went wrong, and changes nothing of it.
    for (path, says) in
        [("/alerts", "ServiceDown"), ("/incidents", "There was none"), ("/requests/r-1", "The edge has no line of it")]
    {
        let text = until(path, async || {
            let (code, text) = curl(&at(path), &["-H", &reader, "-H", page]);
            (code == 200 && text.contains(says)).then_some(text)
        })
        .await;
        assert!(!text.contains("<form class=\"stack\"") && !text.contains("formaction"), "{path}: {text}");
    }
    for path in ["/alerts/test", "/alerts/silence", "/alerts/channels/team/test", "/incidents", "/incidents/1/post"] {
        let form = "csrf=&severity=P1&title=x&text=x&conditions=a%3Db&for=1h&reason=x";
        assert_eq!(curl(&at(path), &["-H", &reader, "--data", form]).0, 403, "{path}");
    }

    // Buttons are for those who may press them, and only from our own pages.
    let press = at(&format!("/rollouts/{rollout}/abort"));
    assert_eq!(curl(&press, &["-H", &reader, "--data", "csrf="]).0, 403);
    let deployer =
        format!("authorization: Bearer {}", token(&repository.production, "ci", &[Scope::Read, Scope::Deploy]).await);
    let foreign = "sec-fetch-site: cross-site";
    assert_eq!(curl(&press, &["-H", &deployer, "-H", foreign, "--data", "csrf="]).0, 403);
    let approve = at(&format!("/rollouts/{rollout}/approve"));
    // Whoever asks for no page is told why as the API says it, whoever does by a page; the audit log has the reason either way.
    let (code, told) = curl(&approve, &["-H", &deployer, "--data", "digest=abc"]);
    assert!(code == 403 && told.contains("application/problem+json"), "no approver: {told}");
    let (code, told) = curl(&approve, &["-H", &deployer, "-H", page, "--data", "digest=abc&comment=mine"]);
    assert!(code == 403 && told.contains("<h1>this token does not allow it</h1>"), "{told}");
    let audited = repository.production.client().await.audit(1).await.expect("read");
    let refused = audited.first().expect("a row");
    assert_eq!(
        (refused.what.as_str(), refused.target.as_str(), refused.outcome.as_str()),
        ("approve", format!("rollout {rollout}: mine").as_str(), "refused: this token does not allow it")
    );
    assert_eq!(
        repository.production.client().await.rollout_view(rollout).await.expect("known").stage,
        "awaiting-approval"
    );
    assert_eq!(curl(&at("/incidents"), &["-H", &deployer, "-H", foreign, "--data", "severity=P1&title=x"]).0, 403);
    assert_eq!(curl(&at("/incidents"), &["-H", &deployer, "--data", "severity=P3&title=Slow"]).0, 303);
    assert_eq!(curl(&at("/incidents/1/post"), &["-H", &deployer, "--data", "text=We+know"]).0, 303);
    assert_eq!(curl(&at("/incidents/1/promote"), &["-H", &deployer, "--data", "text=x"]).0, 404);
    let silence = "conditions=service%3Dshop-backend&for=1h&reason=a+new+disk";
    assert_eq!(curl(&at("/alerts/silence"), &["-H", &deployer, "--data", silence]).0, 303);
    let audited = repository.production.client().await.audit(10).await.expect("read");
    let silenced: Vec<_> = audited.iter().filter(|entry| entry.what == "alerts/silence").collect();
    let said: Vec<_> = silenced.iter().map(|entry| (entry.target.as_str(), entry.outcome.as_str())).collect();
    let target = "service=shop-backend for 1h: a new disk";
    assert_eq!(said, [(target, "done"), (target, "asked for")], "newest first");
    let posted = audited.iter().find(|entry| entry.what == "incidents/1/post").expect("in the audit log");
    assert_eq!((posted.who.as_str(), posted.outcome.as_str()), ("ci", "done"));
    assert_eq!(curl(&press, &["-H", &deployer, "--data", "csrf="]).0, 303);
    repository.reaches(rollout, &["aborted"]).await;

    // Who may no longer look is told nothing more, on pages that are open as well.
    let heads = tempfile::tempdir().expect("a folder");
    let mut streams = Vec::new();
    for (name, path) in [("live", "/live?panels=health"), ("logs", "/logs/live")] {
        let head = heads.path().join(name);
        let mut curl = Process::new("curl");
        curl.args(["--silent", "--no-buffer", "--max-time", "60", "--output", "/dev/null", "-H", &reader]);
        curl.arg("--dump-header").arg(&head).arg(at(path));
        streams.push((path, curl.spawn().expect("curl runs")));
        until(path, async || std::fs::read_to_string(&head).ok().filter(|head| head.contains(" 200 "))).await;
    }
    repository.production.client().await.remove_token("eve").await.expect("taken back");
    for (path, mut stream) in streams {
        let ended = until(path, async || stream.try_wait().expect("asked")).await;
        assert!(ended.success(), "{path} was ended from here: {ended}");
    }
    repository.down().await;
}

#[tokio::test]
async fn every_page_and_button_works_in_a_browser() {
    let hook = free_port();
    let taken = webhook(hook).await;
    let (repository, rollout) = shop(hook).await;
    let bob = invitation(&repository.production, "bob", Role::Approver).await;
    let load = Load::with_pauses(repository.port, "/work", std::time::Duration::from_millis(50));
    let service = repository.production.service(SHOP).await;
    let log = service.instances.first().expect("an instance").log_file.clone();
    let requests = format!("sum(rate(mana_edge_requests_total{{route=\"{SHOP}\"}}[1m])) > 0");
    for measured in [requests.as_str(), "mana_sqlite_size_bytes{database=\"books\"}", "mana_dependency_up == 1"] {
        until(measured, async || {
            let answer = repository.production.client().await.query(measured).await.ok()?;
            answer["data"]["result"].as_array().filter(|found| !found.is_empty()).map(|_| ())
        })
        .await;
    }
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    let mut node = tokio::process::Command::new("node");
    node.arg("drive-dashboard.mjs").current_dir(ui).kill_on_drop(true);
    node.env("INVITATION", bob);
    node.env("SERVICE", SHOP).env("ROLLOUT", rollout.to_string()).env("LOG", log);
    node.env("ASKED", format!("http://127.0.0.1:{}/work", repository.port));
    let driven = node.output().await.expect("node runs (`make ui` installs what it needs)");
    let said = String::from_utf8_lossy(&driven.stdout);
    assert!(driven.status.success(), "{said}\n{}", String::from_utf8_lossy(&driven.stderr));
    println!("{said}");
    drop(load);
    let taken = taken.lock().expect("no panic").clone();
    let tests = taken
        .values()
        .flatten()
        .filter(|body| body["title"].as_str().is_some_and(|title| title.starts_with("Test of")));
    assert_eq!(tests.count(), 3, "the channel was tested once in each look: {taken:#?}");
    repository.down().await;
}

/// Bytes over the wire of what a browser is answered.
fn weighed(url: &str, token: &str) -> u64 {
    let mut curl = Process::new("curl");
    curl.args(["--silent", "--fail", "--max-time", "30", "--output", "/dev/null", "--write-out", "%{size_download}"]);
    curl.args(["-H", token, "-H", "accept: text/html", "-H", "accept-encoding: gzip, deflate, br, zstd"]).arg(url);
    let output = curl.output().expect("curl runs");
    assert!(output.status.success(), "{url}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).parse().expect("a number")
}

#[tokio::test]
async fn a_cold_overview_of_fifty_services_is_light() {
    let mut ecosystem = Ecosystem::start().await;
    let listen = ecosystem.listen;
    let mut manifest = format!(
        "name = \"small\"\ndomain = \"small.example\"\n[environments.development]\nlisten = \"127.0.0.1:{listen}\"\n{DOOR}"
    );
    for number in 1..=50 {
        write!(manifest, "[projects.p{number}]\n[services.p{number}-landing]\nfolder = \"site\"\n").expect("text");
    }
    std::fs::write(ecosystem.manifest(), manifest).expect("written");
    let site = ecosystem.folder.path().join("site");
    std::fs::create_dir(&site).expect("made");
    std::fs::write(site.join("index.html"), "<h1>Shop</h1>").expect("written");
    up(&ecosystem).await;
    let reader = format!("authorization: Bearer {}", token(&ecosystem, "eve", &[Scope::Read]).await);
    let at = |path: &str| format!("http://127.0.0.1:{listen}{path}");
    let page = until("all services are on the page", async || {
        let (_, page) = curl(&at("/"), &["-H", &reader, "-H", "accept: text/html"]);
        page.contains("p50-landing").then_some(page)
    })
    .await;
    let is_asset = |part: &&str| part.starts_with("/assets/") || *part == "/favicon.svg";
    let assets: Vec<&str> = page.split('"').filter(is_asset).collect();
    assert!(assets.len() >= 3, "{assets:?}");
    let own = weighed(&at("/"), &reader);
    assert!(own < 20_000, "the page weighs {own} bytes");
    // What comes later where it was not there in time, too.
    let panels = ["health", "services", "latency", "resources", "alerts", "databases", "dependencies"];
    let panels = panels.map(|name| format!("/panels/{name}"));
    let others = assets.into_iter().chain(panels.iter().map(String::as_str));
    let all = own + others.map(|path| weighed(&at(path), &reader)).sum::<u64>();
    // Of 150 kB; the rest is for a day of twelve services in the chart.
    assert!(all < 100_000, "page, panels, script and style weigh {all} bytes");
    ecosystem.down().await;
}
