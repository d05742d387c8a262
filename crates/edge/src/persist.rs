//! The snapshot on disk: read at start, written so that a crash leaves the old one or the new one, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::Error;
use crate::snapshot::{Snapshot, Target};

/// Reads a snapshot. Folders of static sites may be written relative to the file's own folder.
pub(crate) fn load(path: &Path) -> Result<Snapshot, Error> {
    let text = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut snapshot: Snapshot =
        serde_json::from_slice(&text).map_err(|source| Error::Parse { path: path.to_owned(), source })?;
    let folder = std::path::absolute(path).ok();
    let folder = folder.as_deref().and_then(Path::parent).unwrap_or(Path::new("/"));
    for route in &mut snapshot.routes {
        if let Target::Static(site) = &mut route.target {
            site.root = folder.join(&site.root);
        }
    }
    Ok(snapshot)
}

/// Replaces the file. When this returns, the snapshot outlives a power cut.
pub(crate) fn store(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(snapshot).map_err(io::Error::other)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidFilename, "the path names no file"))?;
    let temporary = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = write(&temporary, &text).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // What is left behind is only litter; why it was left is what matters.
        let _litter = fs::remove_file(&temporary);
        return Err(error);
    }
    // The rename itself is in the folder's data.
    File::open(folder)?.sync_all()
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(generation: u64) -> Snapshot {
        serde_json::from_value(serde_json::json!({"generation": generation, "listeners": [], "routes": []})).unwrap()
    }

    #[test]
    fn what_is_stored_is_loaded_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.json");
        store(&path, &snapshot(1)).unwrap();
        store(&path, &snapshot(2)).unwrap();
        assert_eq!(load(&path).unwrap(), snapshot(2));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_store_that_fails_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.json");
        fs::create_dir(&path).unwrap();
        assert!(store(&path, &snapshot(1)).is_err(), "a folder cannot be replaced by a file");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_of_sites_are_relative_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.json");
        fs::write(&path, r#"{"generation": 1, "listeners": [], "routes": [{"name": "site", "target": {"static": {"root": "public"}}}]}"#).unwrap();
        let Target::Static(site) = &load(&path).unwrap().routes[0].target else { panic!("a site") };
        assert_eq!(site.root, folder.path().join("public"));
    }

    #[test]
    fn a_file_that_is_no_snapshot_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.json");
        assert!(matches!(load(&path), Err(Error::Read { .. })));
        fs::write(&path, "{\n  \"generation\": \"one\"\n}").unwrap();
        let Err(Error::Parse { source, .. }) = load(&path) else { panic!("no snapshot") };
        assert_eq!(source.line(), 2);
        assert!(matches!(load(&path), Err(error) if error.exit_code() == 64));
    }
}
