//! Releases that take over and go back, through a real control plane, a real edge and real processes, under load.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use mana_control::api::{Deploy, PutBack};
use mana_control::paths;
use mana_delivery::rollout::{Command, Digest};
use mana_release::artefact;
use mana_release::store::Store;

use support::shop::{
    PROGRAM, QUICK, SHOP, WARM, command, deploy, reaches, release, release_of, shop, slots, up, version, write_program,
};
use support::{Ecosystem, Load, Service, until};

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
        key: None,
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
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    ecosystem.client().await.put_back(&put_back).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v0");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_rollback_after_a_rollout_that_moved_nothing_brings_back_what_served_before() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"0s\" }").await;
    for (version, wrong) in [("v1", ""), ("v2", ""), ("v3", "CRASH_AT_START=1"), ("v4", "")] {
        release(&ecosystem, version, wrong);
    }
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    let aborted = deploy(&ecosystem, "v3").await.number;
    reaches(&ecosystem, aborted, &["aborted"]).await;
    let refused = ecosystem.client().await.put_back(&put_back).await.expect_err("nothing served before");
    assert!(refused.to_string().contains("rollout 1 of v3 ended aborted"), "{refused}");
    for version in ["v1", "v2"] {
        let number = deploy(&ecosystem, version).await.number;
        reaches(&ecosystem, number, &["done"]).await;
    }
    let aborted = deploy(&ecosystem, "v3").await.number;
    reaches(&ecosystem, aborted, &["aborted"]).await;
    let back = ecosystem.client().await.put_back(&put_back).await.expect("begun");
    assert_eq!((back.number, back.version.as_str()), (aborted + 1, "v1"));
    reaches(&ecosystem, back.number, &["done"]).await;
    assert_eq!(version(&ecosystem).await, "v1");
    let refused = ecosystem.client().await.put_back(&put_back).await.expect_err("v2 was gone back from");
    assert!(refused.to_string().contains("name the version"), "{refused}");
    // The same while one is under way that has sent nobody anywhere.
    let number = deploy(&ecosystem, "v2").await.number;
    reaches(&ecosystem, number, &["done"]).await;
    let paused = Deploy {
        service: SHOP.into(),
        release: Some("v4".into()),
        by: "ada".into(),
        supersede: false,
        pause_at: Some("green-starting".into()),
        overrides: Vec::new(),
        key: None,
    };
    let paused = ecosystem.client().await.deploy(&paused).await.expect("begun").number;
    reaches(&ecosystem, paused, &["held"]).await;
    let back = ecosystem.client().await.put_back(&put_back).await.expect("begun");
    assert_eq!(back.version, "v1");
    reaches(&ecosystem, paused, &["superseded"]).await;
    reaches(&ecosystem, back.number, &["done"]).await;
    assert_eq!((version(&ecosystem).await.as_str(), slots(&ecosystem).await.len()), ("v1", 1));
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
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
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
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    ecosystem.client().await.put_back(&put_back).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    load.end().await;
    assert_eq!((version(&ecosystem).await.as_str(), migrated()), ("v0", 2));
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

#[tokio::test]
async fn many_people_at_the_same_instant_get_one_outcome_and_each_hears_which() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"1h\", approvers = [\"bob\", \"eve\"] }").await;
    let digest = release(&ecosystem, "v1", "");
    let asked = |by: &'static str| Deploy {
        service: SHOP.into(),
        release: Some("v1".into()),
        by: by.into(),
        supersede: false,
        pause_at: None,
        overrides: Vec::new(),
        key: None,
    };
    let client = ecosystem.client().await;
    let (ada, carl) = (asked("ada"), asked("carl"));
    let (first, second) = tokio::join!(client.deploy(&ada), client.deploy(&carl));
    let mut begun = [first.expect("begun"), second.expect("begun")];
    begun.sort_by_key(|view| view.number);
    assert_eq!((begun[0].number, begun[1].number), (1, 2), "each has one of its own");
    reaches(&ecosystem, 1, &["awaiting-approval"]).await;
    reaches(&ecosystem, 2, &["queued"]).await;
    // Some say yes and some no: one of them decides, and the others hear that it is decided.
    let say = |number: usize| {
        let approve = Command::Approve { digest: Digest(digest.clone()), comment: None };
        let by = if number.is_multiple_of(2) { "bob" } else { "eve" };
        command(&ecosystem, 1, by, if number.is_multiple_of(3) { Command::Abort } else { approve })
    };
    let answers = futures_util::future::join_all((0..12).map(say)).await;
    assert!(answers.iter().any(Result::is_ok));
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(!refused.to_string().is_empty(), "{refused}");
    }
    let view = reaches(&ecosystem, 1, &["aborted", "rolled-back", "window"]).await;
    // An abort always ends it, before an approval or after it.
    let view = if view.stage == "window" { reaches(&ecosystem, 1, &["aborted", "rolled-back"]).await } else { view };
    assert_eq!((view.new.percent, version(&ecosystem).await.as_str()), (0, "v0"));
    // Then it is the other one's turn, once.
    reaches(&ecosystem, 2, &["awaiting-approval"]).await;
    command(&ecosystem, 2, "ada", Command::Abort).await.expect("taken");
    reaches(&ecosystem, 2, &["aborted"]).await;
    assert_eq!(ecosystem.client().await.rollouts(Some(SHOP)).await.expect("listed").len(), 2);
    ecosystem.down().await;
}

#[tokio::test]
async fn an_approval_that_nobody_gives_in_time_ends_it() {
    let rollout = "rollout = { canary = [], warm = \"1h\", approvers = [\"bob\"], approval_expiry = \"1s\" }";
    let mut ecosystem = up(rollout).await;
    let digest = release(&ecosystem, "v1", "");
    let number = deploy(&ecosystem, "v1").await.number;
    let view = reaches(&ecosystem, number, &["aborted"]).await;
    assert!(view.why.is_some(), "it says why");
    let approve = Command::Approve { digest: Digest(digest), comment: None };
    command(&ecosystem, number, "bob", approve).await.expect_err("too late");
    assert_eq!((version(&ecosystem).await.as_str(), slots(&ecosystem).await.len()), ("v0", 1));
    ecosystem.down().await;
}

#[tokio::test]
async fn an_approval_runs_out_while_no_control_plane_runs() {
    let rollout = "rollout = { canary = [], warm = \"1h\", approvers = [\"bob\"], approval_expiry = \"2s\" }";
    let mut ecosystem = up(rollout).await;
    release(&ecosystem, "v1", "");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["awaiting-approval"]).await;
    ecosystem.kill_control();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    ecosystem.start_control().await;
    reaches(&ecosystem, number, &["aborted"]).await;
    assert_eq!(version(&ecosystem).await, "v0");
    ecosystem.down().await;
}

#[tokio::test]
async fn a_rollback_while_the_old_version_drains_starts_it_again_and_loses_no_request() {
    let mut ecosystem =
        up("rollout = { canary = [], warm = \"1s\", guard = \"1s\", requests = 10, errors = \"20%\" }").await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let port = ecosystem.port(SHOP);
    // Held by the old version for longer than the window.
    let slow = tokio::spawn(support::get(port, "/slow/20000"));
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["decommissioning"]).await;
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    ecosystem.client().await.put_back(&put_back).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    assert_eq!(slow.await.expect("no panic"), Ok((200, "slow".into())));
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v0");
    until("one is left", async || (slots(&ecosystem).await.len() == 1).then_some(())).await;
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
