//! A disk that is truly full: a tmpfs of the test's own, in a mount namespace of its own, shrunk to what it holds in the middle of a rollout.
//! As long as nothing can be written down nothing goes on, no user notices, and once there is room all ends as if there always had been.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

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
        supersede: false,
        pause_at: None,
        overrides: Vec::new(),
        key: None,
    }
}
