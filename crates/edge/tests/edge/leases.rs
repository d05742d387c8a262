//! A canary's weight that has to be renewed.

use std::time::Duration;

use mana_edge::admin::ClientError;
use mana_edge::snapshot::{Lease, Snapshot, Target};

use crate::support::{Service, TestEdge, get, route, slot, snapshot, until};

fn canary(generation: u64, slots: Target, ms: u64) -> Snapshot {
    let mut chat = route("chat", slots);
    chat.lease = Some(Lease { slot: "green".into(), ms });
    Snapshot { generation, ..snapshot(vec![chat]) }
}

#[tokio::test]
async fn a_canary_that_nobody_watches_goes_back_for_good() {
    let (blue, green) = (Service::saying("blue"), Service::saying("green"));
    let slots = || Target::Slots(vec![slot("blue", 1, &[blue.address]), slot("green", 1, &[green.address])]);
    let mut edge = TestEdge::start(&canary(1, slots(), 60_000));
    let answers = async |address| {
        let mut answers = Vec::new();
        for _ in 0..10 {
            answers.push(get(address, "chat.localhost", "/").await.text().to_owned());
        }
        answers
    };
    let with_green = answers(edge.address()).await.iter().filter(|answer| *answer == "green").count();
    assert_eq!((with_green, edge.admin().renew("chat").await.unwrap().ms), (5, 60_000));
    edge.admin().put(&canary(2, slots(), 50)).await.unwrap();
    until("the lease has run out", async || edge.admin().health().await.unwrap().generation == 3).await;
    assert!(answers(edge.address()).await.iter().all(|answer| answer == "blue"));
    assert_eq!(edge.metric("mana_edge_leases_ended_total").await, Some(1.0));
    let Err(ClientError::Refused(refusal)) = edge.admin().renew("chat").await else { panic!("it has run out") };
    assert_eq!((refusal.status, refusal.title.as_str()), (409, "No lease"));
    // Whoever wakes up late cannot put back what it last knew.
    let late = edge.admin().put(&canary(3, slots(), 60_000)).await;
    assert!(matches!(late, Err(ClientError::Stale { current: 3, .. })), "{late:?}");
    edge.restart();
    assert!(answers(edge.address()).await.iter().all(|answer| answer == "blue"), "it is on disk");
}

#[tokio::test]
async fn a_lease_that_is_renewed_goes_on() {
    let (blue, green) = (Service::saying("blue"), Service::saying("green"));
    let slots = Target::Slots(vec![slot("blue", 1, &[blue.address]), slot("green", 1, &[green.address])]);
    let edge = TestEdge::start(&canary(1, slots, 2_000));
    for _ in 0..30 {
        edge.admin().renew("chat").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(edge.admin().health().await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_lease_ends_though_the_disk_takes_nothing() {
    let (blue, green) = (Service::saying("blue"), Service::saying("green"));
    let slots = || Target::Slots(vec![slot("blue", 1, &[blue.address]), slot("green", 1, &[green.address])]);
    let edge = TestEdge::start(&canary(1, slots(), 60_000));
    edge.admin().put(&canary(2, slots(), 300)).await.unwrap();
    // A folder in the place of the file: nothing can be stored there.
    std::fs::remove_file(edge.config()).unwrap();
    std::fs::create_dir(edge.config()).unwrap();
    until("the lease has run out", async || edge.admin().health().await.unwrap().generation == 3).await;
    for _ in 0..10 {
        assert_eq!(get(edge.address(), "chat.localhost", "/").await.text(), "blue");
    }
    std::fs::remove_dir(edge.config()).unwrap();
    until("the disk has it", async || {
        let stored = std::fs::read(edge.config()).ok().and_then(|text| serde_json::from_slice::<Snapshot>(&text).ok());
        stored.is_some_and(|stored| stored.generation == 3)
    })
    .await;
    assert_eq!(edge.metric("mana_edge_leases_ended_total").await, Some(1.0));
}

#[test]
fn a_lease_needs_a_slot_and_another_to_go_back_to() {
    let service = ([127, 0, 0, 1], 20_000).into();
    for (slots, ms, problem) in [
        (vec![slot("blue", 1, &[service])], 1_000, "route `chat`: the lease's slot `green` does not exist"),
        (
            vec![slot("blue", 0, &[service]), slot("green", 1, &[service])],
            1_000,
            "route `chat`: the lease is of slot `green`, and no other has a weight to go back to",
        ),
        (
            vec![slot("blue", 1, &[service]), slot("green", 1, &[service])],
            0,
            "route `chat`: lease.ms is 0; it must be 1 to 86400000 (a day)",
        ),
    ] {
        let problems = canary(1, Target::Slots(slots), ms).compile().unwrap_err();
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|told| told == problem), "{problems:?}");
    }
}
