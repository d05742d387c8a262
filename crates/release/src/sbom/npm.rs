//! `package-lock.json`, versions 2 and 3.
//!
//! What only development needs (`dev`) is left out: it is not part of what is served.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Ecosystem, Facts, Graph, Package};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    #[serde(default)]
    lockfile_version: u32,
    #[serde(default)]
    packages: BTreeMap<String, Locked>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Locked {
    name: Option<String>,
    version: Option<String>,
    integrity: Option<String>,
    license: Option<serde_json::Value>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, String>,
}

/// What a lock says, without what only development needs.
pub(super) fn graph(text: &str) -> Result<Graph, String> {
    const MODULES: &str = "node_modules/";
    let lock: Lock = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if lock.lockfile_version < 2 {
        return Err("it is of version 1; `npm install` of npm 7 or newer writes a newer one".to_owned());
    }
    let mut graph = Graph::default();
    for (path, locked) in &lock.packages {
        let needs = locked.dependencies.keys().chain(locked.optional_dependencies.keys());
        let needs = needs.filter_map(|name| resolve(&lock, path, name)).collect();
        // Without `node_modules` in its path it is a package of the repository itself.
        if !path.contains(MODULES) {
            graph.roots.extend(needs);
            continue;
        }
        let Some(package) = package(path, locked).filter(|_| !locked.dev && !locked.link) else { continue };
        let license = locked.license.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned);
        graph.packages.insert(package, Facts { hash: hash(locked), license, needs });
    }
    Ok(graph)
}

fn package(path: &str, locked: &Locked) -> Option<Package> {
    let by_path = path.rsplit_once("node_modules/").map(|(_, name)| name);
    let name = locked.name.as_deref().or(by_path)?.to_owned();
    Some(Package { ecosystem: Ecosystem::Npm, name, version: locked.version.clone()? })
}

/// As node looks for it: in the package's own `node_modules`, then in those of the folders above.
fn resolve(lock: &Lock, from: &str, name: &str) -> Option<Package> {
    let mut folder = from;
    loop {
        let path =
            if folder.is_empty() { format!("node_modules/{name}") } else { format!("{folder}/node_modules/{name}") };
        if let Some(locked) = lock.packages.get(&path) {
            return package(&path, locked).filter(|_| !locked.dev && !locked.link);
        }
        if folder.is_empty() {
            return None;
        }
        folder = folder.rsplit_once("node_modules/").map_or("", |(above, _)| above.trim_end_matches('/'));
    }
}

/// `sha512-BASE64`, the strongest of several.
fn hash(locked: &Locked) -> Option<(&'static str, String)> {
    let all: Vec<&str> = locked.integrity.as_deref()?.split_ascii_whitespace().collect();
    [("SHA-512", "sha512-"), ("SHA-384", "sha384-"), ("SHA-256", "sha256-"), ("SHA-1", "sha1-")].into_iter().find_map(
        |(name, prefix)| {
            let value = all.iter().find_map(|one| one.strip_prefix(prefix))?;
            Some((name, hex::encode(STANDARD.decode(value).ok()?)))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"{"lockfileVersion": 3, "packages": {
        "": {"dependencies": {"a": "1", "@s/b": "1"}, "devDependencies": {"esbuild": "1"}},
        "node_modules/a": {"version": "1.0.0", "integrity": "sha1-AAAA sha512-qqo=", "license": "MIT", "dependencies": {"c": "1"}},
        "node_modules/a/node_modules/c": {"version": "1.5.0", "dependencies": {"@s/b": "1"}},
        "node_modules/c": {"version": "2.0.0"},
        "node_modules/@s/b": {"version": "1.0.0", "optionalDependencies": {"c": "2", "not-installed": "1"}},
        "node_modules/esbuild": {"version": "0.1.0", "dev": true},
        "node_modules/local": {"resolved": "packages/local", "link": true},
        "packages/local": {"version": "1.0.0", "dependencies": {"c": "2"}}
    }}"#;

    fn purls<'a>(packages: impl IntoIterator<Item = &'a Package>) -> Vec<String> {
        packages.into_iter().map(Package::purl).collect()
    }

    #[test]
    fn packages_are_found_as_node_finds_them() {
        let graph = graph(LOCK).expect("a lock");
        let all = ["pkg:npm/%40s/b@1.0.0", "pkg:npm/a@1.0.0", "pkg:npm/c@1.5.0", "pkg:npm/c@2.0.0"];
        assert_eq!(purls(graph.packages.keys()), all);
        assert_eq!(purls(&graph.roots), ["pkg:npm/%40s/b@1.0.0", "pkg:npm/a@1.0.0", "pkg:npm/c@2.0.0"]);
        let (_, a) = graph.packages.iter().find(|(package, _)| package.name == "a").expect("a");
        assert_eq!(purls(&a.needs), ["pkg:npm/c@1.5.0"]);
        assert_eq!((a.hash.clone(), a.license.as_deref()), (Some(("SHA-512", "aaaa".into())), Some("MIT")));
    }

    #[test]
    fn old_or_broken_locks_are_refused() {
        assert!(graph("{}").expect_err("too old").contains("npm 7"));
        assert!(graph("{").is_err());
    }
}
