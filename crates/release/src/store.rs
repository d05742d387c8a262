//! Where releases lie.
//!
//! ```text
//! releases/SERVICE/artefacts/DIGEST/files      the list of which DIGEST is the SHA-256
//!                                   root/…     the files, read-only
//! releases/SERVICE/VERSION+DIGEST/release.json what is known of it; written once
//!                                 sbom.json    what it is built of
//!                                 build.log    what the build said
//!                                 scan.json    what the last scan found: the one file that changes
//! ```
//! Two commits that give the same bytes share an artefact. Everything comes into being under a name that begins with a dot and is
//! renamed once it is whole and on disk.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::artefact::{self, CopyError, Digest, List, WalkError};
use crate::clock;
use crate::record::{FORMAT, Release};
use crate::retention;

const ARTEFACTS: &str = "artefacts";
const LIST: &str = "files";
const ROOT: &str = "root";
const RECORD: &str = "release.json";
/// Begins the name of what is not whole yet.
const UNFINISHED: &str = ".new-";

/// Why the store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// `read`, `write`, …
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Files cannot be copied into it.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Files cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The files changed while they were copied.
    #[error("the artefact changed while it was copied: {what}")]
    Moved {
        /// Which file.
        what: String,
    },
    /// What lies there is not what was released.
    #[error("the artefact of {release} is not what was released: {what}")]
    Differs {
        /// Its id.
        release: String,
        /// Which file.
        what: String,
    },
    /// A record cannot be understood.
    #[error("the record {} cannot be used: {what}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// No release has this name.
    #[error("{service} has no release `{wanted}`")]
    Unknown {
        /// The service.
        service: String,
        /// What was asked for.
        wanted: String,
        /// What there is, newest first.
        known: Vec<String>,
    },
    /// Several have it.
    #[error("`{wanted}` can be any of several releases of {service}: {}", .all.join(", "))]
    Ambiguous {
        /// The service.
        service: String,
        /// What was asked for.
        wanted: String,
        /// The ids.
        all: Vec<String>,
    },
}

fn fail(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { what, path, source }
}

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
            if name != ARTEFACTS && !name.starts_with('.') {
                all.push(read(&self.folder.join(&name).join(RECORD))?);
            }
        }
        all.sort_by_key(|release: &Release| Reverse((release.built_at, release.id())));
        Ok(all)
    }

    /// The release that is meant: by id, version, digest, commit, or the beginning of digest or commit. Of several builds of one
    /// version the newest. `None` means the newest of all.
    ///
    /// # Errors
    /// Where there is none, or several.
    pub fn find(&self, wanted: Option<&str>) -> Result<Release, StoreError> {
        /// Shorter beginnings are guesses.
        const SHORTEST: usize = 4;
        let all = self.all()?;
        let unknown = || StoreError::Unknown {
            service: self.service.clone(),
            wanted: wanted.unwrap_or("any").to_owned(),
            known: all.iter().map(Release::id).collect(),
        };
        let Some(wanted) = wanted else { return all.first().cloned().ok_or_else(unknown) };
        if let Some(named) = all.iter().find(|release| release.id() == wanted || release.version == wanted) {
            return Ok(named.clone());
        }
        let begins = |release: &&Release| {
            wanted.len() >= SHORTEST
                && (release.digest.as_str().starts_with(wanted) || release.commit.starts_with(wanted))
        };
        let found: Vec<&Release> = all.iter().filter(begins).collect();
        match found.as_slice() {
            [] => Err(unknown()),
            [one, others @ ..] if others.iter().all(|other| other.commit == one.commit) => Ok((*one).clone()),
            several => Err(StoreError::Ambiguous {
                service: self.service.clone(),
                wanted: wanted.to_owned(),
                all: several.iter().map(|release| release.id()).collect(),
            }),
        }
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
        artefact::copy(list, from, &unfinished.0.join(ROOT))?;
        let arrived = list_all(&unfinished.0.join(ROOT))?;
        if let Some(what) = list.difference(&arrived) {
            return Err(StoreError::Moved { what });
        }
        write(&unfinished.0.join(LIST), list.text().as_bytes())?;
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
        write(&unfinished.0.join(RECORD), format!("{json}\n").as_bytes())?;
        if let Some(sbom) = attached.sbom {
            write(&unfinished.0.join("sbom.json"), sbom.as_bytes())?;
        }
        if let Some(log) = attached.log {
            let text = fs::read(log).map_err(fail("read", log))?;
            write(&unfinished.0.join("build.log"), &text)?;
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

    /// Removes what is beyond `keep` and not in use (ids or digests), and what no record names any more; answers the ids.
    ///
    /// # Errors
    /// Where something cannot be read or removed.
    pub fn collect(&self, keep: usize, in_use: &BTreeSet<String>) -> Result<Vec<String>, StoreError> {
        let all = self.all()?;
        let gone = retention::surplus(&all, keep, in_use);
        // The record first: a record without an artefact would be a release that cannot run.
        for id in &gone {
            remove(&self.folder.join(id))?;
        }
        let named: BTreeSet<&str> = all
            .iter()
            .filter(|release| !gone.contains(&release.id()))
            .map(|release| release.digest.as_str())
            .chain(in_use.iter().map(String::as_str))
            .collect();
        let artefacts = self.folder.join(ARTEFACTS);
        for name in names(&artefacts)? {
            if !named.contains(name.as_str()) {
                remove(&artefacts.join(name))?;
            }
        }
        for name in names(&self.folder)?.into_iter().filter(|name| name.starts_with(UNFINISHED)) {
            remove(&self.folder.join(name))?;
        }
        Ok(gone)
    }
}

/// The services that have releases, by name.
///
/// # Errors
/// Where the folder cannot be read.
pub fn services(releases: &Path) -> Result<Vec<String>, StoreError> {
    names(releases)
}

/// What is being made: gone again unless it is renamed.
struct Unfinished(PathBuf);

impl Unfinished {
    fn make(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(format!("{UNFINISHED}{}", clock::unique()));
        fs::create_dir_all(&path).map_err(fail("make", &path))?;
        Ok(Self(path))
    }

    fn rename(self, to: &Path) -> Result<(), StoreError> {
        let rename = || {
            File::open(&self.0)?.sync_all()?;
            fs::rename(&self.0, to)?;
            to.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        rename().map_err(fail("write", to))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Not there any more where it was renamed. What cannot be removed now is removed by the next `collect`.
        let _ = remove(&self.0);
    }
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

/// Names in a folder, sorted; none where the folder is not there.
fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(fail("read", folder))?.file_name();
        let name = name.into_string().map_err(|name| {
            let source = io::Error::new(io::ErrorKind::InvalidFilename, "its name is not UTF-8");
            StoreError::File { what: "use", path: folder.join(name), source }
        })?;
        names.push(name);
    }
    names.sort();
    Ok(names)
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

fn text(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(fail("read", path)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(path)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    };
    write().map_err(fail("write", path))
}

/// Removes a folder whose folders may be read-only.
fn remove(path: &Path) -> Result<(), StoreError> {
    fn open(folder: &Path) -> io::Result<()> {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open(&entry.path())?;
            }
        }
        Ok(())
    }
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(meta) if meta.is_dir() => open(path).and_then(|()| fs::remove_dir_all(path)),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(fail("remove", path))
}
