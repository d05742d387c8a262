//! What cargo itself says that a package needs: only for this platform, and only by the features that are switched on.
//!
//! The lock file alone says what *may* be needed, on any system. Where cargo cannot be asked (it is not there, or does not know a
//! package without the network), that is what counts: too much rather than too little.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Ecosystem, Package, lockfiles, names};
use crate::build::Recipe;

/// It waits for other cargos that use the same cache.
const LONGEST: Duration = Duration::from_mins(2);

/// The packages that count, by lock file.
pub(crate) type Resolved = BTreeMap<String, BTreeSet<Package>>;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
    resolve: Option<Resolve>,
    workspace_members: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// Asks cargo about each of its lock files. To be asked after the build, when everything that is needed is there.
pub(crate) async fn ask(folder: &Path, recipe: &Recipe, env: &BTreeMap<String, String>) -> Resolved {
    let mut all = Resolved::new();
    for file in lockfiles(folder, recipe).into_iter().filter(|file| file.ends_with("Cargo.lock")) {
        let path = folder.join(&file);
        let Some(folder) = path.parent() else { continue };
        let Some(host) = output(folder, env, "rustc", &["-vV"]).await.and_then(|text| host(&text)) else { continue };
        let arguments = ["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", &host];
        let said = output(folder, env, "cargo", &arguments).await;
        if let Some(packages) = said.and_then(|text| needed(&text, &names(recipe))) {
            all.insert(file, packages);
        }
    }
    all
}

async fn output(folder: &Path, env: &BTreeMap<String, String>, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear().envs(env).kill_on_drop(true);
    let output = timeout(LONGEST, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn host(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// What is reached from the package of that name, but for what only tests need; `None` where there is none.
fn needed(text: &str, names: &[String]) -> Option<BTreeSet<Package>> {
    let metadata: Metadata = serde_json::from_str(text).ok()?;
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.iter().flat_map(|all| &all.nodes).map(|node| (node.id.as_str(), node)).collect();
    let members = || metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id));
    let root = names.iter().find_map(|name| members().find(|package| package.name == *name))?;
    let mut open = vec![root.id.as_str()];
    let mut seen = BTreeSet::from([root.id.as_str()]);
    while let Some(id) = open.pop() {
        for dependency in &nodes.get(id)?.deps {
            let tests_only = dependency.dep_kinds.iter().all(|kind| kind.kind.as_deref() == Some("dev"));
            if !tests_only && seen.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    let found = metadata.packages.iter().filter(|package| seen.contains(package.id.as_str()));
    let package = |found: &Described| Package {
        ecosystem: Ecosystem::Cargo,
        name: found.name.clone(),
        version: found.version.clone(),
    };
    Some(found.map(package).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"id": "shop#0.1.0", "name": "shop", "version": "0.1.0"},
            {"id": "dep#1.0.0", "name": "dep", "version": "1.0.0"},
            {"id": "dep#2.0.0", "name": "dep", "version": "2.0.0"},
            {"id": "cc#1.0.0", "name": "cc", "version": "1.0.0"},
            {"id": "proptest#1.0.0", "name": "proptest", "version": "1.0.0"}
        ],
        "workspace_members": ["shop#0.1.0"],
        "resolve": {"nodes": [
            {"id": "shop#0.1.0", "deps": [
                {"pkg": "dep#1.0.0", "dep_kinds": [{"kind": null}, {"kind": "dev"}]},
                {"pkg": "proptest#1.0.0", "dep_kinds": [{"kind": "dev"}]}
            ]},
            {"id": "dep#1.0.0", "deps": [{"pkg": "cc#1.0.0", "dep_kinds": [{"kind": "build"}]}]},
            {"id": "cc#1.0.0", "deps": []},
            {"id": "proptest#1.0.0", "deps": [{"pkg": "dep#2.0.0", "dep_kinds": [{"kind": null}]}]}
        ]}
    }"#;

    #[test]
    fn what_only_tests_need_is_left_out() {
        let found = needed(METADATA, &["nobody".to_owned(), "shop".to_owned()]).expect("the package");
        let purls: Vec<String> = found.iter().map(Package::purl).collect();
        assert_eq!(purls, ["pkg:cargo/cc@1.0.0", "pkg:cargo/dep@1.0.0", "pkg:cargo/shop@0.1.0"]);
        assert!(needed(METADATA, &["nobody".to_owned()]).is_none());
        assert!(needed("{}", &["shop".to_owned()]).is_none());
        assert_eq!(host("rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\n").as_deref(), Some("x86_64-unknown-linux-gnu"));
    }
}
