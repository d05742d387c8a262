//! Folders of advisories, as they are published: OSV's JSON files, or a checkout of RustSec's advisory-db. Both may be mixed.

mod osv;
mod rustsec;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::advisory::Advisory;
use crate::sbom::Ecosystem;

/// Largest advisory that is read; the largest published ones have some 300 KiB.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Folders within folders.
const MAX_DEPTH: usize = 12;
/// Files that are named when they cannot be understood.
const NAMED: usize = 3;

/// Packages that are asked about.
pub(crate) type Names = BTreeSet<(Ecosystem, String)>;

/// Why advisories cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the advisories in {}", path.display())]
pub struct ReadError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What the folders hold.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Those about the packages that are asked about.
    pub(crate) advisories: Vec<Advisory>,
    /// How many there are in all.
    pub(crate) count: u64,
    /// When the newest one was changed, or the folder was fetched last.
    pub(crate) newest: Option<Timestamp>,
    /// Files that look like advisories and are none that is understood: how many, and the first of them.
    pub(crate) broken: u64,
    pub(crate) broken_files: Vec<PathBuf>,
}

/// What a file turned out to be.
pub(crate) enum Parsed {
    /// Advisories, one for each package it is about, and when it was changed last.
    Advisories(Vec<Advisory>, Option<Timestamp>),
    /// Something else.
    Other,
    /// An advisory that cannot be understood.
    Broken,
}

/// Reads all folders.
pub(crate) fn read(folders: &[PathBuf], names: &Names, now: Timestamp) -> Result<Read, ReadError> {
    let mut read = Read::default();
    for folder in folders {
        visit(folder, 0, names, now, &mut read)?;
        if let Some(fetched) = fetched(folder).filter(|at| *at <= now) {
            read.newest = read.newest.max(Some(fetched));
        }
    }
    Ok(read)
}

fn visit(folder: &Path, depth: usize, names: &Names, now: Timestamp, read: &mut Read) -> Result<(), ReadError> {
    let fail = |source| ReadError { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().map_err(fail)?.is_dir() {
            if depth < MAX_DEPTH {
                visit(&path, depth + 1, names, now, read)?;
            }
            continue;
        }
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => osv::parse,
            Some("md" | "toml") => rustsec::parse,
            _ => continue,
        };
        let fail = |source| ReadError { path: path.clone(), source };
        let parsed = if entry.metadata().map_err(fail)?.len() > MAX_FILE_BYTES {
            Parsed::Broken
        } else {
            parse(&fs::read(&path).map_err(fail)?)
        };
        match parsed {
            Parsed::Other => {}
            Parsed::Broken => {
                read.broken += 1;
                read.broken_files.extend((read.broken_files.len() < NAMED).then_some(path));
            }
            Parsed::Advisories(advisories, modified) => {
                read.count += 1;
                // One with a time that is still to come must not make an old folder new for ever.
                read.newest = read.newest.max(modified.filter(|at| *at <= now));
                let wanted = |advisory: &Advisory| names.contains(&(advisory.ecosystem, advisory.package.clone()));
                read.advisories.extend(advisories.into_iter().filter(wanted));
            }
        }
    }
    Ok(())
}

/// When a checkout was last brought up to date, whether or not anything was new.
fn fetched(folder: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(folder.join(".git/FETCH_HEAD")).ok()?.modified().ok()?;
    Timestamp::try_from(modified).ok()
}
