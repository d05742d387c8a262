//! Releases that take over and go back, through a real control plane, a real edge and real processes, under load.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use mana_control::api::{Deploy, PutBack, RolloutCommand, RolloutView};
use mana_control::client::ClientError;
use mana_control::paths;
use mana_delivery::rollout::{Command, Digest};
use mana_release::artefact;
use mana_release::record::Release;
use mana_release::store::{Attached, Store};

use support::{Ecosystem, Load, Service, until};

const SHOP: &str = "shop-backend";
const PROGRAM: &str = "bin/shop";

/// A quick way through all stages.
const QUICK: &str = "rollout = { canary = [\"20% 2s\"], warm = \"3s\", guard = \"1s\", requests = 20 }";
/// The new version stays where the window begins.
const WARM: &str = "rollout = { canary = [], warm = \"1h\", requests = 20 }";

/// The program of a version: the example with a name, and with what is wrong with it.
fn write_program(folder: &Path, version: &str, wrong: &str) {
    let path = folder.join(PROGRAM);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    // Another file each time: one that runs is not written to.
    let fresh = path.with_extension("fresh");
    let script =
        format!("#!/bin/sh\nVERSION={version} {wrong} exec {} \"$@\"\n", support::example("instance").display());
    std::fs::write(&fresh, script).expect("written");
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).expect("set");
    std::fs::rename(&fresh, &path).expect("renamed");
}

/// Makes a release, as `mana build` would.
fn release(ecosystem: &Ecosystem, version: &str, wrong: &str) -> String {
    release_of(ecosystem, version, version, wrong)
}

/// A release of a commit whose program says that it is this version.
fn release_of(ecosystem: &Ecosystem, version: &str, says: &str, wrong: &str) -> String {
    let source = tempfile::tempdir().expect("folder");
    write_program(source.path(), says, wrong);
    let list = artefact::list(source.path(), &[PROGRAM.to_owned()]).expect("listed");
    let store = Store::new(&paths::releases(&ecosystem.data()), SHOP);
    let digest = store.add_artefact(&list, source.path()).expect("added");
    let record = serde_json::json!({
        "format": 1, "service": SHOP, "version": version, "digest": digest.as_str(), "commit": artefact::Digest::of(version.as_bytes()).as_str()[..40],
        "dirty": false, "author": "Ada", "message": "a change", "committed_at": "2026-01-01T00:00:00Z",
        "built_at": "2026-01-01T00:00:00Z", "took_ms": 1, "toolchain": [], "limits": "", "migrations": [],
        "size_bytes": list.size(), "files": 1, "components": null,
    });
    let record: Release = serde_json::from_value(record).expect("a record");
    store.add(&record, &Attached { sbom: None, log: None }).expect("added");
    digest.as_str().to_owned()
}

fn shop(rollout: &str) -> Service {
    Service::new(SHOP).command(PROGRAM).with(rollout)
}

/// The version of the manifest's folder serves.
async fn up(rollout: &str) -> Ecosystem {
    let mut ecosystem = Ecosystem::start().await;
    write_program(ecosystem.folder.path(), "v0", "");
    ecosystem.up(&[shop(rollout)]).await;
    ecosystem
}

async fn deploy(ecosystem: &Ecosystem, version: &str) -> RolloutView {
    let deploy = Deploy {
        service: SHOP.into(),
        release: Some(version.into()),
        by: "ada".into(),
        supersede: false,
        pause_at: None,
        overrides: Vec::new(),
        key: None,
    };
    ecosystem.client().await.deploy(&deploy).await.expect("begun")
}

async fn reaches(ecosystem: &Ecosystem, number: u64, stages: &[&str]) -> RolloutView {
    until(&format!("{stages:?}"), async || {
        let view = ecosystem.client().await.rollout(number).await.expect("known").view;
        stages.contains(&view.stage.as_str()).then_some(view)
    })
    .await
}

async fn version(ecosystem: &Ecosystem) -> String {
    ecosystem.get(SHOP, "/env/VERSION").await.expect("an answer").1
}

/// Who runs, by slot.
async fn slots(ecosystem: &Ecosystem) -> Vec<(String, String)> {
    let instances = ecosystem.service(SHOP).await.instances;
    instances.into_iter().map(|instance| (instance.slot, instance.release)).collect()
}

async fn command(ecosystem: &Ecosystem, number: u64, by: &str, command: Command) -> Result<RolloutView, ClientError> {
    ecosystem.client().await.rollout_command(number, &RolloutCommand { by: by.into(), command }).await
}

#[tokio::test]
async fn a_release_takes_over_step_by_step_and_no_request_fails() {
    let mut ecosystem = up(QUICK).await;
    let newest = Deploy {
        service: SHOP.into(),
        release: None,
        by: "ada".into(),
        supersede: false,
        pause_at: None,
        overrides: Vec::new(),
        key: None,
    };
    let refused = ecosystem.client().await.deploy(&newest).await.expect_err("there is none yet");
    assert!(refused.to_string().contains("`mana build shop-backend` makes one"), "{refused}");
    let digest = release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let begun = deploy(&ecosystem, "v1").await;
    assert_eq!((begun.number, begun.service.as_str(), begun.new.slot.as_str()), (1, SHOP, "green"));
    let canary = reaches(&ecosystem, 1, &["canary"]).await;
    assert_eq!(canary.new.digest.as_deref(), Some(digest.as_str()));
    let done = reaches(&ecosystem, 1, &["done", "rolled-back", "aborted", "held"]).await;
    assert_eq!((done.stage.as_str(), done.new.percent, done.why.as_deref()), ("done", 100, None));
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v1");
    assert_eq!(slots(&ecosystem).await, [("green".to_owned(), "v1".to_owned())]);
    let detail = ecosystem.client().await.rollout(1).await.expect("known");
    assert!(detail.looks.iter().all(|look| look.reading.green.requests >= 20), "{:#?}", detail.looks);
    // The next one goes to the other slot, and an apply in between changes nothing.
    ecosystem.up(&[shop(QUICK)]).await;
    assert_eq!(version(&ecosystem).await, "v1");
    release(&ecosystem, "v2", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    assert_eq!(deploy(&ecosystem, "v2").await.new.slot, "blue");
    reaches(&ecosystem, 2, &["done"]).await;
    load.end().await;
    assert_eq!(slots(&ecosystem).await, [("blue".to_owned(), "v2".to_owned())]);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_bad_release_goes_back_by_itself_with_its_figures() {
    let mut ecosystem = up("rollout = { canary = [\"20% 1m\"], warm = \"1h\" }").await;
    release(&ecosystem, "v1", "FAILS=30");
    let port = ecosystem.port(SHOP);
    let number = deploy(&ecosystem, "v1").await.number;
    let (mut asked, mut failed) = (0_u32, 0_u32);
    let view = until("it is over", async || {
        for _ in 0..50 {
            asked += 1;
            failed += u32::from(support::get(port, "/work").await.expect("an answer").0 != 200);
        }
        let view = ecosystem.client().await.rollout(number).await.expect("known").view;
        view.over.then_some(view)
    })
    .await;
    assert_eq!((view.stage.as_str(), view.new.percent, view.old.percent), ("rolled-back", 0, 100));
    let look = view.look.expect("figures");
    assert!(look.reading.green.errors > 0 && look.judgement.findings.iter().any(|finding| !finding.met), "{look:#?}");
    // A fifth of the requests had a new version that fails in three of ten.
    assert!(failed > 0 && failed < asked / 8, "{failed} of {asked}");
    assert_eq!(version(&ecosystem).await, "v0");
    assert_eq!(slots(&ecosystem).await.len(), 1, "the new one is stopped");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_release_that_does_not_start_never_gets_a_request() {
    let mut ecosystem = up(WARM).await;
    release(&ecosystem, "v1", "CRASH_AT_START=1");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    let view = reaches(&ecosystem, number, &["aborted", "window"]).await;
    assert_eq!(view.stage, "aborted");
    assert!(view.why.expect("a reason").contains("exit code 3"));
    load.end().await;
    assert_eq!((version(&ecosystem).await.as_str(), slots(&ecosystem).await.len()), ("v0", 1));
    ecosystem.down().await;
}

#[tokio::test]
async fn what_is_not_what_was_released_is_not_started() {
    let mut ecosystem = up(WARM).await;
    let digest = release(&ecosystem, "v1", "");
    let store = Store::new(&paths::releases(&ecosystem.data()), SHOP);
    let program = store.root(&artefact::Digest::parse(&digest).expect("a digest")).join(PROGRAM);
    std::fs::set_permissions(program.parent().expect("a folder"), std::fs::Permissions::from_mode(0o755)).expect("set");
    std::fs::remove_file(&program).expect("removed");
    std::fs::write(&program, "#!/bin/sh\nexec something-else\n").expect("written");
    let number = deploy(&ecosystem, "v1").await.number;
    let view = reaches(&ecosystem, number, &["aborted", "window"]).await;
    assert_eq!(view.stage, "aborted", "{view:?}");
    ecosystem.down().await;
}

#[tokio::test]
async fn back_and_forth_in_the_window_and_back_for_good() {
    let mut ecosystem = up(WARM).await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["window"]).await;
    assert_eq!(version(&ecosystem).await, "v1");
    let put_back = |slot: Option<&str>| PutBack {
        service: SHOP.into(),
        by: "ada".into(),
        slot: slot.map(Into::into),
        release: None,
    };
    for (slot, expected) in [("blue", "v0"), ("green", "v1"), ("blue", "v0"), ("green", "v1")] {
        ecosystem.client().await.put_back(&put_back(Some(slot))).await.expect("taken");
        until(expected, async || (version(&ecosystem).await == expected).then_some(())).await;
    }
    ecosystem.client().await.put_back(&put_back(None)).await.expect("taken");
    let began = Instant::now();
    until("the old version serves", async || (version(&ecosystem).await == "v0").then_some(())).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    reaches(&ecosystem, number, &["rolled-back"]).await;
    load.end().await;
    assert_eq!(slots(&ecosystem).await.len(), 1);
    // Asked for again, it says that it holds already.
    let again = ecosystem.client().await.put_back(&put_back(None)).await.expect("taken");
    assert_eq!(again.stage, "rolled-back");
    ecosystem.down().await;
}

#[tokio::test]
async fn what_is_done_is_gone_back_on_by_starting_the_old_version_first() {
    let mut ecosystem = up(QUICK).await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["done"]).await;
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None };
    ecosystem.client().await.put_back(&put_back).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v0");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_control_plane_killed_at_any_moment_of_a_rollout_goes_on_with_it() {
    let mut ecosystem = up("rollout = { canary = [\"20% 1s\"], warm = \"1s\", guard = \"1s\", requests = 20 }").await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    for stage in ["green-starting", "canary", "window"] {
        reaches(&ecosystem, number, &[stage, "done"]).await;
        ecosystem.kill_control();
        ecosystem.start_control().await;
    }
    let view = reaches(&ecosystem, number, &["done", "rolled-back", "aborted", "held", "stuck"]).await;
    assert_eq!(view.stage, "done", "{view:#?}");
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v1");
    assert_eq!(slots(&ecosystem).await.len(), 1);
    ecosystem.down().await;
}

#[tokio::test]
async fn somebody_else_has_to_say_yes_where_the_manifest_wants_it() {
    let rollout = "rollout = { canary = [], warm = \"1h\", approvers = [\"bob\"] }";
    let mut ecosystem = up(rollout).await;
    let digest = release(&ecosystem, "v1", "");
    let number = deploy(&ecosystem, "v1").await.number;
    let view = reaches(&ecosystem, number, &["awaiting-approval"]).await;
    assert_eq!((view.waits_for.as_slice(), slots(&ecosystem).await.len()), (&["bob".to_owned()][..], 1));
    let approve = || Command::Approve { digest: Digest(digest.clone()), comment: None };
    for by in ["ada", "eve"] {
        let refused = command(&ecosystem, number, by, approve()).await.expect_err("not theirs to say");
        assert!(refused.to_string().contains("bob") || refused.to_string().contains("second person"), "{refused}");
    }
    command(&ecosystem, number, "bob", approve()).await.expect("taken");
    reaches(&ecosystem, number, &["window"]).await;
    ecosystem.down().await;
}

#[tokio::test]
async fn one_at_a_time_and_a_newer_one_may_take_its_place() {
    let mut ecosystem = up("rollout = { canary = [\"10% 10m\"], warm = \"1h\" }").await;
    release(&ecosystem, "v1", "");
    release(&ecosystem, "v2", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let first = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, first, &["canary"]).await;
    let second = deploy(&ecosystem, "v2").await.number;
    reaches(&ecosystem, second, &["queued"]).await;
    let newest = Deploy {
        service: SHOP.into(),
        release: Some("v2".into()),
        by: "ada".into(),
        supersede: true,
        pause_at: Some("cutting-over".into()),
        overrides: Vec::new(),
        key: None,
    };
    let third = ecosystem.client().await.deploy(&newest).await.expect("begun").number;
    for number in [first, second] {
        reaches(&ecosystem, number, &["superseded"]).await;
    }
    let view = reaches(&ecosystem, third, &["canary"]).await;
    assert_eq!(view.new.version.as_deref(), Some("v2"));
    command(&ecosystem, third, "ada", Command::Abort).await.expect("taken");
    reaches(&ecosystem, third, &["rolled-back", "aborted"]).await;
    load.end().await;
    assert_eq!((version(&ecosystem).await.as_str(), slots(&ecosystem).await.len()), ("v0", 1));
    let nothing = Deploy { release: Some("v9".into()), pause_at: None, ..newest };
    let refused = ecosystem.client().await.deploy(&nothing).await.expect_err("there is none");
    assert!(refused.to_string().contains("there are: v"), "{refused}");
    let unknown = command(&ecosystem, 99, "ada", Command::Abort).await.expect_err("there is none");
    assert!(unknown.to_string().contains("no such rollout"), "{unknown}");
    ecosystem.down().await;
}

#[tokio::test]
async fn what_waited_goes_to_the_slot_that_does_not_serve_when_its_turn_comes() {
    let mut ecosystem = up(QUICK).await;
    release(&ecosystem, "v1", "");
    release(&ecosystem, "v2", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let first = deploy(&ecosystem, "v1").await.number;
    let second = deploy(&ecosystem, "v2").await.number;
    reaches(&ecosystem, first, &["done"]).await;
    let canary = reaches(&ecosystem, second, &["canary"]).await;
    assert_eq!((canary.old.slot.as_str(), canary.old.version.as_deref()), ("green", Some("v1")));
    reaches(&ecosystem, second, &["done"]).await;
    load.end().await;
    assert_eq!(slots(&ecosystem).await, [("blue".to_owned(), "v2".to_owned())]);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_rollback_means_the_rollout_that_is_under_way_and_asked_twice_keeps_nobody_waiting() {
    let mut ecosystem = up(WARM).await;
    release(&ecosystem, "v1", "");
    // The same files, of another commit.
    assert_eq!(release_of(&ecosystem, "v1-again", "v1", ""), release(&ecosystem, "v1", ""));
    release(&ecosystem, "v2", "");
    let first = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, first, &["window"]).await;
    let waiting = deploy(&ecosystem, "v2").await.number;
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None };
    assert_eq!(ecosystem.client().await.put_back(&put_back).await.expect("taken").number, first);
    reaches(&ecosystem, first, &["rolled-back"]).await;
    // Then it is the next one's turn.
    reaches(&ecosystem, waiting, &["window"]).await;
    for _ in 0..3 {
        ecosystem.client().await.put_back(&put_back).await.expect("taken");
        reaches(&ecosystem, waiting, &["rolled-back"]).await;
    }
    let retried = command(&ecosystem, first, "ada", Command::Retry).await.expect_err("another one came after it");
    assert!(retried.to_string().contains("after it"), "{retried}");
    let last = deploy(&ecosystem, "v2").await.number;
    reaches(&ecosystem, last, &["window"]).await;
    assert_eq!(version(&ecosystem).await, "v2");
    ecosystem.down().await;
}

#[tokio::test]
async fn the_way_back_does_not_migrate() {
    let quick = format!("migrate = [\"migrate\"]\n{QUICK}");
    let mut ecosystem = Ecosystem::start().await;
    let migrations = ecosystem.folder.path().join("migrations");
    write_program(ecosystem.folder.path(), "v0", "");
    let shop = shop(&quick).env("MIGRATIONS", &migrations.display().to_string());
    ecosystem.up(&[shop]).await;
    let migrated = || std::fs::read_to_string(&migrations).expect("written").lines().count();
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["done"]).await;
    assert_eq!(migrated(), 2, "each version once");
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None };
    ecosystem.client().await.put_back(&put_back).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    load.end().await;
    assert_eq!((version(&ecosystem).await.as_str(), migrated()), ("v0", 2));
    ecosystem.down().await;
}

#[tokio::test]
async fn an_edge_that_is_replaced_in_the_canary_begins_the_window_anew() {
    let mut ecosystem = up("rollout = { canary = [\"20% 4s\"], warm = \"1h\", requests = 20 }").await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["canary"]).await;
    ecosystem.restart("edge").await;
    let view = reaches(&ecosystem, number, &["window", "held", "rolled-back"]).await;
    assert_eq!(view.stage, "window", "{view:#?}");
    load.end().await;
    ecosystem.down().await;
}

#[tokio::test]
async fn what_is_down_is_replaced_without_being_waited_for() {
    let mut ecosystem = Ecosystem::start().await;
    write_program(ecosystem.folder.path(), "v0", "CRASH_AT_START=1");
    let events = ecosystem.apply(&[shop(WARM)]).await;
    support::all(events).await;
    release(&ecosystem, "v1", "");
    let number = deploy(&ecosystem, "v1").await.number;
    let view = reaches(&ecosystem, number, &["done", "aborted", "stuck", "rolled-back"]).await;
    assert_eq!(view.stage, "done", "{view:#?}");
    assert_eq!(version(&ecosystem).await, "v1");
    until("the old one is gone", async || (slots(&ecosystem).await.len() == 1).then_some(())).await;
    ecosystem.down().await;
}

#[tokio::test]
async fn a_release_without_its_program_is_not_the_folders() {
    let mut ecosystem = up(WARM).await;
    release(&ecosystem, "v1", "");
    // The program moved since; the release has it in its old place only.
    std::fs::create_dir_all(ecosystem.folder.path().join("dist")).expect("made");
    let moved = ecosystem.folder.path().join("dist/shop");
    std::fs::copy(ecosystem.folder.path().join(PROGRAM), moved).expect("copied");
    ecosystem.up(&[Service::new(SHOP).command("dist/shop").with(WARM)]).await;
    let number = deploy(&ecosystem, "v1").await.number;
    let view = reaches(&ecosystem, number, &["aborted", "window"]).await;
    assert_eq!(view.stage, "aborted", "{view:#?}");
    assert!(view.why.expect("a reason").contains("not-in-this-release"));
    let nowhere = Deploy {
        service: SHOP.into(),
        release: None,
        by: "ada".into(),
        supersede: false,
        pause_at: Some("migrating".into()),
        overrides: Vec::new(),
        key: None,
    };
    let refused = ecosystem.client().await.deploy(&nowhere).await.expect_err("there is no such stage");
    assert!(refused.to_string().contains("no stage `migrating`"), "{refused}");
    ecosystem.down().await;
}
