//! What people change is one row of the audit log, written with the change: neither is there without the other.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use mana_control::api::{NewToken, PutBack, Restart, RunRequest, Scope};
use mana_control::client::ClientError;
use mana_control::paths;
use mana_delivery::rollout::Command;

use support::shop::{SHOP, command, deploy, reaches, release, up, version};
use support::{Ecosystem, all};

/// What was done to what and how it ended, oldest first, from that row on.
async fn rows(ecosystem: &Ecosystem, from: usize) -> Vec<(String, String, String)> {
    let mut rows = ecosystem.client().await.audit(1_000).await.expect("read");
    rows.reverse();
    rows.into_iter().skip(from).map(|row| (row.what, row.target, row.outcome)).collect()
}

fn row(what: &str, target: &str, outcome: &str) -> (String, String, String) {
    (what.to_owned(), target.to_owned(), outcome.to_owned())
}

#[tokio::test]
async fn a_change_is_one_row_whatever_came_of_it() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"1h\", requests = 1 }").await;
    release(&ecosystem, "v1", "");
    let before = rows(&ecosystem, 0).await;
    let manifest = ecosystem.manifest().display().to_string();
    assert_eq!(before, [row("apply", &manifest, "done")]);
    let client = ecosystem.client().await;

    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["window"]).await;
    let back = PutBack { service: SHOP.into(), by: "ada".into(), slot: Some("blue".into()), release: None, key: None };
    client.put_back(&back).await.expect("taken");
    // Once more: it holds already, and that is a row as well.
    client.put_back(&back).await.expect("taken");
    command(&ecosystem, number, "ada", Command::Retry).await.expect_err("it is under way");
    command(&ecosystem, number, "ada", Command::Abort).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    all(client.restart(&Restart { service: SHOP.into() }).await.expect("asked")).await;
    client.run(&RunRequest { service: SHOP.into(), args: Vec::new() }).await.expect("told");
    let token = NewToken { name: "ci".into(), scopes: BTreeSet::from([Scope::Read]), days: Some(1) };
    client.make_token(&token).await.expect("made");
    client.remove_token("ci").await.expect("removed");
    assert_eq!(
        rows(&ecosystem, 1).await,
        [
            row("deploy", "shop-backend v1", "done"),
            row("roll back", "shop-backend blue", "done"),
            row("roll back", "shop-backend blue", "done"),
            row("retry", "rollout 1", "refused: this does not fit the present state"),
            row("abort", "rollout 1", "done"),
            row("restart", SHOP, "done"),
            row("run", SHOP, "done"),
            row("make token", "ci read", "done"),
            row("revoke token", "ci", "done"),
        ]
    );
    assert!(client.check_audit().await.expect("checked").broken.is_none());
    ecosystem.down().await;
    // The last row of all is that everything was to go down.
    let memory = rusqlite::Connection::open(paths::database(&ecosystem.data())).expect("open");
    let query = "SELECT what || ' ' || outcome FROM audit ORDER BY number DESC LIMIT 2";
    let mut query = memory.prepare(query).expect("a query");
    let last: Vec<String> =
        query.query_map([], |row| row.get(0)).expect("asked").map(|row| row.expect("read")).collect();
    assert_eq!(last, ["down done", "revoke token done"]);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"1h\", requests = 1 }").await;
    release(&ecosystem, "v1", "");
    let memory = rusqlite::Connection::open(paths::database(&ecosystem.data())).expect("open");
    memory.busy_timeout(Duration::from_secs(5)).expect("set");
    memory
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        .expect("made");
    let client = ecosystem.client().await;
    let pid = ecosystem.pid(SHOP).await;
    let request = mana_control::api::Deploy {
        service: SHOP.into(),
        release: Some("v1".into()),
        by: "ada".into(),
        ..mana_control::api::Deploy::default()
    };
    client.deploy(&request).await.expect_err("no row, no rollout");
    client.restart(&Restart { service: SHOP.into() }).await.expect_err("no row, no restart");
    let run = RunRequest { service: SHOP.into(), args: Vec::new() };
    let refused = client.run(&run).await.err().expect("no row, no secrets");
    assert!(matches!(&refused, ClientError::Refused(problem) if problem.status == 503), "{refused}");
    let token = NewToken { name: "ci".into(), scopes: BTreeSet::from([Scope::Read]), days: None };
    client.make_token(&token).await.err().expect("no row, no token");
    memory.execute_batch("DROP TRIGGER full").expect("dropped");
    assert!(client.rollouts(None).await.expect("listed").is_empty());
    assert!(client.tokens().await.expect("listed").is_empty());
    assert_eq!((ecosystem.pid(SHOP).await, version(&ecosystem).await.as_str()), (pid, "v0"));
    assert!(rows(&ecosystem, 1).await.is_empty(), "nor is there a row of anything");
    deploy(&ecosystem, "v1").await;
    reaches(&ecosystem, 1, &["window"]).await;
    ecosystem.down().await;
}
