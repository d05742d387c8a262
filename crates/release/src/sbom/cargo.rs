//! `Cargo.lock`.
//!
//! `resolve` asks cargo for more; this is what is known without it. The lock holds what any package of a workspace may need, on any platform, for its tests too. From the service's own package only
//! what it needs is followed; of packages of the workspace, whose manifests are at hand, without what only tests need.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Ecosystem, Facts, Graph, Package};

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// What packages of the workspace need beyond their tests, by name.
type Needed = BTreeMap<String, BTreeSet<String>>;

/// The part of a lock that a package needs. `names`: what it may be called, the likeliest first; where no package of the
/// workspace is called so, all of the lock counts.
pub(super) fn graph(lock: &str, manifests: &[String], names: &[String]) -> Result<Graph, String> {
    let lock: Lock = toml::from_str(lock).map_err(|error| error.message().to_owned())?;
    let beyond_tests = needed(manifests);
    let local = |index: &usize| lock.package[*index].source.is_none();
    let all = 0..lock.package.len();
    let called = |name: &String| all.clone().find(|index| local(index) && lock.package[*index].name == *name);
    let roots: Vec<usize> = match names.iter().find_map(called) {
        Some(root) => vec![root],
        None => all.clone().filter(local).collect(),
    };
    let mut open = roots;
    let mut seen: BTreeSet<usize> = open.iter().copied().collect();
    let mut graph = Graph::default();
    while let Some(index) = open.pop() {
        let locked = &lock.package[index];
        let allowed = beyond_tests.get(&locked.name).filter(|_| local(&index));
        let wanted = locked.dependencies.iter().filter(|dependency| {
            let name = dependency.split(' ').next().unwrap_or_default();
            allowed.is_none_or(|allowed| allowed.contains(name))
        });
        let needs: Vec<usize> = wanted.filter_map(|dependency| find(&lock.package, dependency)).collect();
        open.extend(needs.iter().filter(|index| seen.insert(**index)));
        // Packages of the workspace are the service itself: what they need, it needs.
        let others = needs.into_iter().filter(|index| !local(index)).map(|index| package(&lock.package[index]));
        if local(&index) {
            graph.roots.extend(others);
        } else {
            let hash = locked.checksum.clone().map(|checksum| ("SHA-256", checksum));
            graph.packages.insert(package(locked), Facts { hash, license: None, needs: others.collect() });
        }
    }
    Ok(graph)
}

fn package(locked: &Locked) -> Package {
    Package { ecosystem: Ecosystem::Cargo, name: locked.name.clone(), version: locked.version.clone() }
}

/// `name`, `name version` or `name version (source)`: as much as it takes to tell it from others.
fn find(packages: &[Locked], dependency: &str) -> Option<usize> {
    let mut parts = dependency.splitn(3, ' ');
    let (name, version, source) = (parts.next()?, parts.next(), parts.next());
    let source = source.map(|source| source.trim_matches(['(', ')']));
    packages.iter().position(|package| {
        package.name == name
            && version.is_none_or(|version| package.version == version)
            && source.is_none_or(|source| package.source.as_deref().is_some_and(|own| own.starts_with(source)))
    })
}

/// What the manifests name outside of `dev-dependencies`, under the packages' real names. A manifest that is not understood is
/// left out: then everything that the lock says about its package counts.
fn needed(manifests: &[String]) -> Needed {
    let parsed: Vec<toml::Table> = manifests.iter().filter_map(|text| text.parse().ok()).collect();
    let inherited = |key: &str| {
        let workspaces = parsed.iter().filter_map(|manifest| manifest.get("workspace")?.get("dependencies")?.get(key));
        workspaces.filter_map(|dependency| dependency.get("package")?.as_str()).map(str::to_owned).next()
    };
    let mut all = Needed::new();
    for manifest in &parsed {
        let Some(name) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else { continue };
        let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
        let tables = targets.filter_map(|(_, target)| target.as_table()).chain([manifest]);
        let entry = all.entry(name.to_owned()).or_default();
        for table in tables {
            for kind in ["dependencies", "build-dependencies"] {
                let dependencies = table.get(kind).and_then(toml::Value::as_table).into_iter().flatten();
                entry.extend(dependencies.map(|(key, dependency)| {
                    let renamed = dependency.get("package").and_then(toml::Value::as_str).map(str::to_owned);
                    renamed.or_else(|| inherited(key)).unwrap_or_else(|| key.clone())
                }));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn lock() -> String {
        format!(
            r#"
version = 4
[[package]]
name = "shop"
version = "0.1.0"
dependencies = ["kit", "dep 1.0.0", "proptest", "renamed-really"]
[[package]]
name = "kit"
version = "0.1.0"
dependencies = ["dep 2.0.0"]
[[package]]
name = "other"
version = "0.1.0"
dependencies = ["unrelated"]
[[package]]
name = "dep"
version = "1.0.0"
source = "{REGISTRY}"
checksum = "aa"
[[package]]
name = "dep"
version = "2.0.0"
source = "{REGISTRY}"
dependencies = ["deep 3.0.0 ({REGISTRY})"]
[[package]]
name = "deep"
version = "3.0.0"
source = "{REGISTRY}"
dependencies = ["dep 2.0.0"]
[[package]]
name = "proptest"
version = "1.0.0"
source = "{REGISTRY}"
[[package]]
name = "renamed-really"
version = "1.0.0"
source = "{REGISTRY}"
[[package]]
name = "unrelated"
version = "1.0.0"
source = "{REGISTRY}"
"#
        )
    }

    const MANIFESTS: [&str; 2] = [
        "[workspace.dependencies]\nrenamed = { version = \"1\", package = \"renamed-really\" }\n",
        "[package]\nname = \"shop\"\n[dependencies]\nkit = {}\nrenamed.workspace = true\n\
         [target.'cfg(unix)'.dependencies]\ndep = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n",
    ];

    fn check(manifests: &[&str], name: &str, expected: &[&str]) {
        let manifests: Vec<String> = manifests.iter().map(|&text| text.to_owned()).collect();
        let graph = graph(&lock(), &manifests, &[name.to_owned()]).expect("a lock");
        let found: Vec<String> = graph.packages.keys().map(Package::purl).collect();
        let expected: Vec<String> = expected.iter().map(|name| format!("pkg:cargo/{name}")).collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn only_what_the_package_needs_counts() {
        check(&MANIFESTS, "shop", &["deep@3.0.0", "dep@1.0.0", "dep@2.0.0", "renamed-really@1.0.0"]);
        check(&MANIFESTS, "kit", &["deep@3.0.0", "dep@2.0.0"]);
        let without_manifests = ["deep@3.0.0", "dep@1.0.0", "dep@2.0.0", "proptest@1.0.0", "renamed-really@1.0.0"];
        check(&[], "shop", &without_manifests);
    }

    #[test]
    fn where_no_package_is_called_so_all_count() {
        let graph = graph(&lock(), &[], &["nobody".to_owned(), "dep".to_owned()]).expect("a lock");
        assert_eq!(graph.packages.len(), 6);
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        assert!(graph("package = 3", &[], &[]).is_err());
    }
}
