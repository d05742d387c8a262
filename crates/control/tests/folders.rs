//! A folder that the edge gives out, on its way into production and back: one version or the other, never a mixture, and never nothing.

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mana_control::api::{Deploy, PutBack, Restart, RolloutView, SmokeRequest};
use support::repository::{Repository, up};
use support::until;

const SITE: &str = "shop-landing";
const HOST: &str = "small.example";
/// Built into `out/site`: a page, and a script whose name is that of its version.
const LANDING: &str = "[services.shop-landing]\nfolder = \"out/site\"\nhosts = [\"small.example\"]\n\
    [services.shop-landing.build]\ncommand = [\"sh\", \"-c\", \"mkdir -p out/site && v=$(cat version) && echo page of $v > out/site/index.html && echo script > out/site/app.$v.js\"]\n\
    artefact = [\"out/site\"]\n\
    [services.shop-landing.production]\nrollout = { staging = false, warm = \"0s\" }\n\
    [services.shop-landing.smoke.page]\nrequest = \"GET /\"\n";

async fn site() -> Repository {
    let repository = Repository::new("").await;
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    repository.write("mana.toml", &format!("{text}\n{LANDING}"));
    repository.commit("a page");
    let made = std::process::Command::new("sh")
        .args([
            "-c",
            "mkdir -p out/site && echo page of the folder > out/site/index.html && echo script > out/site/app.v0.js",
        ])
        .current_dir(repository.folder())
        .status();
    assert!(made.expect("run").success());
    up(&repository.production).await;
    repository
}

async fn deploy(repository: &Repository, version: &str) -> RolloutView {
    repository.write("version", version);
    repository.commit(version);
    repository.git(&["tag", version]);
    let deploy = Deploy { service: SITE.into(), by: "ada".into(), supersede: true, ..Deploy::default() };
    repository.production.client().await.deploy(&deploy).await.expect("begun")
}

async fn ask(listen: u16, path: &str) -> (u16, String) {
    let answer = reqwest::Client::new().get(format!("http://127.0.0.1:{listen}{path}")).header("host", HOST).send();
    let answer = answer.await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body").trim().to_owned())
}

async fn page(repository: &Repository) -> String {
    ask(repository.listen, "/").await.1
}

#[tokio::test]
async fn a_folder_is_switched_as_a_whole_and_back_and_nobody_misses_anything() {
    let repository = site().await;
    assert_eq!(page(&repository).await, "page of the folder");
    // Somebody always reads.
    let (listen, stop) = (repository.listen, Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let reader = tokio::spawn(async move {
        let mut pages = 0_u64;
        while !stopped.load(Ordering::Relaxed) {
            let (status, text) = ask(listen, "/").await;
            assert!(status == 200 && text.starts_with("page of"), "{status} {text}");
            pages += 1;
        }
        pages
    });

    let one = deploy(&repository, "v1").await;
    repository.reaches(one.number, &["done"]).await;
    assert_eq!(page(&repository).await, "page of v1");
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    repository.write("mana.toml", &text.replace("warm = \"0s\"", "warm = \"1h\""));
    repository.commit("time to go back");
    up(&repository.production).await;
    let two = deploy(&repository, "v2").await;
    repository.reaches(two.number, &["window"]).await;
    assert_eq!(page(&repository).await, "page of v2");
    // Whoever opened the page before still gets its script; what neither has is not there.
    assert_eq!(ask(listen, "/app.v1.js").await, (200, "script".into()));
    assert_eq!(ask(listen, "/app.v0.js").await.0, 404);
    // There is no process in it to be replaced.
    let restart = Restart { service: SITE.into() };
    let refused = repository.production.client().await.restart(&restart).await.expect_err("nothing to restart");
    assert!(refused.to_string().contains("there is no process to restart"), "{refused}");
    let smoke = SmokeRequest { service: SITE.into(), digest: None };
    let report = repository.production.client().await.smoke(&smoke).await.expect("run");
    assert!(report.passed && report.version.as_deref() == Some("v2"), "{report:#?}");

    let put_back = |release: Option<&str>| PutBack {
        service: SITE.into(),
        by: "ada".into(),
        slot: None,
        release: release.map(str::to_owned),
        key: None,
    };
    let client = repository.production.client().await;
    client.put_back(&put_back(None)).await.expect("asked");
    repository.reaches(two.number, &["rolled-back"]).await;
    assert_eq!(page(&repository).await, "page of v1");
    stop.store(true, Ordering::Relaxed);
    assert!(reader.await.expect("no request failed") > 10);
    repository.down().await;
}

#[tokio::test]
async fn the_served_version_outlives_the_control_plane_and_what_the_folder_becomes() {
    let mut repository = site().await;
    let one = deploy(&repository, "v1").await;
    repository.reaches(one.number, &["done"]).await;
    repository.production.kill_control();
    assert_eq!(page(&repository).await, "page of v1");
    fs::remove_dir_all(repository.folder().join("out/site")).expect("removed");
    repository.production.start_control().await;
    until("it is the same rollout", async || {
        let view = repository.production.client().await.rollout_view(one.number).await.expect("known");
        (view.stage == "done").then_some(())
    })
    .await;
    up(&repository.production).await;
    assert_eq!(page(&repository).await, "page of v1");
    // A manifest that names another folder means the next release: the one that serves has none of that name, and serves on.
    let text = fs::read_to_string(repository.folder().join("mana.toml")).expect("read");
    repository.write("mana.toml", &text.replace("out/site", "out/pages"));
    repository.commit("another folder");
    up(&repository.production).await;
    assert_eq!(page(&repository).await, "page of v1");
    let client = repository.production.client().await;
    let two = deploy(&repository, "v2").await;
    repository.reaches(two.number, &["done"]).await;
    assert_eq!(page(&repository).await, "page of v2");
    // The old one has no such folder: the way back is given up, and what serves goes on.
    let again = PutBack { service: SITE.into(), by: "ada".into(), slot: None, release: Some("v1".into()), key: None };
    client.put_back(&again).await.expect("asked");
    until("the way back is given up", async || {
        repository.stages(two.number).await.ends_with(&["reviving".into(), "done".into()]).then_some(())
    })
    .await;
    assert_eq!(page(&repository).await, "page of v2");
    repository.down().await;
}
