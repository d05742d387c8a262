//! Where releases lie.
//!
//! ```text
//! releases/SERVICE/artefacts/DIGEST/files      the list of which DIGEST is the SHA-256
//!                                   root/…     the files, read-only
//! releases/SERVICE/VERSION+DIGEST/release.json what is known of it; written once
//!                                 sbom.json    what it is built of
//!                                 build.log    what the build said
//!                                 scan.json    what the last scan found: the one file that changes
//! releases/SERVICE/checks/COMMIT               the checks that this commit has passed
//! ```
//! Two commits that give the same bytes share an artefact. Everything comes into being under a name that begins with a dot and is
//! renamed once it is whole and on disk.

mod bundle;
pub mod checks;
mod collect;
mod error;
mod files;
mod find;
mod import;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::artefact::{self, Digest, List};
use crate::record::{FORMAT, Release};

pub use bundle::MOST_BYTES as MOST_BUNDLE_BYTES;
pub use error::StoreError;
use error::fail;
use files::{UNFINISHED, Unfinished, names, remove, text, write};

const ARTEFACTS: &str = "artefacts";
const CHECKS: &str = "checks";
const LIST: &str = "files";
const ROOT: &str = "root";
const RECORD: &str = "release.json";

/// The releases of one service.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    service: String,
}

/// What goes in beside the record.
#[derive(Debug, Default)]
pub struct Attached<'a> {
    /// The bill of materials, as JSON.
    pub sbom: Option<&'a str>,
    /// What the build said.
    pub log: Option<&'a Path>,
}

impl Store {
    /// The releases of a service below a folder of all releases. Nothing is made or read yet.
    pub fn new(releases: &Path, service: &str) -> Self {
        Self { folder: releases.join(service), service: service.to_owned() }
    }

    /// Folder of a release's record.
    pub fn folder(&self, release: &Release) -> PathBuf {
        self.folder.join(release.id())
    }

    /// Folder that the release runs from. Ask [`Store::verify`] first.
    pub fn root(&self, digest: &Digest) -> PathBuf {
        self.artefact(digest).join(ROOT)
    }

    /// Folder that the release runs from, compared with what was released a moment ago.
    ///
    /// # Errors
    /// As [`Store::verify`].
    pub fn verified_root(&self, release: &Release) -> Result<PathBuf, StoreError> {
        self.verify(release)?;
        Ok(self.root(&release.digest))
    }

    fn artefact(&self, digest: &Digest) -> PathBuf {
        self.folder.join(ARTEFACTS).join(digest.as_str())
    }

    /// All releases, newest first. A record that cannot be read is an error: who counts releases must not miss one.
    ///
    /// # Errors
    /// Where a record cannot be read or understood.
    pub fn all(&self) -> Result<Vec<Release>, StoreError> {
        let mut all = Vec::new();
        for name in names(&self.folder)? {
            if name != ARTEFACTS && name != CHECKS && !name.starts_with('.') {
                all.push(read(&self.folder.join(&name).join(RECORD))?);
            }
        }
        all.sort_by_key(|release: &Release| Reverse((release.built_at, release.id())));
        Ok(all)
    }

    /// Recomputes the digest of what lies there: the list beside it is not believed, only compared.
    ///
    /// # Errors
    /// Where anything differs from what was released, in content, permission or by being there at all.
    pub fn verify(&self, release: &Release) -> Result<(), StoreError> {
        self.verify_digest(&release.digest, &release.id())
    }

    fn verify_digest(&self, digest: &Digest, release: &str) -> Result<(), StoreError> {
        let root = self.root(digest);
        let found = list_all(&root)?;
        if found.digest() == *digest {
            return Ok(());
        }
        let text = fs::read_to_string(self.artefact(digest).join(LIST)).unwrap_or_default();
        let what = if Digest::of(text.as_bytes()) == *digest {
            difference(&text, &found.text())
        } else {
            "its list of files was changed".to_owned()
        };
        Err(StoreError::Differs { release: release.to_owned(), what })
    }

    /// Takes in the files of a list from a folder; answers where they lie now. Those that are there already are verified, and
    /// put right where they are not what they should be.
    ///
    /// # Errors
    /// Where they cannot be copied, or changed meanwhile. Nothing half-made stays.
    pub fn add_artefact(&self, list: &List, from: &Path) -> Result<Digest, StoreError> {
        let digest = list.digest();
        let final_place = self.artefact(&digest);
        if final_place.exists() && self.verify_digest(&digest, digest.short()).is_ok() {
            return Ok(digest);
        }
        let folder = self.folder.join(ARTEFACTS);
        let unfinished = Unfinished::make(&folder)?;
        artefact::copy(list, from, &unfinished.join(ROOT))?;
        let arrived = list_all(&unfinished.join(ROOT))?;
        if let Some(what) = list.difference(&arrived) {
            return Err(StoreError::Moved { what });
        }
        write(&unfinished.join(LIST), list.text().as_bytes())?;
        if final_place.exists() {
            remove(&final_place)?;
        }
        unfinished.rename(&final_place)?;
        Ok(digest)
    }

    /// Writes down a release whose artefact is there. One that is known already stays as it is.
    ///
    /// # Errors
    /// Where it cannot be written. Nothing half-made stays.
    pub fn add(&self, release: &Release, attached: &Attached<'_>) -> Result<(), StoreError> {
        let folder = self.folder(release);
        if folder.exists() {
            return Ok(());
        }
        let unfinished = Unfinished::make(&self.folder)?;
        let json = serde_json::to_string_pretty(release)
            .map_err(|error| StoreError::Record { path: folder.clone(), what: error.to_string() })?;
        write(&unfinished.join(RECORD), format!("{json}\n").as_bytes())?;
        if let Some(sbom) = attached.sbom {
            write(&unfinished.join("sbom.json"), sbom.as_bytes())?;
        }
        if let Some(log) = attached.log {
            let text = fs::read(log).map_err(fail("read", log))?;
            write(&unfinished.join("build.log"), &text)?;
        }
        unfinished.rename(&folder)
    }

    /// The bill of materials of a release, as it was written.
    ///
    /// # Errors
    /// Where it cannot be read; `None` where there is none.
    pub fn sbom(&self, release: &Release) -> Result<Option<String>, StoreError> {
        text(&self.folder(release).join("sbom.json"))
    }

    /// What the last scan of a release found, as it was written; `None`: it was never scanned.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn scan(&self, release: &Release) -> Result<Option<String>, StoreError> {
        text(&self.folder(release).join("scan.json"))
    }

    /// Writes down what a scan found, in place of what the last one did.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn set_scan(&self, release: &Release, json: &str) -> Result<(), StoreError> {
        let folder = self.folder(release);
        let fresh = folder.join(format!("{UNFINISHED}scan.json"));
        let _ = fs::remove_file(&fresh);
        write(&fresh, json.as_bytes())?;
        let place = folder.join("scan.json");
        fs::rename(&fresh, &place).and_then(|()| File::open(&folder)?.sync_all()).map_err(fail("write", &place))
    }
}

/// The services that have releases, by name.
///
/// # Errors
/// Where the folder cannot be read.
pub fn services(releases: &Path) -> Result<Vec<String>, StoreError> {
    names(releases)
}

fn list_all(root: &Path) -> Result<List, StoreError> {
    let names = names(root)?;
    Ok(artefact::list(root, &names)?)
}

/// The first line that one list has and the other has not.
fn difference(released: &str, found: &str) -> String {
    let path = |line: &str| line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
    let (there, now): (BTreeSet<&str>, BTreeSet<&str>) = (released.lines().collect(), found.lines().collect());
    let missing = there.difference(&now).next().map(|line| format!("{} was changed or is missing", path(line)));
    let added = || now.difference(&there).next().map(|line| format!("{} was added", path(line)));
    missing.or_else(added).unwrap_or_else(|| "its files are in another order".to_owned())
}

fn read(path: &Path) -> Result<Release, StoreError> {
    let text = fs::read(path).map_err(fail("read", path))?;
    let broken = |what: String| StoreError::Record { path: path.to_owned(), what };
    let release: Release = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    if release.format > FORMAT {
        return Err(broken(format!("a newer mana wrote it (format {}, this one knows {FORMAT})", release.format)));
    }
    Ok(release)
}
