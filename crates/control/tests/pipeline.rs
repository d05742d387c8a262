//! A commit on its way into production: checks, build, scan, staging, smoke tests, approval. Two environments, each with a control
//! plane and an edge of its own.

mod support;

use std::fs;

use mana_control::api::{PutBack, RolloutCommand};
use mana_delivery::rollout::{Command, Digest};

use support::repository::{Repository, SHOP, up};
use support::until;

const SMOKE: &str = "[services.shop-backend.smoke.health]\nrequest = \"GET /api/health\"\n\
                     [services.shop-backend.smoke.version]\nrequest = \"GET /env/VERSION\"\nheaders = { content-type = \"text\" }\n";

#[tokio::test]
async fn a_commit_goes_the_whole_way() {
    let checks = "[services.shop-backend.build.checks]\nlint = [\"sh\", \"-c\", \"echo linting $(cat version)\"]\ntest = \"true\"\n";
    let repository = Repository::with_staging(&format!("{checks}{SMOKE}")).await;
    repository.write("version", "two");
    repository.commit("two");
    repository.git(&["tag", "v2"]);
    let begun = repository.deploy(None).await.expect("begun");
    assert_eq!((begun.number, begun.version.as_str()), (1, "v2"));
    let serves = repository.reaches(1, &["window"]).await;
    until("it serves", async || (repository.version().await == "two").then_some(())).await;
    let way = [
        "checking",
        "building",
        "scanning",
        "staging",
        "smoking",
        "green-starting",
        "verifying",
        "cutting-over",
        "window",
    ];
    assert_eq!(repository.stages(1).await, way);
    let said = repository.said(1).await;
    for part in ["linting two", "made two", "staging: shop-backend v2 is", "smoke version (GET /env/VERSION) good"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The artefact that passed staging is the one that serves.
    let staging = repository.staging.as_ref().expect("there").client().await;
    let there = staging.rollouts(Some(SHOP)).await.expect("listed");
    assert_eq!((there.len(), &there[0].new.digest), (1, &serves.new.digest));
    // What was checked and built once is neither checked nor built again.
    let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
    repository.production.client().await.put_back(&put_back).await.expect("asked");
    repository.reaches(1, &["rolled-back"]).await;
    assert_eq!(repository.version().await, "one");
    let again = repository.deploy(Some("v2")).await.expect("begun");
    repository.reaches(again.number, &["window"]).await;
    let said = repository.said(again.number).await;
    assert!(said.contains("v2 passed it before") && !said.contains("made two"), "{said}");
    repository.down().await;
}

#[tokio::test]
async fn a_check_that_fails_ends_it_before_anything_is_built() {
    let checks = "[services.shop-backend.build.checks]\nlint = \"true\"\ntest = [\"sh\", \"-c\", \"echo 1 test failed; exit 3\"]\n\
                  slow = \"sleep 60\"\n";
    let repository = Repository::new(checks).await;
    let begun = repository.deploy(None).await.expect("begun");
    let ended = repository.reaches(begun.number, &["aborted"]).await;
    let why = ended.why.expect("a reason");
    assert!(why.contains("check `test` failed: exit code 3"), "{why}");
    let said = repository.said(begun.number).await;
    assert!(said.contains("1 test failed") && !said.contains("made one"), "{said}");
    assert_eq!(repository.stages(begun.number).await, ["checking", "aborted"]);
    repository.down().await;
}

#[tokio::test]
async fn a_build_that_fails_says_so() {
    let repository = Repository::new("").await;
    repository.script("make.sh", "echo cannot find crate; exit 9");
    repository.commit("broken");
    let begun = repository.deploy(None).await.expect("begun");
    let ended = repository.reaches(begun.number, &["aborted"]).await;
    assert!(
        ended.why.as_ref().is_some_and(|why| why.contains("the build failed") && why.contains("exit code 9")),
        "{ended:#?}"
    );
    assert!(repository.said(begun.number).await.contains("cannot find crate"));
    repository.down().await;
}

#[tokio::test]
async fn what_is_neither_a_release_nor_a_commit_is_refused_and_so_is_what_is_not_committed() {
    let repository = Repository::new("").await;
    let refused = repository.deploy(Some("v9")).await.expect_err("unknown");
    assert!(refused.to_string().contains("neither a release of shop-backend (none) nor a commit"), "{refused}");
    repository.write("version", "changed");
    let refused = repository.deploy(None).await.expect_err("dirty");
    assert!(refused.to_string().contains("1 file is changed and not committed"), "{refused}");
    repository.down().await;
}

#[tokio::test]
async fn without_staging_nothing_gets_into_production() {
    let repository = Repository::new("").await;
    let begun = repository.deploy(None).await.expect("begun");
    let ended = repository.reaches(begun.number, &["aborted"]).await;
    let why = ended.why.expect("a reason");
    assert!(why.contains("it did not get through staging: tried 5 times: staging does not run"), "{why}");
    repository.down().await;
}

#[tokio::test]
async fn a_smoke_test_that_fails_keeps_it_out_of_production() {
    let smoke =
        "[services.shop-backend.smoke.version]\nrequest = \"GET /env/VERSION\"\njson = { \"/status\" = \"ok\" }\n";
    let repository = Repository::with_staging(smoke).await;
    let begun = repository.deploy(None).await.expect("begun");
    let ended = repository.reaches(begun.number, &["aborted"]).await;
    let why = ended.why.expect("a reason");
    assert!(why.contains("the smoke tests failed on staging: version: it is no JSON"), "{why}");
    assert_eq!(repository.stages(begun.number).await.last().map(String::as_str), Some("aborted"));
    repository.down().await;
}

#[tokio::test]
async fn a_control_plane_that_is_killed_while_it_builds_builds_again_and_leaves_no_process() {
    let mut repository = Repository::with_staging("").await;
    repository.script("make.sh", "mkdir -p out && cp shop.sh out/shop && chmod +x out/shop && sleep 3 && echo made it");
    repository.commit("slow");
    let begun = repository.deploy(None).await.expect("begun");
    repository.reaches(begun.number, &["building"]).await;
    until("the build runs", async || repository.said(begun.number).await.contains("make.sh").then_some(())).await;
    repository.production.kill_control();
    repository.production.start_control().await;
    repository.reaches(begun.number, &["window"]).await;
    let said = repository.said(begun.number).await;
    assert_eq!(said.matches("made it").count(), 1, "{said}");
    repository.down().await;
}

#[tokio::test]
async fn somebody_else_has_to_approve_it_and_a_version_from_before_comes_back_without() {
    let rollout = "rollout = { canary = [], warm = \"1h\", requests = 1 }";
    let repository = Repository::with_staging("").await;
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let text = text.replace(
        rollout,
        "rollout = { canary = [], warm = \"2s\", guard = \"1s\", requests = 1, approvers = [\"bob\"] }",
    );
    repository.write("mana.toml", &text);
    repository.commit("four eyes");
    up(&repository.production).await;
    let load = support::Load::at(repository.port, "/work");
    let approved = async |version: &str| {
        repository.write("version", version);
        repository.commit(version);
        repository.git(&["tag", version]);
        let begun = repository.deploy(None).await.expect("begun");
        let waits = repository.reaches(begun.number, &["awaiting-approval"]).await;
        assert_eq!(waits.waits_for, ["bob"]);
        let approve = |by: &str| RolloutCommand {
            by: by.into(),
            key: None,
            command: Command::Approve { digest: Digest(waits.new.digest.clone().expect("built")), comment: None },
        };
        let client = repository.production.client().await;
        client.rollout_command(begun.number, &approve("ada")).await.expect_err("she started it");
        client.rollout_command(begun.number, &approve("bob")).await.expect("approved");
        repository.reaches(begun.number, &["done"]).await;
    };
    for version in ["v2", "v3", "v4"] {
        approved(version).await;
    }
    let bring = |release: &str| PutBack {
        service: SHOP.into(),
        by: "ada".into(),
        slot: None,
        release: Some(release.into()),
        key: None,
    };
    let client = repository.production.client().await;
    let refused = client.put_back(&bring("v4")).await.expect_err("it serves");
    assert!(refused.to_string().contains("serves v4 already"), "{refused}");
    let back = client.put_back(&bring("v2")).await.expect("begun");
    repository.reaches(back.number, &["done"]).await;
    assert_eq!(repository.version().await, "v2");
    assert_eq!(
        repository.stages(back.number).await,
        ["green-starting", "verifying", "cutting-over", "window", "decommissioning", "done"]
    );
    load.end().await;
    repository.down().await;
}

#[tokio::test]
async fn a_service_that_nobody_asks_is_judged_by_its_smoke_tests() {
    let repository = Repository::with_staging(SMOKE).await;
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let (idle, busy) = (
        "rollout = { canary = [], warm = \"1h\", requests = 1 }",
        "rollout = { canary = [\"20% 2s\"], warm = \"2s\", guard = \"1s\", requests = 30, longest = \"1m\" }",
    );
    repository.write("mana.toml", &text.replace(idle, busy));
    repository.commit("with a canary");
    up(&repository.production).await;
    let begun = repository.deploy(None).await.expect("begun");
    repository.reaches(begun.number, &["canary"]).await;
    repository.reaches(begun.number, &["window"]).await;
    repository.reaches(begun.number, &["done"]).await;
    let looks = repository.production.client().await.rollout(begun.number).await.expect("known").looks;
    assert!(looks.iter().all(|look| look.reading.green.requests >= 30), "{looks:#?}");
    repository.down().await;
}

#[tokio::test]
async fn releases_beyond_what_is_kept_go_with_the_version_that_is_stopped() {
    let repository = Repository::new("").await;
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    let text = text
        .replace("advisories = []", "advisories = []\nkeep = 1")
        .replace("warm = \"1h\", requests = 1 }", "warm = \"1s\", guard = \"1s\", requests = 1, staging = false }");
    repository.write("mana.toml", &text);
    let load = support::Load::at(repository.port, "/work");
    for version in ["v2", "v3", "v4", "v5"] {
        repository.write("version", version);
        repository.commit(version);
        repository.git(&["tag", version]);
        up(&repository.production).await;
        let begun = repository.deploy(None).await.expect("begun");
        repository.reaches(begun.number, &["done"]).await;
    }
    load.end().await;
    let store = mana_release::store::Store::new(&mana_control::paths::releases(&repository.production.data()), SHOP);
    let left: Vec<String> = store.all().expect("read").into_iter().map(|release| release.version).collect();
    assert_eq!(left, ["v5", "v4", "v3"], "what serves, and what the last rollouts could go back to");
    repository.down().await;
}
