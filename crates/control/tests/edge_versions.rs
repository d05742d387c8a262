//! The edge's own versions: a new one takes over, a bad one is gone back on, by a person or by itself.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mana_control::api::{EdgeChange, Event};
use support::{Ecosystem, Load, Service, all, example, until};

const GOOD: &str = "exec";
/// Does not get up.
const BROKEN: &str = "exit 1; exec";
/// Serves for a while.
const CRASHES: &str = "( sleep 2; kill -9 $$ ) & exec";

/// As an installer does it: a new file takes the place of the old one.
fn install(program: &Path, what: &str, version: &str) {
    let new = program.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n# {version}\n{what} {} \"$@\"\n", example("control").display()))
        .expect("written");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::rename(&new, program).expect("renamed");
}

async fn change(ecosystem: &Ecosystem, change: EdgeChange) {
    let events = all(ecosystem.client().await.edge(change).await.expect("taken")).await;
    assert!(matches!(events.last(), Some(Event::Settled { .. })), "{events:#?}");
}

async fn version(ecosystem: &Ecosystem) -> String {
    ecosystem.instance("edge").await.release
}

#[tokio::test]
async fn a_new_edge_takes_over_and_the_one_before_comes_back_without_a_lost_request() {
    let mut ecosystem = Ecosystem::with_edge_program(|program| install(program, GOOD, "one")).await;
    let services = [Service::new("a")];
    ecosystem.up(&services).await;
    let program = ecosystem.folder.path().join("edge");
    let load = Load::on(&ecosystem, "a", "/work");
    let first = version(&ecosystem).await;
    install(&program, GOOD, "two");
    ecosystem.up(&services).await;
    let second = version(&ecosystem).await;
    assert_ne!(first, second);

    change(&ecosystem, EdgeChange::Back).await;
    assert_eq!(version(&ecosystem).await, first);
    // An apply does not bring back what a person went back on, nor does a new control plane.
    ecosystem.up(&services).await;
    ecosystem.kill_control();
    ecosystem.start_control().await;
    ecosystem.up(&services).await;
    assert_eq!(version(&ecosystem).await, first);
    change(&ecosystem, EdgeChange::Installed).await;
    assert_eq!(version(&ecosystem).await, second);
    assert!(load.end().await > 0);
    ecosystem.down().await;
}

#[tokio::test]
async fn an_edge_that_does_not_get_up_or_crashes_is_gone_back_on_by_itself() {
    let mut ecosystem = Ecosystem::with_edge_program(|program| install(program, GOOD, "one")).await;
    let services = [Service::new("a")];
    ecosystem.up(&services).await;
    let program = ecosystem.folder.path().join("edge");
    let first = version(&ecosystem).await;
    let load = Load::on(&ecosystem, "a", "/work");
    install(&program, BROKEN, "two");
    drop(ecosystem.apply_as_is().await.expect("applied"));
    until("the way back", async || {
        ecosystem.journal_kinds("edge").await.contains(&"rollback".to_owned()).then_some(())
    })
    .await;
    assert!(load.end().await > 0, "the one before has served all the time");

    install(&program, CRASHES, "three");
    drop(ecosystem.apply_as_is().await.expect("applied"));
    until("the second way back", async || {
        let backs = ecosystem.journal_kinds("edge").await.into_iter().filter(|kind| kind == "rollback").count();
        (backs == 2).then_some(())
    })
    .await;
    until("it serves again", async || {
        let answer = ecosystem.get("a", "/env/VERSION").await;
        (answer.is_ok() && version(&ecosystem).await == first).then_some(())
    })
    .await;
    ecosystem.down().await;
}
