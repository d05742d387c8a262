//! A repository with one service, and the environments that its commits go through.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command as Process;

use mana_control::api::{Deploy, Event, RolloutView};
use mana_control::client::ClientError;

use super::{Ecosystem, all, example, free_port, until};

pub(crate) const SHOP: &str = "shop-backend";

/// A repository with one service, whose program says what stands in the file `version`.
pub(crate) struct Repository {
    pub(crate) production: Ecosystem,
    pub(crate) staging: Option<Ecosystem>,
    pub(crate) port: u16,
    pub(crate) listen: u16,
    pub(crate) staging_listen: u16,
}

impl Repository {
    pub(crate) async fn new(more: &str) -> Self {
        Self::with_environments(more, "", "").await
    }

    /// `staging`, `production`: further lines of those environments.
    pub(crate) async fn with_environments(more: &str, staging: &str, production_lines: &str) -> Self {
        let first = Ecosystem::start().await;
        let production = first.beside("production").await;
        let (port, listen, staging_listen) = (free_port(), free_port(), free_port());
        let staging_port = free_port();
        let manifest = format!(
            "name = \"small\"\ndomain = \"small.example\"\n[projects]\nshop = {{}}\n[releases]\nadvisories = []\n\
             [environments.staging]\nlisten = \"127.0.0.1:{staging_listen}\"\ntls = \"off\"\nport_offset = 0\n{staging}\
             [environments.production]\nlisten = \"127.0.0.1:{listen}\"\ntls = \"off\"\n{production_lines}\
             [services.{SHOP}]\ncommand = \"out/shop\"\nport = {port}\n\
             [services.{SHOP}.build]\ncommand = \"./make.sh\"\n\
             [services.{SHOP}.staging]\nport = {staging_port}\n\
             [services.{SHOP}.production]\nrollout = {{ canary = [], warm = \"1h\", requests = 1 }}\n{more}\n"
        );
        let repository = Self { production, staging: None, port, listen, staging_listen };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.write("mana.toml", &manifest);
        repository.write(".gitignore", "/out\n/.mana\n/data\n");
        repository.script("make.sh", &format!("mkdir -p out && sed \"s/VERSION_HERE/$(cat version)/\" shop.sh > out/shop && chmod +x out/shop && echo made $(cat version)\n# {}", example("instance").display()));
        repository.write(
            "shop.sh",
            &format!("#!/bin/sh\nVERSION=VERSION_HERE exec {} \"$@\"\n", example("instance").display()),
        );
        repository.write("version", "one");
        repository.commit("one");
        assert!(Process::new("./make.sh").current_dir(repository.folder()).status().expect("run").success());
        up(&repository.production).await;
        repository
    }

    pub(crate) async fn with_staging(more: &str) -> Self {
        let mut repository = Self::new(more).await;
        let staging = repository.production.beside("staging").await;
        up(&staging).await;
        repository.staging = Some(staging);
        repository
    }

    pub(crate) fn folder(&self) -> &Path {
        self.production.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.folder().join(path), text).expect("written");
    }

    pub(crate) fn script(&self, path: &str, text: &str) {
        self.write(path, &format!("#!/bin/sh\nset -eu\n{text}\n"));
        fs::set_permissions(self.folder().join(path), fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut git = Process::new("git");
        git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]);
        let output = git.args(arguments).current_dir(self.folder()).output().expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    pub(crate) async fn deploy(&self, what: Option<&str>) -> Result<RolloutView, ClientError> {
        let deploy =
            Deploy { service: SHOP.into(), release: what.map(str::to_owned), by: "ada".into(), ..Deploy::default() };
        self.production.client().await.deploy(&deploy).await
    }

    pub(crate) async fn reaches(&self, number: u64, stages: &[&str]) -> RolloutView {
        until(&format!("{stages:?}"), async || {
            let view = self.production.client().await.rollout_view(number).await.expect("known");
            assert!(!view.over || stages.contains(&view.stage.as_str()), "{view:#?}");
            stages.contains(&view.stage.as_str()).then_some(view)
        })
        .await
    }

    /// What its checks, its build and its tests have said.
    pub(crate) async fn said(&self, number: u64) -> String {
        let output = self.production.client().await.rollout_output(number, 0).await.expect("read");
        serde_json::to_string(&output.events).expect("JSON")
    }

    pub(crate) async fn stages(&self, number: u64) -> Vec<String> {
        let journal = self.production.client().await.journal(1_000).await.expect("journal");
        let of_rollout = journal.into_iter().rev().filter(|entry| entry.kind == "rollout");
        let stage = |detail: String| detail.strip_prefix(&format!("{number}: ")).map(str::to_owned);
        of_rollout.filter_map(|entry| stage(entry.detail)).collect()
    }

    pub(crate) async fn version(&self) -> String {
        super::get(self.port, "/env/VERSION").await.expect("an answer").1
    }

    pub(crate) async fn down(mut self) {
        self.production.down().await;
        if let Some(mut staging) = self.staging.take() {
            staging.down().await;
        }
    }
}

pub(crate) async fn up(ecosystem: &Ecosystem) {
    let events = all(ecosystem.apply_as_is().await.expect("applied")).await;
    assert!(matches!(events.last(), Some(Event::Settled { .. })), "{events:#?}");
}
