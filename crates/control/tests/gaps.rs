//! What the edge did not count is not judged: a window in which it was replaced passes nothing, says so, and is followed by a whole one.

mod support;

use std::time::Duration;

use mana_delivery::gate::Verdict;

use support::shop::{SHOP, deploy, reaches, release, up, version};
use support::{Load, until_within};

/// Two windows of two looks each, ten seconds apart, on a busy machine.
const LOOKS: Duration = Duration::from_mins(2);
/// By then a look of ten seconds ago is one of another edge.
const IN_THE_GUARD_MS: u64 = 2_000;

#[tokio::test]
async fn a_guard_in_which_the_edge_was_replaced_passes_nothing_and_says_so() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"1s\", guard = \"12s\", requests = 20 }").await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["window"]).await;
    let client = ecosystem.client().await;
    until_within(LOOKS, "the guard has begun", async || {
        let view = client.rollout_view(number).await.expect("known");
        let window = view.steps.iter().find(|step| step.stage == "window")?;
        (window.took_ms? >= IN_THE_GUARD_MS).then_some(())
    })
    .await;
    ecosystem.restart("edge").await;
    until_within(LOOKS, "its end", async || client.rollout_view(number).await.expect("known").over.then_some(())).await;
    let detail = client.rollout(number).await.expect("known");
    assert_eq!(detail.view.stage, "done", "{detail:#?}");
    let [gap, whole] = detail.looks.as_slice() else { panic!("two guards: {:#?}", detail.looks) };
    assert_eq!((gap.reading.complete, gap.judgement.verdict), (false, Verdict::NoData), "{gap:#?}");
    assert!(gap.judgement.findings.iter().any(|finding| finding.figure == "complete" && !finding.met), "{gap:#?}");
    assert_eq!((whole.reading.complete, whole.judgement.verdict), (true, Verdict::Pass), "{whole:#?}");
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v1");
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
    let client = ecosystem.client().await;
    let detail = until_within(LOOKS, "the end of the canary", async || {
        let detail = client.rollout(number).await.expect("known");
        ["window", "held", "rolled-back"].contains(&detail.view.stage.as_str()).then_some(detail)
    })
    .await;
    assert_eq!(detail.view.stage, "window", "{detail:#?}");
    let passed = detail.looks.iter().find(|look| look.judgement.verdict == Verdict::Pass).expect("one that passed");
    assert!(passed.reading.complete, "{passed:#?}");
    load.end().await;
    ecosystem.down().await;
}
