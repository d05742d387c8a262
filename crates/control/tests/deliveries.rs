//! Releases that take over, through a real control plane, a real edge and real processes, under load.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mana_control::api::Deploy;
use mana_control::paths;
use mana_delivery::rollout::Command;
use mana_release::artefact;
use mana_release::store::Store;

use support::shop::{
    PROGRAM, QUICK, SHOP, WARM, command, deploy, reaches, release, shop, slots, up, version, write_program,
};
use support::{Ecosystem, Load, Service, until};

#[tokio::test]
async fn a_release_takes_over_step_by_step_and_no_request_fails() {
    let mut ecosystem = up(QUICK).await;
    let newest = Deploy { service: SHOP.into(), by: "ada".into(), ..Deploy::default() };
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
async fn a_gate_of_ones_own_sends_a_release_back_and_one_that_nothing_could_pass_is_refused() {
    let rollout = |query: &str| {
        let gates = format!("gates = {{ odd = {{ query = '{query}', max = 0.5 }} }}");
        format!("rollout = {{ canary = [\"20% 1m\"], warm = \"1h\", {gates} }}")
    };
    let mut ecosystem = up(&rollout("vector(1)")).await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    let view = reaches(&ecosystem, number, &["rolled-back", "window", "held"]).await;
    load.end().await;
    assert_eq!(view.stage, "rolled-back", "{view:#?}");
    let why = view.why.expect("a reason");
    assert!(why.contains("gate odd 1 against a limit of 0.5"), "{why}");
    let look = view.look.expect("figures");
    assert_eq!((look.series[0].name.as_str(), look.series[0].value), ("odd", Some(1.0)));
    ecosystem.write(&[shop(&rollout("mana_instances_reedy"))]);
    let refused = ecosystem.apply_as_is().await.expect_err("nothing gives it");
    let refused = format!("{refused:?}");
    assert!(refused.contains("is mana_instances_ready meant?"), "{refused}");
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
async fn what_serves_or_is_under_way_is_not_deployed_once_more() {
    let rollout = "rollout = { canary = [], warm = \"0s\" }";
    let mut ecosystem = up(rollout).await;
    for version in ["v1", "v2"] {
        release(&ecosystem, version, "");
    }
    let number = deploy(&ecosystem, "v1").await.number;
    assert_eq!(deploy(&ecosystem, "v1").await.number, number, "an answer that got lost");
    reaches(&ecosystem, number, &["done"]).await;
    let again = deploy(&ecosystem, "v1").await;
    assert_eq!((again.number, again.stage.as_str()), (number, "done"));
    // Another release, and then the first one anew.
    let second = deploy(&ecosystem, "v2").await.number;
    reaches(&ecosystem, second, &["done"]).await;
    let third = deploy(&ecosystem, "v1").await.number;
    assert_eq!((second, third), (number + 1, number + 2));
    reaches(&ecosystem, third, &["done"]).await;
    ecosystem.down().await;
}

#[tokio::test]
async fn a_migration_that_breaks_the_running_version_ends_the_rollout_before_any_request_moves() {
    let mut ecosystem = Ecosystem::start().await;
    let broken = ecosystem.folder.path().join("broken").display().to_string();
    write_program(ecosystem.folder.path(), "v0", &format!("BROKEN_BY={broken}"));
    ecosystem.up(&[shop(&format!("migrate = [\"migrate\"]\n{WARM}"))]).await;
    release(&ecosystem, "v1", &format!("BREAKS={broken}"));
    let number = deploy(&ecosystem, "v1").await.number;
    // The last that was known of the running version is that it is ready, and it is asked seldom.
    let view = reaches(&ecosystem, number, &["aborted", "window", "rolled-back", "stuck"]).await;
    assert_eq!(view.stage, "aborted", "{view:#?}");
    let why = view.why.expect("a reason");
    assert!(why.contains("on the new schema"), "{why}");
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

#[tokio::test]
async fn a_journal_that_takes_no_entry_holds_a_rollout_where_it_is_until_it_does() {
    let mut ecosystem = up(WARM).await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let database = rusqlite::Connection::open(paths::database(&ecosystem.data())).expect("open");
    database.busy_timeout(Duration::from_secs(5)).expect("set");
    // An error of SQLite's, as on a full disk.
    let full = "CREATE TRIGGER full BEFORE INSERT ON rollout_journal WHEN new.number > 3 \
                BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    database.execute_batch(full).expect("made");
    let number = deploy(&ecosystem, "v1").await.number;
    until("it was tried", async || {
        let log = std::fs::read_to_string(paths::control_log(&ecosystem.data())).expect("a log");
        (log.matches("disk full").count() > 2).then_some(())
    })
    .await;
    let view = ecosystem.client().await.rollout(number).await.expect("known").view;
    assert_eq!((view.new.percent, version(&ecosystem).await.as_str()), (0, "v0"), "{view:#?}");
    database.execute_batch("DROP TRIGGER full").expect("dropped");
    reaches(&ecosystem, number, &["window"]).await;
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v1");
    ecosystem.down().await;
}
