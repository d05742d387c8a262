//! Whoever did not hear an answer asks again under the same key, and gets the answer: nothing is done twice, whatever became of it meanwhile.

mod support;

use mana_control::api::{Deploy, PutBack, RolloutCommand, RolloutView};
use mana_control::client::ClientError;
use mana_delivery::rollout::{Command, Stage};

use support::shop::{SHOP, reaches, release, up, version};
use support::{Ecosystem, until};

/// Where it stops, unless it is to go through.
const HERE: Option<&str> = Some("green-starting");

async fn deploy(
    ecosystem: &Ecosystem,
    version: &str,
    pause_at: Option<&str>,
    key: &str,
) -> Result<RolloutView, ClientError> {
    let deploy = Deploy {
        service: SHOP.into(),
        release: Some(version.into()),
        by: "ada".into(),
        supersede: false,
        pause_at: pause_at.map(str::to_owned),
        overrides: Vec::new(),
        key: Some(key.into()),
    };
    ecosystem.client().await.deploy(&deploy).await
}

async fn say(ecosystem: &Ecosystem, number: u64, command: Command, key: &str) -> Result<RolloutView, ClientError> {
    let command = RolloutCommand { by: "ada".into(), key: Some(key.into()), command };
    ecosystem.client().await.rollout_command(number, &command).await
}

#[tokio::test]
async fn what_is_asked_again_under_its_key_is_done_once() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"0s\" }").await;
    for version in ["v1", "v2", "v3"] {
        release(&ecosystem, version, "");
    }
    // One begins it, the other finds it there; both are answered with it for good.
    for key in ["one", "two", "one", "two"] {
        assert_eq!(deploy(&ecosystem, "v1", HERE, key).await.expect("begun").number, 1, "{key}");
    }
    reaches(&ecosystem, 1, &["held"]).await;
    say(&ecosystem, 1, Command::Abort, "stop").await.expect("taken");
    reaches(&ecosystem, 1, &["aborted"]).await;
    for key in ["one", "two"] {
        assert_eq!(deploy(&ecosystem, "v1", HERE, key).await.expect("the answer").number, 1, "{key}");
    }
    assert_eq!(deploy(&ecosystem, "v1", HERE, "three").await.expect("begun").number, 2);
    // A command that comes once more does not go further than it went.
    reaches(&ecosystem, 2, &["held"]).await;
    for key in ["stop", "", "a\nb"] {
        say(&ecosystem, 2, Command::Abort, key).await.expect_err("that key is another one's, or none");
    }
    say(&ecosystem, 2, Command::PauseAt { stage: Stage::CuttingOver }, "pause").await.expect("taken");
    let gone_on = say(&ecosystem, 2, Command::Promote, "go").await.expect("taken");
    assert_ne!(gone_on.stage, "held");
    reaches(&ecosystem, 2, &["held"]).await;
    // The key is as safe as what it stands for.
    ecosystem.kill_control();
    ecosystem.start_control().await;
    assert_eq!(say(&ecosystem, 2, Command::Promote, "go").await.expect("the answer").stage, "held");
    // What was refused was not done, so its key is still good.
    let gone_on = until("both are ready again", async || say(&ecosystem, 2, Command::Promote, "on").await.ok()).await;
    assert_ne!(gone_on.stage, "held");
    reaches(&ecosystem, 2, &["done"]).await;
    // A way back by a rollout of its own is one rollout, also once that is over.
    assert_eq!(deploy(&ecosystem, "v2", None, "four").await.expect("begun").number, 3);
    reaches(&ecosystem, 3, &["done"]).await;
    assert_eq!(deploy(&ecosystem, "v3", HERE, "five").await.expect("begun").number, 4);
    reaches(&ecosystem, 4, &["held"]).await;
    let back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: Some("back".into()) };
    let begun = ecosystem.client().await.put_back(&back).await.expect("begun");
    assert_eq!((begun.number, begun.version.as_str()), (5, "v1"));
    reaches(&ecosystem, 5, &["done"]).await;
    let again = ecosystem.client().await.put_back(&back).await.expect("the answer");
    assert_eq!((again.number, version(&ecosystem).await.as_str()), (5, "v1"));
    ecosystem.down().await;
}
