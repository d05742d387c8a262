//! What a thread has open of the folders that it gives files out of, until the next tick.
//!
//! Under load the same few files are asked for again and again, and finding one takes longer than sending it. So what was
//! found is kept, for so short a time that nobody waits for a change. Invariants:
//! - Nothing outlives a tick ([`Kept::forget`]): a site that is replaced by turning a link or renaming its folder is served from
//!   the new folder by then, and so are names that lead elsewhere and compressed forms that were added.
//! - Before each use an open file is asked what it is by now. One that was written to, removed, or replaced under its name
//!   is opened anew at once. What is said of a file and what is sent of it are always of one handle.
//! - An idle thread keeps nothing open, a busy one [`MAX_KEPT`] things; whatever does not fit is opened for its request
//!   alone.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::document::Document;
use super::file;

/// Folders and files that one thread keeps: what a few sites' pages consist of. All threads' together are few beside the
/// 1,024 handles that many systems allow a process.
const MAX_KEPT: usize = 64;

/// What one thread keeps.
#[derive(Default)]
pub(crate) struct Kept {
    folders: RefCell<HashMap<OsString, Rc<Folder>>>,
    count: Rc<Cell<usize>>,
}

impl Kept {
    /// The folder of a site, open.
    pub(super) fn folder(&self, root: &Path) -> io::Result<Rc<Folder>> {
        let mut folders = self.folders.borrow_mut();
        if let Some(folder) = folders.get(root.as_os_str()) {
            return Ok(Rc::clone(folder));
        }
        let handle = file::open_root(root)?;
        let folder = Rc::new(Folder { handle, found: RefCell::default(), count: Rc::clone(&self.count) });
        if take_place(&self.count) {
            folders.insert(root.into(), Rc::clone(&folder));
        }
        Ok(folder)
    }

    /// Closes what is open, but for files that are being sent. To be called once a tick.
    pub(crate) fn forget(&self) {
        self.folders.borrow_mut().clear();
        self.count.set(0);
    }
}

/// A site's folder, and what was found in it.
pub(super) struct Folder {
    pub(super) handle: File,
    found: RefCell<HashMap<OsString, Found>>,
    count: Rc<Cell<usize>>,
}

/// What a name leads to.
#[derive(Clone)]
pub(super) enum Found {
    File(Rc<Document>),
    Folder,
}

impl Folder {
    /// What lies under a name. Whatever cannot be given out (no such file, no permission, a device, a link that leads
    /// outside) is nothing, and is looked for again each time: anybody can ask for it under any name.
    pub(super) fn find(&self, name: &Path) -> io::Result<Option<Found>> {
        let mut found = self.found.borrow_mut();
        let kept = found.get_mut(name.as_os_str());
        match &kept {
            Some(Found::File(document)) if !document.plain.is_current() => {}
            Some(known) => return Ok(Some((*known).clone())),
            None => {}
        }
        let opened = match file::open(&self.handle, name)? {
            None => None,
            Some(file::Opening::Folder) => Some(Found::Folder),
            Some(file::Opening::File(opened)) => Some(Found::File(Rc::new(Document::new(name, *opened)))),
        };
        match (&opened, kept) {
            (Some(now), Some(kept)) => *kept = now.clone(),
            (Some(now), None) if take_place(&self.count) => drop(found.insert(name.into(), now.clone())),
            (Some(_), None) => {}
            (None, kept) => {
                if kept.is_some() && found.remove(name.as_os_str()).is_some() {
                    give_place_back(&self.count);
                }
            }
        }
        Ok(opened)
    }

    /// Whether one more handle may be kept; it counts then.
    pub(super) fn takes(&self) -> bool {
        take_place(&self.count)
    }
}

fn take_place(count: &Cell<usize>) -> bool {
    let free = count.get() < MAX_KEPT;
    if free {
        count.set(count.get() + 1);
    }
    free
}

fn give_place_back(count: &Cell<usize>) {
    count.set(count.get().saturating_sub(1));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, symlink};

    use http::{HeaderMap, HeaderValue, header};
    use tempfile::TempDir;

    use super::super::file::Opened;
    use super::*;
    use crate::compress::Accepted;

    /// A site under a link, as releases are.
    struct Site {
        folder: TempDir,
        kept: Kept,
    }

    impl Site {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("one")).unwrap();
            symlink("one", folder.path().join("site")).unwrap();
            Self { folder, kept: Kept::default() }
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.folder.path().join(name), content).unwrap();
        }

        fn find(&self, name: &str) -> Option<Rc<Document>> {
            let folder = self.kept.folder(&self.folder.path().join("site")).unwrap();
            match folder.find(Path::new(name)).unwrap()? {
                Found::File(document) => Some(document),
                Found::Folder => None,
            }
        }

        /// What would be sent, and whether what is said of it fits.
        fn read(&self, name: &str) -> Option<String> {
            Some(content(&self.find(name)?.plain))
        }

        /// Content of the form that a client of these codings gets.
        fn form(&self, name: &str, accepts: &'static str) -> Option<String> {
            let folder = self.kept.folder(&self.folder.path().join("site")).unwrap();
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts))]);
            let (_, opened) = self.find(name)?.form(&folder, Path::new(name), Accepted::read(&headers))?;
            Some(content(&opened))
        }

        /// Handles that are open beneath the folder.
        fn open(&self) -> usize {
            let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
            targets.filter(|target| target.starts_with(self.folder.path())).count()
        }
    }

    fn content(opened: &Opened) -> String {
        let mut bytes = vec![0; 100];
        // As everybody reads it: the handle is shared, and so would be its place.
        let length = opened.file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(length as u64, opened.length(), "metadata and content are of one file");
        bytes.truncate(length);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_file_that_did_not_change_is_opened_once_a_tick() {
        let site = Site::new();
        site.write("one/a", "a");
        let first = site.find("a").unwrap();
        assert!(Rc::ptr_eq(&first, &site.find("a").unwrap()));
        site.kept.forget();
        assert!(!Rc::ptr_eq(&first, &site.find("a").unwrap()));
    }

    #[test]
    fn a_file_that_changed_in_any_way_is_seen_at_once() {
        let site = Site::new();
        site.write("one/a", "first");
        assert_eq!(site.read("a").as_deref(), Some("first"));
        site.write("one/a", "written to");
        assert_eq!(site.read("a").as_deref(), Some("written to"));
        site.write("new", "replaced");
        std::fs::rename(site.folder.path().join("new"), site.folder.path().join("one/a")).unwrap();
        assert_eq!(site.read("a").as_deref(), Some("replaced"));
        File::options().write(true).open(site.folder.path().join("one/a")).unwrap().set_len(3).unwrap();
        assert_eq!(site.read("a").as_deref(), Some("rep"));
        std::fs::remove_file(site.folder.path().join("one/a")).unwrap();
        assert_eq!(site.read("a"), None);
        site.write("one/a", "again");
        assert_eq!(site.read("a").as_deref(), Some("again"));
    }

    #[test]
    fn a_turned_link_is_followed_from_the_next_tick_on() {
        let site = Site::new();
        site.write("one/a", "old");
        std::fs::create_dir(site.folder.path().join("two")).unwrap();
        site.write("two/a", "new");
        assert_eq!(site.read("a").as_deref(), Some("old"));
        symlink("two", site.folder.path().join("turned")).unwrap();
        std::fs::rename(site.folder.path().join("turned"), site.folder.path().join("site")).unwrap();
        assert_eq!(site.read("a").as_deref(), Some("old"), "one folder at a time");
        site.kept.forget();
        assert_eq!(site.read("a").as_deref(), Some("new"));
    }

    #[test]
    fn that_there_is_no_smaller_form_is_believed_for_a_tick() {
        let site = Site::new();
        site.write("one/a.css", "plain");
        site.write("one/a.css.gz", "gz");
        assert_eq!(site.form("a.css", "br, gzip").as_deref(), Some("gz"));
        site.write("one/a.css.br", "br");
        assert_eq!(site.form("a.css", "br, gzip").as_deref(), Some("gz"));
        site.kept.forget();
        assert_eq!(site.form("a.css", "br, gzip").as_deref(), Some("br"));
        std::fs::remove_file(site.folder.path().join("one/a.css.br")).unwrap();
        assert_eq!(site.form("a.css", "br, gzip").as_deref(), Some("gz"), "what is gone is seen at once");
    }

    #[test]
    fn what_is_kept_is_bounded_and_closed_at_the_tick() {
        let site = Site::new();
        for number in 0..3 * MAX_KEPT {
            site.write(&format!("one/{number}.css"), "plain");
            site.write(&format!("one/{number}.css.br"), "br");
        }
        for number in 0..3 * MAX_KEPT {
            assert_eq!(site.form(&format!("{number}.css"), "br").as_deref(), Some("br"));
            assert!(site.open() <= MAX_KEPT);
        }
        site.kept.forget();
        assert_eq!(site.open(), 0);
        // Files that come and go take no place for good.
        for number in 0..3 * MAX_KEPT {
            let name = format!("one/gone-{number}");
            site.write(&name, "x");
            assert!(site.find(&format!("gone-{number}")).is_some());
            std::fs::remove_file(site.folder.path().join(&name)).unwrap();
            assert!(site.find(&format!("gone-{number}")).is_none());
        }
        assert!(Rc::ptr_eq(&site.find("0.css").unwrap(), &site.find("0.css").unwrap()), "there is room");
    }
}
