//! What outlives the control plane, and how the next one takes it over.

mod support;

use mana_control::api::ServiceState;
use mana_control::paths;
use rusqlite::Connection;
use rustix::process::Signal;
use support::{Ecosystem, Load, Service, example, runs, until};

async fn ready_again(ecosystem: &Ecosystem) {
    until("all is as desired", async || ecosystem.status().await.differences.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_killed_control_plane_changes_no_pid_and_fails_no_request() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a"), Service::new("b").needs("a")]).await;
    let pids = ecosystem.pids().await;
    let load = Load::on(&ecosystem, "b", "/");
    for _ in 0..5 {
        ecosystem.kill_control();
        ecosystem.start_control().await;
        assert_eq!(ecosystem.pids().await, pids);
        ready_again(&ecosystem).await;
        assert!(ecosystem.instance("b").await.adopted);
    }
    load.end().await;
    assert_eq!(ecosystem.pids().await, pids);
    ecosystem.down().await;
    assert!(pids.into_iter().flat_map(|(_, pids)| pids).all(|pid| !runs(pid)));
}

#[tokio::test]
async fn ending_the_control_plane_ends_nothing_else() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let pids = ecosystem.pids().await;
    ecosystem.stop_control().await;
    assert!(pids.iter().flat_map(|(_, pids)| pids).all(|pid| runs(*pid)));
    assert_eq!(ecosystem.get("a", "/").await.expect("answers").0, 200);
    ecosystem.start_control().await;
    assert_eq!(ecosystem.pids().await, pids);
    ecosystem.down().await;
}

#[tokio::test]
async fn an_adopted_instance_that_crashes_is_started_again() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    ecosystem.kill_control();
    ecosystem.start_control().await;
    let pid = ecosystem.pid("a").await;
    support::kill(pid, Signal::KILL);
    until("another one runs", async || (ecosystem.instance("a").await.pid? != pid).then_some(())).await;
    ready_again(&ecosystem).await;
    let instance = ecosystem.instance("a").await;
    assert_eq!(instance.last_exit.as_deref(), Some("exited while adopted (status not observable)"));
    assert_eq!((instance.restarts, instance.adopted), (1, false));
    ecosystem.down().await;
}

#[tokio::test]
async fn what_died_while_no_control_plane_ran_is_started_again_edge_and_services() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a"), Service::new("b").needs("a")]).await;
    let (a, b, edge) = (ecosystem.pid("a").await, ecosystem.pid("b").await, ecosystem.pid("edge").await);
    ecosystem.kill_control();
    support::kill(a, Signal::KILL);
    support::kill(edge, Signal::KILL);
    until("both are gone", async || (!runs(a) && !runs(edge)).then_some(())).await;
    ecosystem.start_control().await;
    ready_again(&ecosystem).await;
    let instance = ecosystem.instance("a").await;
    assert_eq!((instance.last_exit.as_deref(), instance.restarts), (Some("ended while no control plane ran"), 1));
    assert_eq!(ecosystem.pid("b").await, b, "the one that lived was left alone");
    assert_eq!(ecosystem.get("b", "/").await.expect("answers").0, 200);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_process_that_was_started_but_never_recorded_is_found_again() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let pids = ecosystem.pids().await;
    ecosystem.kill_control();
    // As if it had died between the start and the record.
    let memory = Connection::open(paths::database(&ecosystem.data())).expect("open");
    memory.execute("UPDATE instances SET pid = NULL, start_time_ticks = NULL, boot_id = NULL", []).expect("write");
    drop(memory);
    ecosystem.start_control().await;
    assert_eq!(ecosystem.pids().await, pids);
    ready_again(&ecosystem).await;
    ecosystem.down().await;
    assert!(pids.into_iter().flat_map(|(_, pids)| pids).all(|pid| !runs(pid)));
}

#[tokio::test]
async fn a_pid_that_belongs_to_a_stranger_now_is_never_signalled() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let pid = ecosystem.pid("a").await;
    ecosystem.kill_control();
    support::kill(pid, Signal::KILL);
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().expect("start");
    // As if the system had given the pid of the instance to somebody else.
    let memory = Connection::open(paths::database(&ecosystem.data())).expect("open");
    memory.execute("UPDATE instances SET pid = ?1 WHERE pid = ?2", [stranger.id(), pid]).expect("write");
    drop(memory);
    ecosystem.start_control().await;
    ready_again(&ecosystem).await;
    assert_ne!(ecosystem.pid("a").await, stranger.id());
    ecosystem.down().await;
    assert!(runs(stranger.id()), "the stranger lives");
    stranger.kill().expect("kill");
    stranger.wait().expect("wait");
}

#[tokio::test]
async fn after_a_boot_everything_is_started_anew() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let old = ecosystem.pids().await;
    ecosystem.kill_control();
    // Identities of another boot mean nothing, even where a process of that pid and start time runs.
    let memory = Connection::open(paths::database(&ecosystem.data())).expect("open");
    memory.execute("UPDATE instances SET boot_id = 'another'", []).expect("write");
    drop(memory);
    for pid in old.iter().flat_map(|(_, pids)| pids) {
        support::kill(*pid, Signal::KILL);
    }
    ecosystem.start_control().await;
    ready_again(&ecosystem).await;
    assert_eq!(ecosystem.state("a").await, ServiceState::Up);
    assert_eq!(ecosystem.get("a", "/").await.expect("answers").0, 200);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_second_control_plane_on_one_folder_is_refused() {
    let ecosystem = Ecosystem::start().await;
    let second = std::process::Command::new(example("control"))
        .args(["control", "--data"])
        .arg(ecosystem.data())
        .output()
        .expect("run");
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another control plane") && said.contains(&ecosystem.control_pid().to_string()), "{said}");
}

#[tokio::test]
async fn a_control_plane_that_starts_after_a_down_starts_nothing() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    ecosystem.down().await;
    ecosystem.start_control().await;
    let status = ecosystem.status().await;
    assert!(status.services.iter().all(|service| service.instances.is_empty()), "{status:#?}");
    assert!(status.differences[0].contains("switched off"), "{:?}", status.differences);
    ecosystem.stop_control().await;
}

#[tokio::test]
async fn a_control_plane_killed_at_any_moment_loses_and_doubles_no_process() {
    let mut ecosystem = Ecosystem::start().await;
    let services = [Service::new("a"), Service::new("b").needs("a"), Service::new("c").needs("b")];
    ecosystem.write(&services);
    // Later and later, until the work was done before the kill a few times: how long it takes depends on the machine.
    let (mut moment, mut applied) = (0_u64, 0);
    while moment < 220 || applied < 4 {
        assert!(moment < 20_000, "the work is never done: every kill came in its middle");
        let data = ecosystem.data();
        let manifest = ecosystem.manifest();
        let asked = tokio::spawn(async move {
            let client = mana_control::client::Client::connect(&data).await.ok()?;
            let overrides = mana_control::api::Overrides { data: Some(data), ..Default::default() };
            let events = client.apply(&mana_control::api::Apply { manifest, overrides }).await.ok()?;
            for service in ["a", "edge", "b"] {
                let _ = client.restart(&mana_control::api::Restart { service: service.into() }).await;
            }
            Some(events)
        });
        tokio::time::sleep(std::time::Duration::from_millis(moment)).await;
        ecosystem.kill_control();
        applied += u32::from(asked.await.expect("no panic").is_some());
        ecosystem.start_control().await;
        moment += if moment < 220 { 11 } else { moment };
    }
    ready_again(&ecosystem).await;
    let known: std::collections::BTreeSet<u32> =
        ecosystem.pids().await.into_iter().flat_map(|(_, pids)| pids).collect();
    assert_eq!(known.len(), 4);
    until("nothing runs that is not known", async || (ecosystem.processes() == known).then_some(())).await;
    ecosystem.down().await;
    assert!(ecosystem.processes().is_empty());
}
