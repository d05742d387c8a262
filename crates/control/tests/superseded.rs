//! A newer rollout takes the place of those before it, wherever the control plane is killed while they are told: what was pushed
//! before is not deployed over what was pushed last.
//!
//! What holds the control plane at exactly that point are triggers in its own database, so the program knows nothing of this.

mod support;

use std::time::Duration;

use mana_control::api::Deploy;
use mana_control::paths;
use rusqlite::Connection;

use support::Ecosystem;
use support::shop::{SHOP, reaches, release, slots, up, version};

fn memory(ecosystem: &Ecosystem) -> Connection {
    let memory = Connection::open(paths::database(&ecosystem.data())).expect("open");
    memory.busy_timeout(Duration::from_secs(5)).expect("set");
    memory
}

async fn begin(ecosystem: &Ecosystem, version: &str, supersede: bool, pause_at: Option<&str>) -> u64 {
    let deploy = Deploy {
        service: SHOP.into(),
        release: Some(version.into()),
        by: "ada".into(),
        supersede,
        pause_at: pause_at.map(str::to_owned),
        overrides: Vec::new(),
        key: None,
    };
    ecosystem.client().await.deploy(&deploy).await.expect("begun").number
}

#[tokio::test]
async fn those_before_it_end_wherever_the_control_plane_is_killed_while_they_are_told() {
    let mut ecosystem = up("rollout = { canary = [], warm = \"0s\" }").await;
    for version in ["v1", "v2", "v3", "v4", "v5"] {
        release(&ecosystem, version, "");
    }
    // Nobody is told, only the one that waits, only the one that is under way.
    for (round, held) in (0..).zip([&[1, 2][..], &[1], &[2]]) {
        let (first, newest) = (3 * round + 1, format!("v{}", 3 + round));
        assert_eq!(begin(&ecosystem, "v1", false, Some("green-starting")).await, first);
        reaches(&ecosystem, first, &["held"]).await;
        assert_eq!(begin(&ecosystem, "v2", false, None).await, first + 1);
        for which in held {
            let trigger = format!(
                "CREATE TRIGGER hold_{which} BEFORE INSERT ON rollout_journal WHEN new.rollout = {} \
                 BEGIN SELECT RAISE(ABORT, 'held by a test'); END;",
                3 * round + which
            );
            memory(&ecosystem).execute_batch(&trigger).expect("a trigger");
        }
        assert_eq!(begin(&ecosystem, &newest, true, None).await, first + 2);
        ecosystem.kill_control();
        for which in held {
            memory(&ecosystem).execute_batch(&format!("DROP TRIGGER hold_{which}")).expect("dropped");
        }
        ecosystem.start_control().await;
        for number in [first, first + 1] {
            reaches(&ecosystem, number, &["superseded"]).await;
        }
        reaches(&ecosystem, first + 2, &["done"]).await;
        assert_eq!((version(&ecosystem).await, slots(&ecosystem).await.len()), (newest, 1), "{held:?}");
    }
    ecosystem.down().await;
}
