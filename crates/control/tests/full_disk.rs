//! A disk that is truly full: a tmpfs of the test's own, in a mount namespace of its own, shrunk to what it holds in the middle of a rollout,
//! or filled by a build. As long as nothing can be written down nothing goes on, no user notices, and once there is room all ends as if there
//! always had been. What has filled it goes.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::repository::Repository;
use support::shop::{SHOP, deploy, reaches, release, up, version};
use support::{Ecosystem, Load, until};

/// Where the disk is, for the test that runs on it.
const DISK: &str = "MANA_TEST_DISK";
/// More than all of it needs: memory is used only for what is written.
const ROOMY: &str = "4g";
const ROLLOUT: &str = "rollout = { canary = [\"20% 3s\"], warm = \"1s\", guard = \"1s\", requests = 10, errors = \"20%\", slow_share = \"50%\" }";
/// The canary would be over by then, and what comes after it; the lease of its weight would not.
const FULL_FOR: Duration = Duration::from_secs(15);

/// The test once more, on a disk of its own. Whoever is not root makes one as the root of a user namespace.
fn on_a_disk_of_its_own(test: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let mount = format!("mount -t tmpfs -o size={ROOMY},mode=700 tmpfs \"${DISK}\" && exec \"$0\" \"$@\"");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &mount]);
    command.arg(std::env::current_exe().expect("this program")).args(["--exact", test, "--nocapture"]);
    let ended = command.env(DISK, folder.path()).env("TMPDIR", folder.path()).status();
    let ended = ended.expect("unshare of util-linux can be run");
    assert!(ended.success(), "with a tmpfs in a mount namespace (which this machine has to allow): {ended}");
}

struct Disk(PathBuf);

impl Disk {
    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let ended = Command::new("mount").args(["-o", &options]).arg(&self.0).status().expect("mount runs");
        assert!(ended.success(), "the disk cannot have {size}");
    }

    fn used_kib(&self) -> u64 {
        let output = Command::new("df").args(["-k", "--output=used"]).arg(&self.0).output().expect("df runs");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a figure")
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Not a byte more goes onto it.
    fn fill(&self) {
        self.resize(&format!("{}k", self.used_kib() + 512));
        let mut filler = std::fs::File::create(self.filler()).expect("made");
        while filler.write_all(&[0; 4096]).is_ok() {}
        self.is_full();
    }

    fn is_full(&self) {
        let probe = self.0.join("probe");
        let written = std::fs::write(&probe, [0; 8192]).expect_err("there is room");
        assert_eq!(written.kind(), std::io::ErrorKind::StorageFull);
        let _ = std::fs::remove_file(probe);
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).expect("removed");
        self.resize(ROOMY);
    }
}

fn entries(data: &Path, rollout: u64) -> u32 {
    let memory = rusqlite::Connection::open(mana_control::paths::database(data)).expect("opened");
    memory.busy_timeout(Duration::from_secs(5)).expect("set");
    let rollout = i64::try_from(rollout).expect("small");
    memory
        .query_row("SELECT count(*) FROM rollout_journal WHERE rollout = ?1", [rollout], |row| row.get(0))
        .expect("read")
}

/// What was written since the last checkpoint lies in a file that has its size already: it is emptied, so that a write needs room.
fn empty_log(data: &Path) {
    let memory = rusqlite::Connection::open(mana_control::paths::database(data)).expect("opened");
    memory.busy_timeout(Duration::from_secs(5)).expect("set");
    memory.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("emptied");
}

#[tokio::test]
async fn a_full_disk_holds_a_rollout_where_it_is_and_no_request_fails() {
    let Some(disk) = std::env::var_os(DISK) else {
        return on_a_disk_of_its_own("a_full_disk_holds_a_rollout_where_it_is_and_no_request_fails");
    };
    let disk = Disk(disk.into());
    let mut ecosystem = up(ROLLOUT).await;
    assert!(ecosystem.data().starts_with(&disk.0), "its data lies on the disk");
    release(&ecosystem, "v1", "");
    release(&ecosystem, "v2", "");
    let load = Load::on(&ecosystem, SHOP, "/work");
    let number = deploy(&ecosystem, "v1").await.number;
    reaches(&ecosystem, number, &["canary"]).await;
    empty_log(&ecosystem.data());
    disk.fill();
    let before = settled(&ecosystem, number).await;
    tokio::time::sleep(FULL_FOR).await;
    assert_eq!(entries(&ecosystem.data(), number), before, "nothing goes on that is not written down");
    disk.is_full();
    let refused = ecosystem.client().await.deploy(&newer()).await.expect_err("it cannot be written down");
    assert!(!refused.to_string().is_empty());
    disk.free();
    let done = reaches(&ecosystem, number, &["done", "rolled-back", "aborted", "held", "stuck"]).await;
    assert_eq!((done.stage.as_str(), version(&ecosystem).await.as_str()), ("done", "v1"), "{done:#?}");
    let next = deploy(&ecosystem, "v2").await.number;
    reaches(&ecosystem, next, &["done"]).await;
    assert_eq!(version(&ecosystem).await, "v2");
    load.end().await;
    ecosystem.down().await;
}

/// Room that is left for a build that wants all there is.
const ROOM_KIB: u64 = 160 << 10;
/// Logs, journals, measurements.
const KEPT_KIB: u64 = 32 << 10;

/// Files and folders of that name, or that begin so, below a folder.
fn found(folder: &Path, begins: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(begins) {
            found.push(entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(self::found(&entry.path(), begins));
        }
    }
    found
}

#[tokio::test]
async fn a_build_that_fills_the_disk_fails_saying_so_and_the_next_one_is_made() {
    let Some(disk) = std::env::var_os(DISK) else {
        return on_a_disk_of_its_own("a_build_that_fills_the_disk_fails_saying_so_and_the_next_one_is_made");
    };
    let disk = Disk(disk.into());
    let repository = Repository::with_staging("").await;
    let makes = std::fs::read_to_string(repository.folder().join("make.sh")).expect("a script");
    repository.script("make.sh", "mkdir -p out; cat /dev/zero > out/filler");
    repository.commit("wants all there is");
    let before = disk.used_kib();
    disk.resize(&format!("{}k", before + ROOM_KIB));
    let load = Load::at(repository.port, "/work");
    let begun = repository.deploy(None).await.expect("begun");
    let view = repository.reaches(begun.number, &["aborted"]).await;
    let why = view.why.expect("a reason");
    assert!(why.contains("left on the disk of") && why.contains("builds/source"), "{why}");
    assert!(repository.stages(begun.number).await.contains(&"building".to_owned()));
    // Nothing has to be removed by hand, and nothing is half there.
    let after = disk.used_kib();
    assert!(after < before + KEPT_KIB, "{after} KiB used, {before} before");
    let data = repository.production.data();
    for (folder, begins) in [("builds/source", "filler"), ("releases", ".new-")] {
        let left = found(&data.join(folder), begins);
        assert!(left.is_empty(), "{left:?}");
    }

    repository.write("make.sh", &makes);
    repository.write("version", "two");
    repository.commit("wants little");
    let next = repository.deploy(None).await.expect("begun");
    repository.reaches(next.number, &["window"]).await;
    assert_eq!(repository.version().await, "two");
    load.end().await;
    repository.down().await;
}

/// Nothing more gets into what room is left within the files.
async fn settled(ecosystem: &Ecosystem, number: u64) -> u32 {
    let mut last = (entries(&ecosystem.data(), number), std::time::Instant::now());
    until("it stands still", async || {
        let now = entries(&ecosystem.data(), number);
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(3)).then_some(now)
    })
    .await
}

fn newer() -> mana_control::api::Deploy {
    mana_control::api::Deploy {
        service: SHOP.into(),
        release: Some("v2".into()),
        by: "ada".into(),
        ..mana_control::api::Deploy::default()
    }
}
