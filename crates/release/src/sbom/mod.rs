//! What a release is built of: read from lock files, written as CycloneDX.
//!
//! The same commit gives the same text: the only time in it is the commit's, its serial number is made of its content.

mod cargo;
mod cyclonedx;
mod npm;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::artefact::Digest;
use crate::build::Recipe;
use crate::source::Commit;

pub use cyclonedx::packages;
pub(crate) use resolve::{Resolved, ask as resolve};

/// Lock files that are understood.
const KNOWN: [&str; 2] = ["Cargo.lock", "package-lock.json"];
/// Largest lock file that is read: a hundred times the largest known.
const MAX_BYTES: u64 = 256 << 20;

/// Why it cannot be told what a release is built of.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// A lock file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{} cannot be used: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// Where packages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    /// crates.io.
    Cargo,
    /// The npm registry.
    Npm,
}

/// A package in a certain version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Package {
    /// Where it comes from.
    pub ecosystem: Ecosystem,
    /// Its name there.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Package {
    /// Its name among all packages: <https://github.com/package-url/purl-spec>.
    pub fn purl(&self) -> String {
        let kind = match self.ecosystem {
            Ecosystem::Cargo => "cargo",
            Ecosystem::Npm => "npm",
        };
        format!("pkg:{kind}/{}@{}", encoded(&self.name), encoded(&self.version))
    }
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

/// What a lock file says about a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Algorithm as CycloneDX names it, and hexadecimal.
    pub(crate) hash: Option<(&'static str, String)>,
    /// As its author wrote it.
    pub(crate) license: Option<String>,
    /// What it needs.
    pub(crate) needs: BTreeSet<Package>,
}

/// What a service is built of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    pub(crate) packages: BTreeMap<Package, Facts>,
    /// What the service itself needs.
    pub(crate) roots: BTreeSet<Package>,
}

impl Graph {
    /// Leaves out what does not count.
    fn restrict(&mut self, counts: &BTreeSet<Package>) {
        self.packages.retain(|package, _| counts.contains(package));
        self.roots.retain(|package| counts.contains(package));
        self.packages.values_mut().for_each(|facts| facts.needs.retain(|package| counts.contains(package)));
    }
}

/// A bill of materials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// CycloneDX.
    pub json: String,
    /// How many packages it names.
    pub components: u64,
}

/// The lock files of a recipe, from the folder.
pub fn lockfiles(folder: &Path, recipe: &Recipe) -> Vec<String> {
    let usual = || KNOWN.iter().map(|name| (*name).to_owned()).filter(|name| folder.join(name).is_file()).collect();
    // What is not built needs nothing: files of the commit are what they are.
    let default = || if recipe.command.is_empty() { Vec::new() } else { usual() };
    recipe.lockfiles.clone().unwrap_or_else(default)
}

/// The bill of a service; `None` where no lock file says anything. `resolved`: what counts of the lock files it names.
///
/// # Errors
/// Where a lock file cannot be read or understood.
pub(crate) fn of(
    folder: &Path,
    recipe: &Recipe,
    commit: &Commit,
    digest: &Digest,
    resolved: &Resolved,
) -> Result<Option<Bill>, SbomError> {
    let files = lockfiles(folder, recipe);
    if files.is_empty() {
        return Ok(None);
    }
    let mut graph = Graph::default();
    for file in files {
        let path = folder.join(&file);
        let text = read(&path)?;
        let broken = |what: String| SbomError::Content { path: path.clone(), what };
        let mut found = match Path::new(&file).file_name().and_then(|name| name.to_str()) {
            Some("Cargo.lock") => cargo::graph(&text, &local_packages(&path)?, &names(recipe)).map_err(broken)?,
            Some("package-lock.json") => npm::graph(&text).map_err(broken)?,
            _ => return Err(broken(format!("only {} are understood", KNOWN.join(" and ")))),
        };
        if let Some(counts) = resolved.get(&file) {
            found.restrict(counts);
        }
        graph.packages.extend(found.packages);
        graph.roots.extend(found.roots);
    }
    let components = graph.packages.len() as u64;
    Ok(Some(Bill { json: cyclonedx::write(&graph, recipe, commit, digest), components }))
}

/// What the service's own package may be called, the likeliest first.
fn names(recipe: &Recipe) -> Vec<String> {
    let files = recipe.artefact.iter().filter_map(|path| Some(Path::new(path).file_name()?.to_str()?.to_owned()));
    recipe.package.iter().cloned().chain(files).chain([recipe.service.clone()]).collect()
}

/// The manifests of a Cargo workspace, below the folder of its lock file.
fn local_packages(lockfile: &Path) -> Result<Vec<String>, SbomError> {
    /// Folders within folders in which packages of a workspace are looked for.
    const MAX_DEPTH: usize = 8;
    fn visit(folder: &Path, depth: usize, found: &mut Vec<String>) -> Result<(), SbomError> {
        let fail = |source| SbomError::Read { path: folder.to_owned(), source };
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let other = name == "target" || name == "node_modules" || name.to_string_lossy().starts_with('.');
            if entry.file_type().map_err(fail)?.is_dir() {
                if depth < MAX_DEPTH && !other {
                    visit(&entry.path(), depth + 1, found)?;
                }
            } else if name == "Cargo.toml" {
                found.push(read(&entry.path())?);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    if let Some(folder) = lockfile.parent() {
        visit(folder, 0, &mut found)?;
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, SbomError> {
    let fail = |source| SbomError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > MAX_BYTES {
        return Err(SbomError::Content { path: path.to_owned(), what: format!("it has {size} bytes") });
    }
    std::fs::read_to_string(path).map_err(fail)
}
