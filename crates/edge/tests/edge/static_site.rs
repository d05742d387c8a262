//! Files as a browser gets them.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use mana_edge::snapshot::{StaticSite, Target};
use tempfile::TempDir;

use crate::support::{Answer, Process, Raw, TestEdge, route, send, site, snapshot, until};

/// A site with something of everything, and a secret beside it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("public");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::create_dir_all(root.join("bare")).unwrap();
    std::fs::create_dir_all(root.join(".well-known")).unwrap();
    for (name, content) in [
        ("index.html", "<h1>home</h1>"),
        ("404.html", "<h1>lost</h1>"),
        ("sub/index.html", "<h1>sub</h1>"),
        ("app.js", "plain javascript"),
        ("app.js.br", "brotli"),
        ("app.js.gz", "gzip"),
        ("only.css", "plain css"),
        ("only.css.gz", "gz css"),
        ("with space.txt", "space"),
        (".env", "SECRET=1"),
        (".well-known/security.txt", "contact"),
        ("../secret.txt", "secret"),
    ] {
        std::fs::write(root.join(name), content).unwrap();
    }
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
    std::fs::write(root.join("large.bin"), large).unwrap();
    std::fs::write(root.join("empty.txt"), "").unwrap();
    symlink(folder.path().join("secret.txt"), root.join("outside.txt")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("app.js", root.join("inside.js")).unwrap();
    symlink("../secret.txt", root.join("sub/up.txt")).unwrap();
    folder
}

fn edge_of(folder: &TempDir) -> TestEdge {
    TestEdge::start(&snapshot(vec![route("site", site(&folder.path().join("public")))]))
}

async fn ask(edge: &TestEdge, path: &str, headers: &str) -> Answer {
    send(edge.address(), &format!("GET {path} HTTP/1.1\r\nhost: site.localhost\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn files_are_given_out_with_their_type_and_folders_with_their_index() {
    let folder = folder();
    let edge = edge_of(&folder);
    for (path, kind, body) in [
        ("/", "text/html; charset=utf-8", "<h1>home</h1>"),
        ("/index.html", "text/html; charset=utf-8", "<h1>home</h1>"),
        ("/?utm=1", "text/html; charset=utf-8", "<h1>home</h1>"),
        ("/sub/", "text/html; charset=utf-8", "<h1>sub</h1>"),
        ("/app.js", "text/javascript; charset=utf-8", "plain javascript"),
        ("/inside.js", "text/javascript; charset=utf-8", "plain javascript"),
        ("/with%20space.txt", "text/plain; charset=utf-8", "space"),
        ("/.well-known/security.txt", "text/plain; charset=utf-8", "contact"),
        ("/empty.txt", "text/plain; charset=utf-8", ""),
    ] {
        let answer = ask(&edge, path, "").await;
        assert_eq!((answer.status, answer.header("content-type"), answer.text()), (200, Some(kind), body), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(answer.header("etag").is_some() && answer.header("last-modified").is_some(), "{path}");
    }
    let answer = ask(&edge, "/sub?x=1", "").await;
    assert_eq!((answer.status, answer.header("location")), (308, Some("/sub/?x=1")));
}

#[tokio::test]
async fn nothing_outside_the_folder_and_nothing_hidden_is_given_out() {
    let folder = folder();
    let edge = edge_of(&folder);
    for path in [
        "/outside.txt",
        "/etc/passwd",
        "/sub/up.txt",
        "/.env",
        "/%2eenv",
        "/bare/",
        "/missing",
        "/index.html/",
        "/index.html/x",
        "//etc/passwd",
        "/sub//index.html",
        "/.well-known",
    ] {
        let answer = ask(&edge, path, "").await;
        assert!(matches!(answer.status, 404 | 308), "{path}: {answer:?}");
        assert!(!answer.text().contains("secret") && !answer.text().contains("root:"), "{path}");
    }
    for path in [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/%2E%2E/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub%2f..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/%00",
        "/index.html%00.txt",
        "/%zz",
    ] {
        assert_eq!(ask(&edge, path, "").await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn only_reading_is_possible() {
    let folder = folder();
    let edge = edge_of(&folder);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer =
            send(edge.address(), &format!("{method} / HTTP/1.1\r\nhost: site.localhost\r\ncontent-length: 0\r\n\r\n"))
                .await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let mut client = Raw::connect(edge.address()).await;
    for (path, length) in [("/", "13"), ("/large.bin", "1000000")] {
        client.write(format!("HEAD {path} HTTP/1.1\r\nhost: site.localhost\r\n\r\n")).await;
        let answer = client.answer_to("HEAD").await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some(length)), "{path}");
    }
}

#[tokio::test]
async fn what_the_client_has_already_is_not_sent_again() {
    let folder = folder();
    let edge = edge_of(&folder);
    let first = ask(&edge, "/app.js", "").await;
    let (etag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    let (before, after) = ("Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    for (headers, status) in [
        (format!("if-none-match: {etag}\r\n"), 304),
        (format!("if-none-match: W/{etag}\r\n"), 304),
        (format!("if-none-match: \"other\", {etag}\r\n"), 304),
        ("if-none-match: *\r\n".to_owned(), 304),
        ("if-none-match: \"other\"\r\n".to_owned(), 200),
        (format!("if-none-match: \"other\"\r\nif-modified-since: {after}\r\n"), 200),
        (format!("if-modified-since: {modified}\r\n"), 304),
        (format!("if-modified-since: {after}\r\n"), 304),
        (format!("if-modified-since: {before}\r\n"), 200),
        ("if-modified-since: nonsense\r\n".to_owned(), 200),
    ] {
        let mut client = Raw::connect(edge.address()).await;
        client.write(format!("GET /app.js HTTP/1.1\r\nhost: site.localhost\r\n{headers}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(answer.header("etag"), Some(etag), "{headers}");
    }
    std::fs::write(folder.path().join("public/app.js"), "changed javascript").unwrap();
    let changed = ask(&edge, "/app.js", &format!("if-none-match: {etag}\r\n")).await;
    assert_eq!((changed.status, changed.text()), (200, "changed javascript"));
}

#[tokio::test]
async fn parts_of_files_can_be_asked_for() {
    let folder = folder();
    let edge = edge_of(&folder);
    let large = std::fs::read(folder.path().join("public/large.bin")).unwrap();
    let etag = ask(&edge, "/large.bin", "").await.header("etag").unwrap().to_owned();
    for (headers, status, from, length, range) in [
        ("range: bytes=0-9\r\n".to_owned(), 206, 0, 10, Some("bytes 0-9/1000000")),
        ("range: bytes=100-299999\r\n".to_owned(), 206, 100, 299_900, Some("bytes 100-299999/1000000")),
        ("range: bytes=999990-\r\n".to_owned(), 206, 999_990, 10, Some("bytes 999990-999999/1000000")),
        ("range: bytes=-5\r\n".to_owned(), 206, 999_995, 5, Some("bytes 999995-999999/1000000")),
        ("range: bytes=1000000-\r\n".to_owned(), 416, 0, 0, Some("bytes */1000000")),
        ("range: bytes=0-1,5-6\r\n".to_owned(), 200, 0, 1_000_000, None),
        (format!("range: bytes=0-9\r\nif-range: {etag}\r\n"), 206, 0, 10, Some("bytes 0-9/1000000")),
        ("range: bytes=0-9\r\nif-range: \"other\"\r\n".to_owned(), 200, 0, 1_000_000, None),
    ] {
        let answer = ask(&edge, "/large.bin", &headers).await;
        assert_eq!((answer.status, answer.header("content-range")), (status, range), "{headers}");
        assert!(answer.body == large[from..from + length], "{headers}");
    }
}

#[tokio::test]
async fn a_smaller_form_is_sent_to_those_who_take_it() {
    let folder = folder();
    let edge = edge_of(&folder);
    let mut etags = Vec::new();
    for (path, accepts, coding, body) in [
        ("/app.js", "gzip, br", Some("br"), "brotli"),
        ("/app.js", "gzip", Some("gzip"), "gzip"),
        ("/app.js", "br;q=0.1, gzip", Some("gzip"), "gzip"),
        ("/app.js", "identity", None, "plain javascript"),
        ("/only.css", "br, gzip", Some("gzip"), "gz css"),
        ("/only.css", "br", None, "plain css"),
    ] {
        let answer = ask(&edge, path, &format!("accept-encoding: {accepts}\r\n")).await;
        assert_eq!((answer.header("content-encoding"), answer.text()), (coding, body), "{path} {accepts}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{path} {accepts}");
        assert!(answer.header("content-type").unwrap().starts_with("text/"), "{path} {accepts}");
        etags.push(answer.header("etag").unwrap().to_owned());
    }
    assert_ne!(etags[0], etags[1], "each form has its own tag");
    assert_ne!(etags[0], etags[3]);
    let part = ask(&edge, "/app.js", "accept-encoding: br\r\nrange: bytes=0-4\r\n").await;
    assert_eq!((part.status, part.text()), (206, "plain"));
}

#[tokio::test]
async fn a_missing_page_has_the_sites_own_words_or_the_edges() {
    let folder = folder();
    let edge = edge_of(&folder);
    assert_eq!(ask(&edge, "/missing", "").await.title(), "No such page");
    drop(edge);
    let root = folder.path().join("public");
    let target = Target::Static(StaticSite { root, not_found: Some("404.html".into()), beside: None });
    let edge = TestEdge::start(&snapshot(vec![route("site", target)]));
    for path in ["/missing", "/sub/missing.js", "/.env"] {
        let answer = ask(&edge, path, "").await;
        assert_eq!((answer.status, answer.text()), (404, "<h1>lost</h1>"), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    }
}

#[tokio::test]
async fn a_site_whose_folder_is_missing_is_503_and_others_are_not_harmed() {
    let folder = folder();
    let edge = TestEdge::start(&snapshot(vec![
        route("site", site(&folder.path().join("public"))),
        route("gone", site(Path::new("/nonexistent/folder"))),
    ]));
    let gone = send(edge.address(), "GET / HTTP/1.1\r\nhost: gone.localhost\r\n\r\n").await;
    assert_eq!((gone.status, gone.title().as_str()), (503, "Files unreadable"));
    assert_eq!(ask(&edge, "/", "").await.status, 200);
}

#[tokio::test]
async fn a_site_below_a_prefix_is_asked_for_what_is_below_it() {
    let folder = folder();
    let mut docs = route("docs", site(&folder.path().join("public")));
    docs.path = "/docs".into();
    docs.hosts = vec!["site.localhost".into()];
    let edge = TestEdge::start(&snapshot(vec![docs]));
    assert_eq!(ask(&edge, "/docs/app.js", "").await.text(), "plain javascript");
    assert_eq!(ask(&edge, "/docs", "").await.header("location"), Some("/docs/"));
    assert_eq!(ask(&edge, "/docs/", "").await.text(), "<h1>home</h1>");
    assert_eq!(ask(&edge, "/app.js", "").await.status, 404);
}

#[tokio::test]
async fn a_file_that_no_handle_is_free_for_is_not_said_to_be_missing() {
    let folder = folder();
    let process = Process::start(&snapshot(vec![route("site", site(&folder.path().join("public")))]));
    let mut client = Raw::connect(process.address().await).await;
    let ask = "GET /app.js HTTP/1.1\r\nhost: site.localhost\r\n\r\n";
    assert_eq!(client.ask(ask).await.status, 200);
    let pid = rustix::process::Pid::from_raw(process.child.id().cast_signed()).unwrap();
    let open = || {
        let handles = std::fs::read_dir(format!("/proc/{}/fd", process.child.id())).unwrap();
        handles.map(|handle| handle.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect::<BTreeSet<u64>>()
    };
    let limit = |handles| {
        let limit = rustix::process::Rlimit { current: Some(handles), maximum: Some(4_096) };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).unwrap();
    };
    // What was kept open for a moment is closed, then there is room for the folder and for nothing in it.
    let mut before = open();
    until("nothing is kept", async || {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        std::mem::replace(&mut before, open()) == open()
    })
    .await;
    let lowest_free = (0..4_096).find(|handle| !before.contains(handle)).unwrap();
    limit(lowest_free + 1);
    let answer = client.ask(ask).await;
    assert_eq!((answer.status, answer.title().as_str()), (503, "Files unreadable"));
    limit(1_024);
    assert_eq!(client.ask(ask).await.status, 200);
}

#[tokio::test]
async fn what_only_the_version_beside_has_is_given_out_but_for_its_pages() {
    let (now, other) = (folder(), tempfile::tempdir().unwrap());
    for (name, content) in
        [("app.js", "of the other"), ("old.js", "old"), ("old.html", "old"), ("old", "old"), (".env", "S=1")]
    {
        std::fs::write(other.path().join(name), content).unwrap();
    }
    std::fs::create_dir(other.path().join("assets")).unwrap();
    std::fs::write(other.path().join("assets/index.html"), "old").unwrap();
    let root = now.path().join("public");
    let target = |beside: &Path| {
        Target::Static(StaticSite { root: root.clone(), not_found: None, beside: Some(beside.to_owned()) })
    };
    let edge = TestEdge::start(&snapshot(vec![route("site", target(other.path()))]));
    let old = ask(&edge, "/old.js", "").await;
    assert_eq!((old.status, &old.body[..]), (200, &b"old"[..]));
    assert_eq!(&ask(&edge, "/app.js", "").await.body[..], b"plain javascript");
    for gone in ["/old.html", "/old", "/assets/", "/assets", "/old.js/", "/.env", "/never.js"] {
        assert_eq!(ask(&edge, gone, "").await.status, 404, "{gone}");
    }
    // It may be gone at any time: then it is as if it had never been.
    let edge = TestEdge::start(&snapshot(vec![route("site", target(Path::new("/nowhere")))]));
    assert_eq!((ask(&edge, "/app.js", "").await.status, ask(&edge, "/old.js", "").await.status), (200, 404));
}
