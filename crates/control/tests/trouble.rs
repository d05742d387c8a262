//! A rollout while things around it go wrong: clocks that are set, builds that say too much, staging that dies, people who change their mind.

mod support;

use std::fs;
use std::time::Duration;

use mana_control::api::PutBack;

use support::repository::{Repository, SHOP};
use support::shop::{self, QUICK, deploy, reaches, release, version};
use support::{Ecosystem, Load, until, until_within};

/// More than any log of a build has: 8 MiB and a quarter.
const MOST_LOG_BYTES: u64 = 9 << 20;
/// What the control plane may have at most: far below the gibibyte that goes through it.
const MEMORY_BYTES: u64 = 200 << 20;

fn put_back() -> PutBack {
    PutBack { service: SHOP.into(), by: "ada".into(), slot: None, release: None, key: None }
}

fn peak_memory_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// Of a folder and all below it.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("readable").flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect()
}

#[tokio::test]
async fn a_build_that_prints_a_gibibyte_is_built_and_neither_memory_nor_disk_holds_it() {
    let repository = Repository::with_staging("").await;
    let makes = "mkdir -p out && cp shop.sh out/shop && chmod +x out/shop";
    repository.script(
        "make.sh",
        &format!("echo first; yes 0123456789abcdef0123456789abcdef | head -c 1073741824; {makes}; echo last"),
    );
    repository.commit("talkative");
    let begun = repository.deploy(None).await.expect("begun");
    until_within(Duration::from_mins(3), "it serves", async || {
        let view = repository.production.client().await.rollout_view(begun.number).await.expect("known");
        assert!(!view.over, "{view:#?}");
        (view.stage == "window").then_some(())
    })
    .await;
    let most = peak_memory_bytes(repository.production.control_pid());
    assert!(most < MEMORY_BYTES, "{most} bytes");
    let data = repository.production.data();
    let kept: Vec<_> = ["builds", "releases", "rollouts"].iter().flat_map(|part| files(&data.join(part))).collect();
    let size = |path: &std::path::PathBuf| path.metadata().map_or(0, |about| about.len());
    let large: Vec<_> =
        kept.iter().filter(|path| size(path) >= MOST_LOG_BYTES).map(|path| (path, size(path))).collect();
    assert!(large.is_empty(), "{large:?}");
    // Begin and end are what matters of a build.
    let log = kept.iter().find(|path| path.ends_with("build.log")).expect("a release has one");
    let log = String::from_utf8(fs::read(log).expect("read")).expect("text");
    let (head, tail) = (&log[..40], &log[log.len() - 40..]);
    assert!(head.contains("first") && tail.contains("last"), "{head:?} … {tail:?}");
    let said = repository.said(begun.number).await;
    assert!(said.contains("first"), "{said}");
    repository.down().await;
}

#[tokio::test]
async fn staging_that_is_killed_half_way_is_waited_for_and_goes_on() {
    let mut repository = Repository::with_staging("").await;
    repository.write("version", "two");
    repository.script("make.sh", "mkdir -p out && sed 's/VERSION_HERE/two/; s/exec/START_MILLIS=3000 exec/' shop.sh > out/shop && chmod +x out/shop");
    repository.commit("two, which starts slowly");
    let begun = repository.deploy(None).await.expect("begun");
    repository.reaches(begun.number, &["staging"]).await;
    let staging = repository.staging.as_mut().expect("there");
    until("staging has begun", async || {
        let rollouts = staging.client().await.rollouts(Some(SHOP)).await.expect("listed");
        (!rollouts.is_empty()).then_some(())
    })
    .await;
    staging.kill_control();
    tokio::time::sleep(Duration::from_secs(1)).await;
    staging.start_control().await;
    repository.reaches(begun.number, &["window"]).await;
    let staging = repository.staging.as_ref().expect("there").client().await;
    assert_eq!(staging.rollouts(Some(SHOP)).await.expect("listed").len(), 1, "asked again, it was the same rollout");
    assert_eq!(repository.version().await, "two");
    repository.down().await;
}

#[tokio::test]
async fn a_rollback_while_the_new_version_migrates_leaves_the_old_one_serving_and_no_migration_behind() {
    let mut ecosystem = Ecosystem::start().await;
    shop::write_program(ecosystem.folder.path(), "v0", "");
    let log = ecosystem.folder.path().join("migrations");
    let service =
        shop::shop(&format!("migrate = [\"migrate\"]\n{QUICK}")).env("MIGRATIONS", log.to_str().expect("a path"));
    ecosystem.up(&[service]).await;
    release(&ecosystem, "v1", "MIGRATION_MILLIS=60000");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    let migrations = || fs::read_to_string(&log).expect("written").lines().count();
    until("it migrates", async || (migrations() == 2).then_some(())).await;
    ecosystem.client().await.put_back(&put_back()).await.expect("taken");
    reaches(&ecosystem, number, &["aborted", "rolled-back"]).await;
    until("only the old one is left", async || {
        let instances = ecosystem.service(SHOP).await.instances;
        (instances.len() == 1).then_some(())
    })
    .await;
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v0");
    // And what was to come goes through: nothing is left that stands in its way.
    release(&ecosystem, "v2", "");
    let number = deploy(&ecosystem, "v2").await.number;
    let load = Load::on(&ecosystem, SHOP, "/work");
    reaches(&ecosystem, number, &["window"]).await;
    load.end().await;
    ecosystem.down().await;
}

/// Where Debian has the library that tells a program another time of day.
fn faketime() -> std::path::PathBuf {
    let found = ["x86_64", "aarch64"].map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1"));
    let found = found.into_iter().map(std::path::PathBuf::from).find(|path| path.exists());
    found.expect("Debian's package `faketime` is needed, as scripts/test-services.sh install brings")
}

#[tokio::test]
async fn a_clock_that_is_set_an_hour_on_or_back_neither_shortens_nor_lengthens_a_rollout() {
    let told = tempfile::NamedTempFile::new().expect("a file");
    let set = |offset: &str| fs::write(told.path(), offset).expect("written");
    set("+0");
    let day = vec![
        ("LD_PRELOAD", faketime().into_os_string()),
        ("FAKETIME_TIMESTAMP_FILE", told.path().as_os_str().to_owned()),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("DONT_FAKE_MONOTONIC", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ];
    let mut ecosystem = Ecosystem::with_variables(day).await;
    shop::write_program(ecosystem.folder.path(), "v0", "");
    ecosystem
        .up(&[shop::shop("rollout = { canary = [\"20% 4s\"], warm = \"6s\", guard = \"1s\", requests = 20 }")])
        .await;
    release(&ecosystem, "v1", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let journal_time = async || {
        let at = ecosystem.client().await.journal(1).await.expect("journal")[0].at.clone();
        at.parse::<jiff::Timestamp>().expect("a time").as_second()
    };
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["canary"]).await;
    let (before, began) = (journal_time().await, std::time::Instant::now());
    set("+3700");
    reaches(&ecosystem, number, &["window"]).await;
    assert!(began.elapsed() > Duration::from_secs(3), "the canary was shortened");
    assert!(journal_time().await > before + 3_600, "the clock was set");
    let began = std::time::Instant::now();
    set("-3700");
    tokio::time::sleep(Duration::from_secs(2)).await;
    set("+3700");
    tokio::time::sleep(Duration::from_secs(1)).await;
    set("-3700");
    reaches(&ecosystem, number, &["done"]).await;
    assert!(began.elapsed() > Duration::from_secs(5), "the window was shortened");
    load.end().await;
    assert_eq!(version(&ecosystem).await, "v1");
    ecosystem.down().await;
}
