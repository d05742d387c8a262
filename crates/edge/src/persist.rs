//! The snapshot on disk: read at start, written so that a crash leaves the old one or the new one, whole.

use std::path::Path;
use std::{fs, io};

use crate::error::Error;
use crate::private_file;
use crate::snapshot::{Issuer, Snapshot, Target};

/// Reads a snapshot. Folders and files may be written relative to the file's own folder.
pub(crate) fn load(path: &Path) -> Result<Snapshot, Error> {
    let text = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut snapshot = Snapshot::parse(&text).map_err(|source| Error::Parse { path: path.to_owned(), source })?;
    let folder = std::path::absolute(path).ok();
    let folder = folder.as_deref().and_then(Path::parent).unwrap_or(Path::new("/"));
    for route in &mut snapshot.routes {
        if let Target::Static(site) = &mut route.target {
            site.root = folder.join(&site.root);
            site.beside = site.beside.as_ref().map(|beside| folder.join(beside));
        }
    }
    if let Some(tls) = &mut snapshot.tls {
        for files in &mut tls.certificates {
            files.certificate = folder.join(&files.certificate);
            files.key = folder.join(&files.key);
        }
        match &mut tls.issuer {
            Some(Issuer::Local(local)) => local.folder = folder.join(&local.folder),
            Some(Issuer::Acme(acme)) => {
                acme.folder = folder.join(&acme.folder);
                acme.roots = acme.roots.take().map(|roots| folder.join(roots));
            }
            None => {}
        }
    }
    Ok(snapshot)
}

/// Replaces the file. When this returns, the snapshot outlives a power cut.
pub(crate) fn store(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let text = serde_json::to_vec(snapshot).map_err(io::Error::other)?;
    private_file::write(path, &text)
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
