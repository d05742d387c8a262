//! Files that change while they are asked for: what is served is old or new, never a mix, and old only for a moment.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Raw, TestEdge, route, site, snapshot, until};

/// Handles that one thread may keep open between requests, as `static_site::kept` has it.
const MAX_KEPT: usize = 64;

/// How long a folder that was replaced may be served from, and some time for a busy machine.
const BOUND: Duration = Duration::from_secs(1);

const LARGE: u64 = 64 * 1024 * 1024;

/// A site that is a link to its release.
fn release(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("one")).unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join("one").join(name), content).unwrap();
    }
    symlink("one", folder.path().join("site")).unwrap();
    folder
}

fn edge_of(folder: &TempDir) -> TestEdge {
    TestEdge::start(&snapshot(vec![route("site", site(&folder.path().join("site")))]))
}

fn get(path: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nhost: site.localhost\r\n\r\n")
}

/// Handles of this process, and so of the edge in it, beneath a folder.
fn open_beneath(folder: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    links.filter_map(|link| std::fs::read_link(link.path()).ok()).filter(|target| target.starts_with(folder)).count()
}

#[tokio::test]
async fn a_replaced_or_removed_file_is_seen_by_the_next_request() {
    let folder = release(&[("a", "first")]);
    let edge = edge_of(&folder);
    let mut client = Raw::connect(edge.address()).await;
    let at = |name: &str| folder.path().join(name);
    let first = client.ask(get("a")).await;
    assert_eq!(first.text(), "first");
    for number in 0..50 {
        let content = format!("{number} {}", "x".repeat(number));
        std::fs::write(at("new"), &content).unwrap();
        std::fs::rename(at("new"), at("one/a")).unwrap();
        let answer = client.ask(get("a")).await;
        assert_eq!((answer.text(), answer.status), (content.as_str(), 200));
        assert_ne!(answer.header("etag"), first.header("etag"));
    }
    std::fs::remove_file(at("one/a")).unwrap();
    assert_eq!(client.ask(get("a")).await.status, 404);
}

#[tokio::test]
async fn a_release_is_served_from_its_folder_soon_after_the_link_is_turned() {
    let folder = release(&[("a", "old")]);
    let edge = edge_of(&folder);
    std::fs::create_dir(folder.path().join("two")).unwrap();
    std::fs::write(folder.path().join("two/a"), "new").unwrap();
    // Asked without a pause on a connection, as a busy site is.
    let mut client = Raw::connect(edge.address()).await;
    assert_eq!(client.ask(get("a")).await.text(), "old");
    symlink("two", folder.path().join("turned")).unwrap();
    std::fs::rename(folder.path().join("turned"), folder.path().join("site")).unwrap();
    let turned = Instant::now();
    while client.ask(get("a")).await.text() == "old" {
        assert!(turned.elapsed() < BOUND, "the old release is still served");
    }
    assert_eq!(client.ask(get("a")).await.text(), "new");
    // Nothing holds on to the old one.
    assert!(open_beneath(&folder.path().join("one")) == 0);
}

#[tokio::test]
async fn an_answer_whose_file_shrinks_is_cut() {
    let folder = release(&[]);
    let path = folder.path().join("one/large");
    File::create(&path).unwrap().set_len(LARGE).unwrap();
    let edge = edge_of(&folder);
    let mut client = Raw::connect(edge.address()).await;
    client.write(get("large")).await;
    let head = client.head().await;
    assert_eq!(head.header("content-length"), Some(LARGE.to_string().as_str()));
    // More than any socket holds is still to come.
    File::options().write(true).open(&path).unwrap().set_len(1_000).unwrap();
    let came = client.rest().await.len() as u64;
    assert!(came < LARGE, "{came}");
    let mut client = Raw::connect(edge.address()).await;
    assert_eq!(client.ask(get("large")).await.body.len(), 1_000, "the next one is told what it is now");
}

#[tokio::test]
async fn however_many_files_are_asked_for_few_stay_open_and_none_when_nobody_asks() {
    const FILES: usize = 500;
    let folder = release(&[]);
    for number in 0..FILES {
        std::fs::write(folder.path().join(format!("one/{number}.css")), "plain").unwrap();
        std::fs::write(folder.path().join(format!("one/{number}.css.gz")), "gz").unwrap();
    }
    let threads = 2;
    let edge = edge_of(&folder);
    let mut clients = [Raw::connect(edge.address()).await, Raw::connect(edge.address()).await];
    for number in 0..FILES {
        for client in &mut clients {
            let asked = format!("GET /{number}.css HTTP/1.1\r\nhost: site.localhost\r\naccept-encoding: gzip\r\n\r\n");
            assert_eq!(client.ask(asked).await.text(), "gz");
        }
        let open = open_beneath(folder.path());
        assert!(open <= threads * MAX_KEPT, "{open} are open");
    }
    until("all are closed", async || open_beneath(folder.path()) == 0).await;
    drop(clients);
}
