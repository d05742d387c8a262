//! A release on its way to another machine: one stream that holds all that is known of it.
//!
//! A tar archive: `release.json`, `checks.json`, `sbom.json` where there is one, then the files below `root/`. Who takes it in
//! believes nothing of it: the files have to have the digest that the record names.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Builder, EntryType, Header};

use super::files::Unfinished;
use super::{Attached, RECORD, ROOT, Store, StoreError, list_all};
use crate::record::{FORMAT, Release};

/// Of all that is in it.
pub const MOST_BYTES: u64 = 8 << 30;
/// Of a record, a bill of materials.
const MOST_TEXT_BYTES: u64 = 64 << 20;
const CHECKS: &str = "checks.json";
const SBOM: &str = "sbom.json";

impl Store {
    /// Writes a release and all that is known of it.
    ///
    /// # Errors
    /// Where its files are not what was released, or something cannot be read or written.
    pub fn pack(&self, release: &Release, to: impl Write) -> Result<(), StoreError> {
        let root = self.verified_root(release)?;
        let passed = self.passed(&release.commit)?;
        let broken = |error: serde_json::Error| StoreError::Record { path: root.clone(), what: error.to_string() };
        let record = serde_json::to_vec(release).map_err(broken)?;
        let checks = serde_json::to_vec(&passed).map_err(broken)?;
        let sbom = self.sbom(release)?;
        let pack = || {
            let mut tar = Builder::new(to);
            tar.follow_symlinks(false);
            let mut text = |name: &str, bytes: &[u8]| {
                let mut header = Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o444);
                tar.append_data(&mut header, name, bytes)
            };
            text(RECORD, &record)?;
            text(CHECKS, &checks)?;
            if let Some(sbom) = &sbom {
                text(SBOM, sbom.as_bytes())?;
            }
            tar.append_dir_all(ROOT, &root)?;
            tar.into_inner()?.flush()
        };
        pack().map_err(|source| StoreError::File { what: "pack", path: root.clone(), source })
    }

    /// Takes in what [`Store::pack`] wrote.
    ///
    /// # Errors
    /// Where it is not a release of this service, or not what its digest says. Nothing of it stays then.
    pub fn unpack(&self, from: impl Read) -> Result<Release, StoreError> {
        let unfinished = Unfinished::make(&self.folder)?;
        let place = unfinished.join("unpacked");
        let fail = |source| StoreError::File { what: "unpack", path: place.clone(), source };
        fs::create_dir_all(&place).map_err(fail)?;
        spread(from, &place).map_err(fail)?;
        let read = |name: &str| fs::read(place.join(name)).map_err(fail);
        let broken = |what: String| StoreError::Record { path: place.join(RECORD), what };
        let release: Release = serde_json::from_slice(&read(RECORD)?).map_err(|error| broken(error.to_string()))?;
        if release.service != self.service || release.format > FORMAT || !is_name(&release.version) {
            return Err(broken(format!("it is no release of {} that this mana knows", self.service)));
        }
        let passed = serde_json::from_slice(&read(CHECKS)?).map_err(|error| broken(error.to_string()))?;
        let sbom = super::text(&place.join(SBOM))?;
        let list = list_all(&place.join(ROOT))?;
        if list.digest() != release.digest {
            let what = format!("its files have the digest {}", list.digest());
            return Err(StoreError::Differs { release: release.id(), what });
        }
        self.add_artefact(&list, &place.join(ROOT))?;
        self.add(&release, &Attached { sbom: sbom.as_deref(), log: None })?;
        if !release.dirty && !release.commit.is_empty() && is_name(&release.commit) {
            self.set_passed(&release.commit, &passed)?;
        }
        Ok(release)
    }
}

/// A part of a path, and no more.
fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
    !text.is_empty() && text.len() <= 200 && !text.starts_with('.') && text.bytes().all(good)
}

/// Files, folders and links, none of them outside of the folder.
fn spread(from: impl Read, folder: &Path) -> io::Result<()> {
    let refuse = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut archive = Archive::new(from.take(MOST_BYTES));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let inside = name.components().all(|part| matches!(part, Component::Normal(_)));
        let known = name.starts_with(ROOT) || [RECORD, CHECKS, SBOM].iter().any(|known| name == Path::new(known));
        if !inside || !known {
            return Err(refuse(format!("{} has no place in a release", name.display())));
        }
        let (path, kind) = (folder.join(&name), entry.header().entry_type());
        if through_link(folder, &name) {
            return Err(refuse(format!("{} lies behind a link", name.display())));
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match kind {
            EntryType::Directory => fs::create_dir_all(&path)?,
            EntryType::Symlink => {
                let target = entry.link_name()?.ok_or_else(|| refuse("a link leads nowhere".to_owned()))?;
                std::os::unix::fs::symlink(target, &path)?;
            }
            EntryType::Regular => {
                if !name.starts_with(ROOT) && entry.size() > MOST_TEXT_BYTES {
                    return Err(refuse(format!("{} is too large", name.display())));
                }
                let executable = entry.header().mode()? & 0o111 != 0;
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                io::copy(&mut entry, &mut file)?;
                file.set_permissions(Permissions::from_mode(if executable { 0o700 } else { 0o600 }))?;
            }
            _ => return Err(refuse(format!("{} is neither a file nor a folder nor a link", name.display()))),
        }
    }
    Ok(())
}

/// Whether one of the folders on the way is a link: what comes after it would lie elsewhere.
fn through_link(folder: &Path, name: &Path) -> bool {
    let mut above = PathBuf::from(folder);
    name.parent().into_iter().flat_map(Path::components).any(|part| {
        above.push(part);
        above.is_symlink()
    })
}
