//! The files below a folder, with what they hold.

use std::fs::{self, File as OpenFile};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{File, List, Mode};

/// Files of one artefact. The largest known (a web server with its packages) have some 50,000.
const MAX_FILES: usize = 500_000;
/// Folders within folders.
const MAX_DEPTH: usize = 64;
const BUFFER_BYTES: usize = 256 * 1024;

/// Why the files cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The system refuses.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something that cannot be part of an artefact.
    #[error("{} cannot be part of an artefact: {what}", path.display())]
    Refused {
        /// What.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// All files below these paths of a folder. Empty folders are not part of an artefact.
///
/// # Errors
/// Where something cannot be read, is neither file, folder nor link, or a link leads out of the folder.
pub fn list(root: &Path, paths: &[String]) -> Result<List, WalkError> {
    let mut files = Vec::new();
    for path in paths {
        // Through a link on the way, files from anywhere would be taken for files of this folder.
        let mut above = root.to_owned();
        for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
            above.push(part);
            if above.is_symlink() {
                return Err(refused(&above, "it is a link on the way to a file"));
            }
        }
        visit(root, Path::new(path), 0, &mut files)?;
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files.dedup_by(|one, other| one.path == other.path);
    Ok(List::new(files))
}

fn refused(path: &Path, what: impl Into<String>) -> WalkError {
    WalkError::Refused { path: path.to_owned(), what: what.into() }
}

fn visit(root: &Path, relative: &Path, depth: usize, files: &mut Vec<File>) -> Result<(), WalkError> {
    let path = root.join(relative);
    let read = |source| WalkError::Read { path: path.clone(), source };
    let Some(name) = relative.to_str() else { return Err(refused(&path, "its name is not UTF-8")) };
    if name.contains(char::is_control) {
        return Err(refused(&path, "its name holds a control character"));
    }
    if depth > MAX_DEPTH || files.len() >= MAX_FILES {
        let what = format!("there are more than {MAX_FILES} files, or {MAX_DEPTH} folders within folders");
        return Err(refused(&path, what));
    }
    let meta = fs::symlink_metadata(&path).map_err(read)?;
    if meta.is_dir() {
        for entry in fs::read_dir(&path).map_err(read)? {
            visit(root, &relative.join(entry.map_err(read)?.file_name()), depth + 1, files)?;
        }
        return Ok(());
    }
    let (mode, sha256, size) = if meta.is_symlink() {
        let target = fs::read_link(&path).map_err(read)?;
        if !stays_inside(relative, &target) {
            return Err(refused(&path, format!("it is a link to {}, out of the artefact", target.display())));
        }
        let target = target.as_os_str().as_encoded_bytes();
        (Mode::Link, hex::encode(Sha256::digest(target)), target.len() as u64)
    } else if meta.is_file() {
        let executable = meta.permissions().mode() & 0o111 != 0;
        let (sha256, size) = hash(&path).map_err(read)?;
        (if executable { Mode::Executable } else { Mode::Plain }, sha256, size)
    } else {
        return Err(refused(&path, "it is neither a file nor a folder nor a link"));
    };
    files.push(File { path: name.to_owned(), mode, sha256, size });
    Ok(())
}

/// Whether a link leads to somewhere below the root, by its words alone.
fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn hash(path: &Path) -> io::Result<(String, u64)> {
    let mut file = OpenFile::open(path)?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hex::encode(hasher.finalize()), size)),
            count => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir_all(folder.path().join("site/img")).expect("made");
        fs::write(folder.path().join("site/index.html"), "hello").expect("written");
        fs::write(folder.path().join("site/img/a.svg"), "<svg/>").expect("written");
        fs::write(folder.path().join("secret"), "no").expect("written");
        folder
    }

    fn paths(root: &Path, paths: &[&str]) -> Result<Vec<String>, WalkError> {
        let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        Ok(list(root, &paths)?.files().iter().map(|file| file.path.clone()).collect())
    }

    #[test]
    fn files_of_overlapping_paths_are_there_once() {
        let folder = folder();
        assert_eq!(paths(folder.path(), &["site/img", "site"]).expect("listed"), ["site/img/a.svg", "site/index.html"]);
    }

    #[test]
    fn links_may_not_lead_out_and_special_files_are_refused() {
        let folder = folder();
        let site = folder.path().join("site");
        symlink("../secret", site.join("inside")).expect("linked");
        symlink("img/a.svg", site.join("fine")).expect("linked");
        assert_eq!(paths(folder.path(), &["site"]).expect("listed").len(), 4);
        for target in ["../../secret", "/etc/passwd", "img/../../../x"] {
            symlink(target, site.join("out")).expect("linked");
            let error = paths(folder.path(), &["site"]).expect_err(target).to_string();
            assert!(error.contains("out of the artefact"), "{error}");
            fs::remove_file(site.join("out")).expect("removed");
        }
        std::os::unix::net::UnixListener::bind(site.join("socket")).expect("bound");
        assert!(paths(folder.path(), &["site"]).is_err());
        symlink("site", folder.path().join("other")).expect("linked");
        assert!(paths(folder.path(), &["other/img"]).expect_err("a link").to_string().contains("on the way"));
        assert!(paths(folder.path(), &["nothing"]).is_err());
    }
}
