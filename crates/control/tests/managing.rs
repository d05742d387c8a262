//! The pages for admins: operators, tokens and the audit log. Who sees them, what their forms do, and what is written down of it.

mod support;

use std::path::Path;

use mana_control::api::{NewOperator, NewToken, Role, Scope};
use mana_control::paths;

use support::people::{Browser, PASSWORD, invited, somebody, started, written};
use support::{Ecosystem, until};

const PAGE: &str = "accept: text/html";
const FORM: &str = "content-type: application/x-www-form-urlencoded";

/// Everything that is shown of them, page by page and part by part.
const SHOWN: [&str; 11] = [
    "/operators",
    "/operators/ada",
    "/audit",
    "/audit?who=ada",
    "/panels/operators",
    "/panels/sessions/ada",
    "/panels/tokens",
    "/panels/chain",
    "/panels/audit?who=ada",
    "/export/operators.json",
    "/export/audit.csv",
];

#[tokio::test]
async fn nobody_but_an_admin_who_is_logged_in_sees_or_changes_who_may_come_in() {
    let mut ecosystem = started().await;
    let client = ecosystem.client().await;
    let mut ada = somebody(&ecosystem, "ada", Role::Admin).await;
    let others = [("vera", Role::Viewer), ("oscar", Role::Operator), ("anna", Role::Approver)];
    let mut browsers = Vec::new();
    for (name, role) in others {
        browsers.push((name, somebody(&ecosystem, name, role).await));
    }
    let scopes = Scope::ALL.into_iter().collect();
    let token = client.make_token(&NewToken { name: "ci".into(), scopes, days: None }).await.expect("made").token;
    let bearer = format!("authorization: Bearer {token}");
    let mut script = Browser::new(&ecosystem);
    let mut stranger = Browser::new(&ecosystem);
    for path in SHOWN {
        assert_eq!(ada.get(path).status, 200, "{path}");
        assert_eq!(stranger.get(path).status, 401, "{path}");
        assert_eq!(script.ask("GET", path, &[&bearer], "").status, 403, "a token, {path}");
        for (name, browser) in &mut browsers {
            let refused = browser.ask("GET", path, &[PAGE], "");
            assert!(refused.status == 403 && refused.body.contains("takes admin"), "{name}, {path}: {refused:?}");
        }
    }
    for to in ["/operators", "/operators/ada/disable", "/operators/vera/role", "/tokens", "/tokens/ci/revoke"] {
        let fields = [("name", "eve"), ("role", "admin"), ("scopes", "read"), ("password", PASSWORD)];
        for (name, browser) in &mut browsers {
            assert_eq!(browser.send("/account", to, &fields).status, 403, "{name}, {to}");
        }
        assert_eq!(script.ask("POST", to, &[&bearer, FORM], "role=admin&name=eve&scopes=read").status, 403, "{to}");
        // An admin's cookie alone changes nothing.
        assert_eq!(ada.ask("POST", to, &[FORM], "role=admin&name=eve&scopes=read").status, 403, "{to}");
    }
    let operators = client.operators().await.expect("listed");
    let roles: Vec<_> = operators.iter().map(|one| (one.name.as_str(), one.role, one.disabled)).collect();
    let as_before = [
        ("ada", Role::Admin, false),
        ("anna", Role::Approver, false),
        ("oscar", Role::Operator, false),
        ("vera", Role::Viewer, false),
    ];
    assert_eq!(roles, as_before);
    assert_eq!(client.tokens().await.expect("listed").len(), 1);
    // The way there is shown to whoever may go it.
    let link = "href=\"/operators\"";
    assert!(ada.ask("GET", "/", &[PAGE], "").body.contains(link));
    assert!(!browsers[0].1.ask("GET", "/", &[PAGE], "").body.contains(link));
    ecosystem.down().await;
}

/// What one of the forms is answered, with the password of whoever sends it.
fn send(browser: &mut Browser, to: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let answer = browser.send("/operators", to, &[fields, &[("password", PASSWORD)][..]].concat());
    (answer.status, answer.body)
}

#[tokio::test]
async fn what_a_form_changes_is_what_the_api_changes_and_one_row_of_the_audit_log() {
    let mut ecosystem = started().await;
    let client = ecosystem.client().await;
    let mut ada = somebody(&ecosystem, "ada", Role::Admin).await;
    let mut bob = somebody(&ecosystem, "bob", Role::Viewer).await;
    let before = written(&ecosystem).await.len();

    // What lets somebody in asks for the password of whoever presses the button.
    for (to, fields) in [
        ("/operators", &[("name", "eve"), ("role", "admin")][..]),
        ("/operators/bob/role", &[("role", "admin")]),
        ("/operators/bob/reset", &[]),
        ("/operators/bob/enable", &[]),
        ("/tokens", &[("name", "ci"), ("scopes", "read")]),
    ] {
        let refused = ada.send("/operators", to, &[fields, &[("password", "wrong password")][..]].concat());
        assert!(refused.status == 403 && refused.body.contains("your password is another"), "{to}: {refused:?}");
    }
    assert_eq!(ada.send("/operators", "/operators/bob/role", &[("role", "admin")]).status, 403, "none at all");
    assert!(bob.is_logged_in());
    assert_eq!(client.operators().await.expect("listed")[1].role, Role::Viewer);
    assert!(client.tokens().await.expect("listed").is_empty());

    assert_eq!(send(&mut ada, "/operators/bob/role", &[("role", "operator")]).0, 303);
    assert_eq!(client.operators().await.expect("listed")[1].role, Role::Operator);
    let session = client.operator_sessions("bob").await.expect("listed")[0].id.clone();
    assert_eq!(ada.send("/operators/bob", "/operators/bob/revoke", &[("session", &session)]).status, 303);
    assert!(!bob.is_logged_in());
    assert_eq!(ada.send("/operators/bob", "/operators/bob/revoke", &[("session", "nothing")]).status, 404);
    assert_eq!(bob.log_in("bob", PASSWORD, "").status, 303);
    assert_eq!(ada.send("/operators/bob", "/operators/bob/disable", &[]).status, 303);
    assert!(!bob.is_logged_in());
    assert_eq!(send(&mut ada, "/operators/bob/enable", &[]).0, 303);
    let (status, page) = send(&mut ada, "/operators/bob/reset", &[]);
    assert!(status == 200 && page.contains("/invite#"), "{page}");
    let (status, page) = send(&mut ada, "/operators", &[("name", "eve"), ("role", "viewer")]);
    assert!(status == 200 && page.contains("/invite#"), "{page}");
    assert!(!ada.get("/operators").body.contains("/invite#"), "it is shown once");
    assert_eq!(send(&mut ada, "/operators", &[("name", "<b>eve"), ("role", "viewer")]).0, 422);
    assert_eq!(send(&mut ada, "/operators/bob/role", &[("role", "owner")]).0, 422);
    assert_eq!(send(&mut ada, "/operators/nobody/role", &[("role", "viewer")]).0, 404);
    assert_eq!(send(&mut ada, "/operators/bob/delete", &[]).0, 404);
    // Nobody takes away their own access, so one admin stays.
    for (command, fields) in [("role", &[("role", "viewer")][..]), ("disable", &[]), ("reset", &[])] {
        assert_eq!(send(&mut ada, &format!("/operators/ada/{command}"), fields).0, 409, "{command}");
    }

    let (status, page) = send(&mut ada, "/tokens", &[("name", "ci"), ("scopes", "read"), ("scopes", "deploy")]);
    let token = page.split_once("<code id=\"once\">").expect("a token").1.split('<').next().expect("it").to_owned();
    assert!(status == 200 && token.starts_with("mana_"), "{page}");
    let bearer = format!("authorization: Bearer {token}");
    let mut script = Browser::new(&ecosystem);
    assert_eq!(client.tokens().await.expect("listed")[0].used_at, None);
    assert_eq!(script.ask("GET", "/api/v1/status", &[&bearer], "").status, 200);
    assert!(client.tokens().await.expect("listed")[0].used_at.is_some());
    let listed = until("the panel is made anew", async || {
        let panel = ada.get("/panels/tokens").body;
        (!panel.contains("never</span>")).then_some(panel)
    })
    .await;
    assert!(listed.contains("read, deploy") && !listed.contains(&token), "{listed}");
    assert_eq!(send(&mut ada, "/tokens", &[("name", "ci"), ("scopes", "read")]).0, 409);
    assert_eq!(send(&mut ada, "/tokens", &[("name", "none")]).0, 422);
    assert_eq!(ada.send("/operators", "/tokens/ci/revoke", &[]).status, 303);
    assert_eq!(script.ask("GET", "/api/v1/status", &[&bearer], "").status, 401);
    assert_eq!(ada.send("/operators", "/tokens/ci/revoke", &[]).status, 404);

    let rows = written(&ecosystem).await;
    let of_ada = rows[before..].iter().filter_map(|row| row.strip_prefix("ada|127.0.0.1|"));
    let done: Vec<&str> = of_ada.filter_map(|row| row.strip_suffix("|done")).collect();
    let revoked = format!("revoke operator|bob {session}");
    assert_eq!(
        done,
        [
            "role operator|bob operator",
            &revoked,
            "disable operator|bob",
            "enable operator|bob",
            "reset operator|bob",
            "add operator|eve viewer",
            "make token|ci read,deploy",
            "revoke token|ci",
        ],
        "one row each"
    );
    for expected in [
        "ada|127.0.0.1|make token|ci read|refused: this was not done",
        "ada|127.0.0.1|add operator|<b>eve viewer|refused: that is no name",
        "ada|127.0.0.1|disable operator|ada|refused: nobody takes away their own access",
    ] {
        assert!(rows.iter().any(|row| row == expected), "{expected} is not in {rows:#?}");
    }
    assert!(!rows.iter().any(|row| row.contains(PASSWORD) || row.contains(&token)));
    assert!(client.check_audit().await.expect("checked").broken.is_none());
    ecosystem.down().await;
}

#[tokio::test]
async fn the_audit_log_is_searched_page_by_page_and_says_who_changed_it() {
    let mut ecosystem = started().await;
    let mut ada = somebody(&ecosystem, "ada", Role::Admin).await;
    let client = ecosystem.client().await.speaking_for("root@desk");
    for name in ["one", "two", "three", "four", "five"] {
        client.add_operator(&NewOperator { name: name.into(), role: Role::Viewer }).await.expect("added");
    }
    let markup = NewOperator { name: "<script>\"&".into(), role: Role::Viewer };
    client.add_operator(&markup).await.err().expect("that is no name");

    let rows = |ada: &mut Browser, query: &str| -> Vec<u64> {
        let answer = ada.get(&format!("/export/audit.json{query}"));
        assert_eq!(answer.status, 200, "{query}");
        let rows: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        rows.as_array().expect("rows").iter().map(|row| row["number"].as_u64().expect("a number")).collect()
    };
    let all = rows(&mut ada, "");
    assert!(all.is_sorted_by(|a, b| a > b), "newest first: {all:?}");
    assert_eq!((all.last(), all.len() as u64), (Some(&1), all[0]), "all of them");
    let added = rows(&mut ada, "?who=root@desk&what=ADD&target=viewer");
    assert_eq!(added.len(), 6);
    let first = rows(&mut ada, "?who=root@desk&rows=4");
    assert_eq!(first, added[..4]);
    assert_eq!(rows(&mut ada, &format!("?who=root@desk&rows=4&before={}", first[3])), added[4..]);
    assert_eq!(rows(&mut ada, "?target=three").len(), 1);
    assert!(rows(&mut ada, "?who=root").is_empty(), "a name as it is written");
    assert!(rows(&mut ada, "?to=2020-01-01T00:00").is_empty());
    assert_eq!(rows(&mut ada, "?from=2020-01-01T00:00"), all);
    let page = ada.get("/panels/audit?who=root%40desk&rows=4").body;
    let older = format!("/audit?who=root%40desk&#38;before={}&#38;rows=4", first[3]);
    assert!(page.contains(&older), "{older}: {page}");
    assert!(page.contains("&#60;script&#62;") && !page.contains("<script"), "{page}");
    assert!(ada.get("/export/audit.csv?target=script").body.contains("\"<script>\"\"& viewer\""));
    for (query, why) in [("from=yesterday", "is no time"), ("before=x", "is no number of a row")] {
        let panel = ada.get(&format!("/panels/audit?{query}")).body;
        assert!(panel.contains("role=\"alert\"") && panel.contains(why), "{panel}");
    }

    // Somebody changes a row, before anybody has looked.
    let number = added[5];
    let sql = format!("DROP TRIGGER audit_is_not_changed; UPDATE audit SET who = 'mallory' WHERE number = {number};");
    let memory = rusqlite::Connection::open(paths::database(&ecosystem.data())).expect("open");
    memory.busy_timeout(std::time::Duration::from_secs(5)).expect("set");
    memory.execute_batch(&sql).expect("tampered");
    let chain = ada.get("/panels/chain").body;
    let said = format!("row {number}: it is not what was written");
    assert!(chain.contains("Not as it was written") && chain.contains(&said), "{chain}");
    let page = ada.ask("GET", "/audit?target=%22%3E%3Cb%3E&who=ada", &[PAGE], "");
    assert!(page.status == 200 && !page.body.contains("\"><b>"), "{}", page.body);
    assert!(page.body.contains("value=\"&#34;&#62;&#60;b&#62;\"") && page.body.contains("value=\"ada\""));
    ecosystem.down().await;
}

#[tokio::test]
async fn every_page_and_form_for_admins_works_in_a_browser() {
    let mut ecosystem: Ecosystem = started().await;
    let code = invited(&ecosystem, "ada", Role::Admin).await;
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    let mut node = tokio::process::Command::new("node");
    node.arg("drive-managing.mjs").current_dir(ui).kill_on_drop(true);
    node.env("URL", format!("http://127.0.0.1:{}", ecosystem.listen)).env("INVITATION", code).env("PASSWORD", PASSWORD);
    let driven = node.output().await.expect("node runs (`make ui` installs what it needs)");
    let said = String::from_utf8_lossy(&driven.stdout);
    assert!(driven.status.success(), "{said}\n{}", String::from_utf8_lossy(&driven.stderr));
    println!("{said}");
    let rows = written(&ecosystem).await;
    let count = |row: &str| rows.iter().filter(|found| found.starts_with(row) && found.ends_with("|done")).count();
    for (row, expected) in [
        ("ada|127.0.0.1|add operator|bob viewer", 1),
        ("ada|127.0.0.1|role operator|bob operator", 1),
        ("ada|127.0.0.1|revoke operator|bob ", 1),
        ("ada|127.0.0.1|make token|ci read", 1),
        ("ada|127.0.0.1|revoke token|ci", 1),
    ] {
        assert_eq!(count(row), expected, "{row}: {rows:#?}");
    }
    ecosystem.down().await;
}
