//! The control plane is killed with `kill -9` at every entry of a rollout's journal, one after the other: right before the entry is
//! committed, when what the entry before asked for is done, and right after, before anything that it asks for is done. However it
//! is killed, the rollout ends as one that nobody disturbs does, and no request fails.
//!
//! What holds it at exactly that point are triggers in its own database, so the program knows nothing of this. Kills in all other stages, and
//! of rollouts that are superseded, are those of the reducer's own tests (`kills.rs` of `mana-delivery`) and of `superseded.rs` here.

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use mana_control::api::PutBack;
use mana_control::paths;
use rusqlite::{Connection, TransactionBehavior};

use support::shop::{QUICKEST, SHOP, deploy, ended, reaches, release, slots, up, version};
use support::{Ecosystem, Load, until};

/// Where the control plane dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// The entry of this number is about to be committed; what was asked for before it is done.
    Before(u32),
    /// It is committed; nothing that is on disk is done of what it asks for.
    After(u32),
}

/// More entries than any rollout here has: it would go round in circles.
const MOST_ENTRIES: u32 = 200;
const HELD: &str = "held by a test";
/// Between two requests of one of the four connections to an ecosystem: there are many of them.
const PAUSE: Duration = Duration::from_millis(60);
/// So many ecosystems share the work: a gate looks every ten seconds, most of which nothing happens in.
const LANES: u32 = 8;

/// Every death of which this one is the share of one of `of` ecosystems.
fn deaths(turn: u32, of: u32) -> impl Iterator<Item = Death> {
    let all = (1..=MOST_ENTRIES).flat_map(|entry| [Death::Before(entry), Death::After(entry)]);
    all.skip(usize::try_from(turn).expect("small")).step_by(usize::try_from(of).expect("small"))
}

fn memory(ecosystem: &Ecosystem) -> Connection {
    let memory = Connection::open(paths::database(&ecosystem.data())).expect("open");
    memory.busy_timeout(Duration::from_secs(5)).expect("set");
    memory
}

/// From here on the journal of this rollout takes so many entries more and none after them; and when a death comes after an entry,
/// nothing else is written after it either. Answers with the entry's own number.
fn hold(ecosystem: &Ecosystem, rollout: u64, death: Death) -> Death {
    let mut memory = memory(ecosystem);
    let transaction = memory.transaction_with_behavior(TransactionBehavior::Immediate).expect("begun");
    let so_far = entries(&transaction, rollout).0;
    let (death, last) = match death {
        Death::Before(entry) => (Death::Before(so_far + entry), so_far + entry - 1),
        Death::After(entry) => (Death::After(so_far + entry), so_far + entry),
    };
    let refuse = format!("BEGIN SELECT RAISE(ABORT, '{HELD}'); END;");
    let hold = |name: &str, when: &str| {
        transaction.execute_batch(&format!("CREATE TRIGGER hold_{name} BEFORE {when} {refuse}")).expect("a trigger");
    };
    hold("journal", &format!("INSERT ON rollout_journal WHEN new.rollout = {rollout} AND new.number > {last}"));
    if let Death::After(entry) = death {
        let written = format!("EXISTS (SELECT 1 FROM rollout_journal WHERE rollout = {rollout} AND number >= {entry})");
        for table in ["slots", "services", "instances"] {
            for way in ["INSERT", "UPDATE", "DELETE"] {
                hold(&format!("{table}_{way}"), &format!("{way} ON {table} WHEN {written}"));
            }
        }
    }
    transaction.commit().expect("committed");
    death
}

/// How many entries there are, and how it ended.
fn entries(memory: &Connection, rollout: u64) -> (u32, Option<String>) {
    let query =
        "SELECT count(*), (SELECT ended FROM rollouts WHERE number = ?1) FROM rollout_journal WHERE rollout = ?1";
    memory
        .query_row(query, [i64::try_from(rollout).expect("small")], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("read")
}

fn let_go(ecosystem: &Ecosystem) {
    let memory = memory(ecosystem);
    let mut query = memory.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").expect("query");
    let names: Vec<String> =
        query.query_map([], |row| row.get(0)).expect("read").map(|name| name.expect("text")).collect();
    for name in names {
        memory.execute_batch(&format!("DROP TRIGGER {name}")).expect("dropped");
    }
}

/// Waits until it is there, or until the rollout ended on the way.
async fn is_there(ecosystem: &Ecosystem, rollout: u64, death: Death, began: &str) -> bool {
    let memory = memory(ecosystem);
    until(&format!("{death:?} of {rollout}"), async || {
        let (entries, ended) = entries(&memory, rollout);
        let there = match death {
            // What was asked for before it is done when it is tried to be written: that is what it says.
            Death::Before(entry) => {
                let log = || std::fs::read_to_string(paths::control_log(&ecosystem.data())).expect("a log");
                entries + 1 == entry && log().contains(HELD)
            }
            Death::After(entry) => entries == entry,
        };
        if there { Some(true) } else { ended.filter(|ended| ended != began).map(|_| false) }
    })
    .await
}

/// Kills it there, if the way leads there, and lets it begin anew.
async fn dies(ecosystem: &mut Ecosystem, rollout: u64, death: Death, began: &str) -> bool {
    let there = is_there(ecosystem, rollout, death, began).await;
    if there {
        ecosystem.kill_control();
    }
    let_go(ecosystem);
    if there {
        std::fs::remove_file(paths::control_log(&ecosystem.data())).expect("removed");
        ecosystem.start_control().await;
    }
    there
}

/// What one ecosystem has gone through without a failed request.
struct Survived {
    died: u32,
    requests: u64,
}

/// For whoever reads along, `benches/delivery/run.py` too.
fn told(what: &str, all: &[Survived], least: u32) {
    let (died, requests) = all.iter().fold((0, 0), |(died, requests), one| (died + one.died, requests + one.requests));
    println!("{what}: killed {died} times, {requests} requests, none failed");
    assert!(died >= least, "{what} has too few entries for this to prove anything: {died}");
}

/// All that one of the ecosystems goes through; answers how many deaths there were.
async fn good_rollouts(turn: u32, of: u32) -> Survived {
    let mut ecosystem = up(&format!("migrate = [\"migrate\"]\n{QUICKEST}")).await;
    release(&ecosystem, "v1", "");
    release(&ecosystem, "v2", "");
    let load = Load::with_pauses(ecosystem.port(SHOP), "/work", PAUSE);
    let mut died = 0;
    for (number, death) in (1..).zip(deaths(turn, of)) {
        let new = if number % 2 == 1 { "v1" } else { "v2" };
        hold(&ecosystem, number, death);
        assert_eq!(deploy(&ecosystem, new).await.number, number);
        let there = dies(&mut ecosystem, number, death, "").await;
        let view = ended(&ecosystem, number).await;
        assert_eq!(view.stage, "done", "{death:?}: {view:#?}");
        assert_eq!(version(&ecosystem).await, new, "{death:?}");
        assert_eq!(slots(&ecosystem).await, [(view.new.slot.clone(), new.to_owned())], "{death:?}");
        if !there {
            break;
        }
        died += 1;
    }
    let requests = load.end().await;
    ecosystem.down().await;
    Survived { died, requests }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_ends_as_an_undisturbed_one_wherever_the_control_plane_is_killed() {
    let all = join_all((0..LANES).map(|lane| good_rollouts(lane, LANES))).await;
    told("a rollout", &all, 20);
}

async fn bad_rollouts(turn: u32, of: u32) -> Survived {
    let mut ecosystem = up("rollout = { canary = [\"50% 1m\"], warm = \"1h\", requests = 10 }").await;
    release(&ecosystem, "v1", "FAILS=60");
    let port = ecosystem.port(SHOP);
    let load = Load::with_pauses(port, "/", PAUSE);
    let users = tokio::spawn(async move {
        loop {
            // These fail, as far as they meet the new version.
            let _ = support::get(port, "/work").await;
            tokio::time::sleep(PAUSE).await;
        }
    });
    let mut died = 0;
    for (number, death) in (1..).zip(deaths(turn, of)) {
        hold(&ecosystem, number, death);
        assert_eq!(deploy(&ecosystem, "v1").await.number, number);
        let there = dies(&mut ecosystem, number, death, "").await;
        let view = ended(&ecosystem, number).await;
        // Before it ever got a request an unwatched moment may end it as well; it never serves.
        assert!(["rolled-back", "aborted"].contains(&view.stage.as_str()), "{death:?}: {view:#?}");
        assert_eq!((view.new.percent, version(&ecosystem).await.as_str()), (0, "v0"), "{death:?}");
        assert_eq!(slots(&ecosystem).await.len(), 1, "{death:?}");
        if !there {
            break;
        }
        died += 1;
    }
    users.abort();
    let requests = load.end().await;
    ecosystem.down().await;
    Survived { died, requests }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_release_goes_back_wherever_the_control_plane_is_killed() {
    let all = join_all((0..LANES).map(|lane| bad_rollouts(lane, LANES))).await;
    told("a bad release goes back", &all, 12);
}

/// From the moment at which somebody asks for the old version, in the canary or when it is done.
async fn rollbacks(when: &'static str, turn: u32, of: u32) -> Survived {
    let mut ecosystem = up(match when {
        "canary" => "rollout = { canary = [\"20% 1m\"], warm = \"1h\" }",
        _ => "rollout = { canary = [], warm = \"1s\", guard = \"1s\", requests = 10, errors = \"20%\", slow_share = \"50%\" }",
    })
    .await;
    release(&ecosystem, "v1", "");
    let load = Load::with_pauses(ecosystem.port(SHOP), "/work", PAUSE);
    let mut died = 0;
    for (number, death) in (1..).zip(deaths(turn, of)) {
        deploy(&ecosystem, "v1").await;
        reaches(&ecosystem, number, &[when]).await;
        // The request itself may be what is not answered any more: whoever does not hear asks again.
        let put_back = PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None };
        let death = hold(&ecosystem, number, death);
        let _ = ecosystem.client().await.put_back(&put_back).await;
        let there = dies(&mut ecosystem, number, death, when).await;
        ecosystem.client().await.put_back(&put_back).await.expect("taken");
        let view = reaches(&ecosystem, number, &["rolled-back"]).await;
        assert_eq!((view.new.percent, version(&ecosystem).await.as_str()), (0, "v0"), "{death:?}");
        assert_eq!(slots(&ecosystem).await.len(), 1, "{death:?}");
        if !there {
            break;
        }
        died += 1;
    }
    let requests = load.end().await;
    ecosystem.down().await;
    Survived { died, requests }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_puts_the_old_version_back_wherever_the_control_plane_is_killed() {
    let (canary, done) = tokio::join!(
        join_all((0..2).map(|lane| rollbacks("canary", lane, 2))),
        join_all((0..6).map(|lane| rollbacks("done", lane, 6))),
    );
    told("a rollback in the canary", &canary, 5);
    told("a rollback when it is done", &done, 8);
}
