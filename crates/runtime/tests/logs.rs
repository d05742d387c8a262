//! Rotation beneath a program that writes as fast as it can and never learns of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use mana_runtime::driver::{Driver, Exit, Spec};
use mana_runtime::logs::{Follow, Limits, rotate, rotated};
use mana_runtime::process::ProcessDriver;

/// Enough lines for some fifty rotations.
const LINES: usize = 60_000;

/// Several processes of one instance write numbered lines, as a shell does: one system call each. (A program that writes
/// blocks instead, such as `seq`, would mix its lines with those of others by itself.)
const WRITERS: &str = "for writer in 1 2 3; do (line=0; while [ $line -lt 60000 ]; do line=$((line + 1)); echo $writer $line; done) & done; wait";

/// Everything that was kept, in order.
fn joined(path: &Path, files: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for number in (0..files).rev() {
        let path = if number == 0 { path.to_owned() } else { rotated(path, number) };
        if let Ok(mut file) = File::open(path) {
            file.read_to_end(&mut all).expect("read");
        }
    }
    // What was punched out reads as zeros.
    all.retain(|byte| *byte != 0);
    all
}

async fn check(folder: &Path) {
    let log = folder.join("1-writer.log");
    let spec = Spec {
        instance: "writer-1".into(),
        argv: ["/bin/sh", "-c", WRITERS].map(str::to_owned).to_vec(),
        cwd: folder.to_owned(),
        env: BTreeMap::new(),
        log_file: log.clone(),
    };
    let limits = Limits { max_bytes: 16 * 1024, keep_files: 1_000 };
    // Followed from before the first line.
    File::create(&log).expect("create");
    let (_, mut follow) = Follow::open(&log, 0).expect("open");
    let handle = ProcessDriver.start(&spec).await.expect("start");
    let mut followed = 0;
    loop {
        let ended = tokio::time::timeout(std::time::Duration::ZERO, handle.exited()).await;
        rotate(&log, limits).expect("rotate");
        followed += follow.poll().expect("poll").len();
        if let Ok(exit) = ended {
            assert_eq!(exit, Exit::Code(0));
            break;
        }
    }
    let cuts = (1..limits.keep_files).take_while(|number| rotated(&log, *number).exists()).count();
    assert!(cuts > 20, "{cuts} rotations are too few to mean anything");

    let all = String::from_utf8(joined(&log, limits.keep_files)).expect("text");
    let mut next = [1_usize; 3];
    for line in all.lines() {
        let (writer, number) = line.split_once(' ').expect("a whole line");
        let writer: usize = writer.parse().expect("a whole line");
        let number: usize = number.parse().expect("a whole line");
        assert_eq!(number, next[writer - 1], "writer {writer}");
        next[writer - 1] += 1;
    }
    assert_eq!(next, [LINES + 1; 3]);
    loop {
        let more = follow.poll().expect("poll").len();
        if more == 0 {
            break;
        }
        followed += more;
    }
    assert_eq!(followed, 3 * LINES, "whoever follows sees every line once");
}

#[tokio::test]
async fn no_line_is_lost_under_fast_writers() {
    let folder = tempfile::tempdir().expect("folder");
    check(folder.path()).await;
}

#[tokio::test]
async fn no_line_is_lost_where_the_head_of_a_file_cannot_be_cut_off() {
    // tmpfs knows holes but no cutting off.
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
    check(folder.path()).await;
}
