//! A canary whose control plane is gone for longer than its lease: the edge gives everything back to the old version by itself, on disk too,
//! nobody notices, and whoever comes back opens a window anew and leaves no zombie.

mod support;

use std::time::{Duration, Instant};

use mana_control::paths;
use mana_delivery::rollout::{Command, LEASE, RENEW_EVERY};
use mana_edge::snapshot::{Snapshot, Target};

use support::shop::{SHOP, command, deploy, reaches, release, slots, up, version};
use support::{Ecosystem, Load, until, until_within};

/// Beside the lease: the edge's next look at it, on a busy machine.
const LATE: Duration = Duration::from_secs(10);

/// The generation that lies on the edge's disk, and the new version's weight in it.
fn on_disk(ecosystem: &Ecosystem) -> (u64, u32) {
    let text = std::fs::read(paths::edge_snapshot(&ecosystem.data())).expect("read");
    let snapshot: Snapshot = serde_json::from_slice(&text).expect("a snapshot");
    let route = snapshot.routes.iter().find(|route| route.name == SHOP).expect("the route");
    let Target::Slots(slots) = &route.target else { panic!("slots: {route:#?}") };
    let green = slots.iter().find(|slot| slot.name == "green").map_or(0, |slot| slot.weight);
    (snapshot.generation, green)
}

#[tokio::test]
async fn control_plane_dead_mid_canary() {
    let mut ecosystem = up("rollout = { canary = [\"20% 10m\"], warm = \"1h\" }").await;
    release(&ecosystem, "v1", "");
    let load = Load::with_pauses(ecosystem.port(SHOP), "/work", Duration::from_millis(5));
    let number = deploy(&ecosystem, "v1").await.number;
    until("it has its share", async || {
        let view = ecosystem.client().await.rollout_view(number).await.expect("known");
        (view.stage == "canary" && view.new.percent == 20).then_some(())
    })
    .await;

    ecosystem.kill_control();
    let began = Instant::now();
    let (canary, share) = on_disk(&ecosystem);
    assert_eq!(share, 20, "the lease holds");
    let ended = until_within(LEASE + LATE, "the lease has run out", async || {
        let (generation, share) = on_disk(&ecosystem);
        (share == 0).then_some(generation)
    })
    .await;
    let held = began.elapsed();
    assert!(held + RENEW_EVERY + LATE >= LEASE, "given back after {held:?}, though it was renewed shortly before");
    assert!(ended > canary, "whoever wakes up late cannot put back what it last knew");
    for _ in 0..50 {
        assert_eq!(version(&ecosystem).await, "v0");
    }

    ecosystem.start_control().await;
    until("a window anew", async || {
        let view = ecosystem.client().await.rollout_view(number).await.expect("known");
        (view.stage == "canary" && view.new.percent == 20).then_some(())
    })
    .await;
    // What it says first is what it knew last: the edge is told anew.
    let anew = until("the edge gives it its share", async || {
        let (generation, share) = on_disk(&ecosystem);
        (share == 20).then_some(generation)
    })
    .await;
    assert!(anew > ended, "{anew}");
    until("the new version is asked again", async || (version(&ecosystem).await == "v1").then_some(())).await;
    command(&ecosystem, number, "ada", Command::Abort).await.expect("taken");
    reaches(&ecosystem, number, &["rolled-back"]).await;
    until("one is left", async || (slots(&ecosystem).await.len() == 1).then_some(())).await;
    load.end().await;
    assert_eq!((version(&ecosystem).await.as_str(), on_disk(&ecosystem).1), ("v0", 0));
    ecosystem.down().await;
}
