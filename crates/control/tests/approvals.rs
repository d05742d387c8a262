//! Who has to say yes to a rollout, in time, and what becomes of it where several people say something at once.

mod support;

use std::time::Duration;

use mana_control::api::Deploy;
use mana_delivery::rollout::{Command, Digest};

use support::shop::{SHOP, command, deploy, reaches, release, slots, up, version};

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
async fn many_people_at_the_same_instant_get_one_outcome_and_each_hears_which() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"1h\", approvers = [\"bob\", \"eve\"] }").await;
    let digest = release(&ecosystem, "v1", "");
    let asked = |by: &'static str| Deploy {
        service: SHOP.into(),
        release: Some("v1".into()),
        by: by.into(),
        ..Deploy::default()
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
