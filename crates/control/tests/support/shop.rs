//! One service that is delivered: programs of it, releases of those, and rollouts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mana_control::api::{Deploy, RolloutCommand, RolloutView};
use mana_control::client::ClientError;
use mana_control::paths;
use mana_delivery::rollout::Command;
use mana_release::artefact;
use mana_release::record::Release;
use mana_release::store::{Attached, Store};

use super::{Ecosystem, Service, until};

pub(crate) const SHOP: &str = "shop-backend";
pub(crate) const PROGRAM: &str = "bin/shop";

/// A quick way through all stages.
pub(crate) const QUICK: &str = "rollout = { canary = [\"20% 2s\"], warm = \"3s\", guard = \"1s\", requests = 20 }";
/// The quickest with every stage: a gate that few requests are enough for.
pub(crate) const QUICKEST: &str = "rollout = { canary = [\"20% 1s\"], warm = \"1s\", guard = \"1s\", requests = 10, errors = \"20%\", slow_share = \"50%\" }";
/// The new version stays where the window begins.
pub(crate) const WARM: &str = "rollout = { canary = [], warm = \"1h\", requests = 20 }";

/// The program of a version: the example with a name, and with what is wrong with it.
pub(crate) fn write_program(folder: &Path, version: &str, wrong: &str) {
    let path = folder.join(PROGRAM);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    // Another file each time: one that runs is not written to.
    let fresh = path.with_extension("fresh");
    let script = format!("#!/bin/sh\nVERSION={version} {wrong} exec {} \"$@\"\n", super::example("instance").display());
    std::fs::write(&fresh, script).expect("written");
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).expect("set");
    std::fs::rename(&fresh, &path).expect("renamed");
}

/// Makes a release, as `mana build` would.
pub(crate) fn release(ecosystem: &Ecosystem, version: &str, wrong: &str) -> String {
    release_of(ecosystem, version, version, wrong)
}

/// A release of a commit whose program says that it is this version.
pub(crate) fn release_of(ecosystem: &Ecosystem, version: &str, says: &str, wrong: &str) -> String {
    let source = tempfile::tempdir().expect("folder");
    write_program(source.path(), says, wrong);
    let list = artefact::list(source.path(), &[PROGRAM.to_owned()]).expect("listed");
    let store = Store::new(&paths::releases(&ecosystem.data()), SHOP);
    let digest = store.add_artefact(&list, source.path()).expect("added");
    let record = serde_json::json!({
        "format": 1, "service": SHOP, "version": version, "digest": digest.as_str(), "commit": artefact::Digest::of(version.as_bytes()).as_str()[..40],
        "dirty": false, "author": "Ada", "message": "a change", "committed_at": "2026-01-01T00:00:00Z",
        "built_at": "2026-01-01T00:00:00Z", "took_ms": 1, "toolchain": [], "limits": "", "migrations": [],
        "size_bytes": list.size(), "files": 1, "components": null,
    });
    let record: Release = serde_json::from_value(record).expect("a record");
    store.add(&record, &Attached { sbom: None, log: None }).expect("added");
    digest.as_str().to_owned()
}

pub(crate) fn shop(rollout: &str) -> Service {
    Service::new(SHOP).command(PROGRAM).with(rollout)
}

/// The version of the manifest's folder serves.
pub(crate) async fn up(rollout: &str) -> Ecosystem {
    let mut ecosystem = Ecosystem::start().await;
    write_program(ecosystem.folder.path(), "v0", "");
    ecosystem.up(&[shop(rollout)]).await;
    ecosystem
}

pub(crate) async fn deploy(ecosystem: &Ecosystem, version: &str) -> RolloutView {
    let deploy = Deploy { service: SHOP.into(), release: Some(version.into()), by: "ada".into(), ..Deploy::default() };
    ecosystem.client().await.deploy(&deploy).await.expect("begun")
}

pub(crate) async fn reaches(ecosystem: &Ecosystem, number: u64, stages: &[&str]) -> RolloutView {
    until(&format!("{stages:?}"), async || {
        let view = ecosystem.client().await.rollout(number).await.expect("known").view;
        stages.contains(&view.stage.as_str()).then_some(view)
    })
    .await
}

pub(crate) async fn version(ecosystem: &Ecosystem) -> String {
    ecosystem.get(SHOP, "/env/VERSION").await.expect("an answer").1
}

/// Who runs, by slot.
pub(crate) async fn slots(ecosystem: &Ecosystem) -> Vec<(String, String)> {
    let instances = ecosystem.service(SHOP).await.instances;
    instances.into_iter().map(|instance| (instance.slot, instance.release)).collect()
}

pub(crate) async fn command(
    ecosystem: &Ecosystem,
    number: u64,
    by: &str,
    command: Command,
) -> Result<RolloutView, ClientError> {
    ecosystem.client().await.rollout_command(number, &RolloutCommand { by: by.into(), key: None, command }).await
}

/// Its end, whichever it is.
pub(crate) async fn ended(ecosystem: &Ecosystem, number: u64) -> RolloutView {
    const ENDS: [&str; 6] = ["done", "rolled-back", "aborted", "superseded", "held", "stuck"];
    // Two gates, each with the patience of one.
    reaches(ecosystem, number, &[&ENDS[..], &["window"]].concat()).await;
    reaches(ecosystem, number, &ENDS).await
}
