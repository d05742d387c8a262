//! The store's folder: everything that changes a file goes through here, so that tests can take the room away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StoreError;

/// A folder.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    folder: Arc<Path>,
    #[cfg(test)]
    pub(super) faults: faults::Faults,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Written {
    file: File,
    path: PathBuf,
    /// Bytes that wait to be written together.
    waiting: Vec<u8>,
    disk: Disk,
}

/// Bytes that are written together.
const TOGETHER: usize = 256 << 10;

impl Disk {
    /// The folder is made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(disk_error("make the folder", folder))?;
        Ok(Self {
            folder: folder.into(),
            #[cfg(test)]
            faults: faults::Faults::default(),
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Nobody else opens the store while the file lives.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let path = self.path("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(disk_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { folder: self.folder.to_path_buf() }),
            Err(std::fs::TryLockError::Error(source)) => Err(disk_error("lock", &path)(source)),
        }
    }

    /// Names of all files, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let listed = std::fs::read_dir(&self.folder).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok())).collect::<io::Result<Vec<_>>>()
        });
        let mut names: Vec<String> = listed.map_err(disk_error("list", &self.folder))?.into_iter().flatten().collect();
        names.sort();
        Ok(names)
    }

    /// A new file, in place of one with the name.
    pub(super) fn create(&self, name: &str) -> Result<Written, StoreError> {
        let path = self.path(name);
        self.fault().and_then(|()| File::create(&path)).map_err(disk_error("create", &path)).map(|file| Written {
            file,
            path,
            waiting: Vec::new(),
            disk: self.clone(),
        })
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let path = self.path(from);
        self.fault().and_then(|()| std::fs::rename(&path, self.path(to))).map_err(disk_error("rename", &path))
    }

    /// One that is not there is removed.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        let removed = self.fault().and_then(|()| std::fs::remove_file(&path));
        removed
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(disk_error("remove", &path))
    }

    /// Cuts a file's end off.
    pub(super) fn cut(&self, name: &str, length: u64) -> Result<(), StoreError> {
        let path = self.path(name);
        let cut = || -> io::Result<()> {
            self.fault()?;
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(length)?;
            file.sync_data()
        };
        cut().map_err(disk_error("cut the end off", &path))
    }

    /// Names that were changed outlive a power failure from here on.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let sync = || self.fault().and_then(|()| File::open(&self.folder)?.sync_all());
        sync().map_err(disk_error("force to disk", &self.folder))
    }

    #[cfg_attr(
        not(test),
        expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "only tests take the room away")
    )]
    fn fault(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.change()?;
        Ok(())
    }
}

impl Written {
    /// Writes it now or with what follows.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= TOGETHER { self.flush() } else { Ok(()) }
    }

    /// The operating system has it from here on: it outlives the process.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        let written = self.write_out();
        self.waiting.clear();
        written.map_err(disk_error("write", &self.path))
    }

    /// The disk has it from here on: it outlives a power failure.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.disk.fault().and_then(|()| self.file.sync_data()).map_err(disk_error("force to disk", &self.path))
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        #[cfg(test)]
        if let Err((room, error)) = self.disk.faults.write(self.waiting.len()) {
            self.file.write_all(&self.waiting[..room])?;
            return Err(error);
        }
        self.file.write_all(&self.waiting)
    }
}

/// What the disk refused, with which file.
pub(super) fn disk_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Disk { doing, path, source }
}

#[cfg(test)]
pub(super) mod faults {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Fails what a test wants to fail.
    #[derive(Debug, Clone)]
    pub(in crate::store) struct Faults(Arc<Counters>);

    #[derive(Debug)]
    struct Counters {
        /// Changes until they fail; negative: never.
        left: AtomicI64,
        /// Changes that fail then.
        failing: AtomicI64,
        /// Changes that were made.
        made: AtomicI64,
        /// Bytes that still fit the disk; negative: any number.
        room: AtomicI64,
    }

    impl Default for Faults {
        fn default() -> Self {
            let never = || AtomicI64::new(-1);
            Self(Arc::new(Counters {
                left: never(),
                failing: AtomicI64::new(0),
                made: AtomicI64::new(0),
                room: never(),
            }))
        }
    }

    impl Faults {
        /// After `after` changes the next `count` fail.
        pub(in crate::store) fn fail(&self, after: i64, count: i64) {
            self.0.failing.store(count, Ordering::SeqCst);
            self.0.left.store(after, Ordering::SeqCst);
        }

        /// So many bytes fit; `None`: any number.
        pub(in crate::store) fn room(&self, bytes: Option<i64>) {
            self.0.room.store(bytes.unwrap_or(-1), Ordering::SeqCst);
        }

        /// How many changes there were.
        pub(in crate::store) fn made(&self) -> i64 {
            self.0.made.load(Ordering::SeqCst)
        }

        pub(super) fn change(&self) -> io::Result<()> {
            self.0.made.fetch_add(1, Ordering::SeqCst);
            let left = self.0.left.load(Ordering::SeqCst);
            if left > 0 {
                self.0.left.store(left - 1, Ordering::SeqCst);
            } else if left == 0 && self.0.failing.load(Ordering::SeqCst) > 0 {
                self.0.failing.fetch_sub(1, Ordering::SeqCst);
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        }

        /// Or how many bytes went through before the disk was full.
        pub(super) fn write(&self, bytes: usize) -> Result<(), (usize, io::Error)> {
            self.change().map_err(|error| (bytes / 2, error))?;
            let room = self.0.room.load(Ordering::SeqCst);
            let wanted = i64::try_from(bytes).unwrap_or(i64::MAX);
            if room < 0 {
                return Ok(());
            }
            self.0.room.store((room - wanted).max(0), Ordering::SeqCst);
            if wanted <= room {
                Ok(())
            } else {
                Err((usize::try_from(room).unwrap_or(0), io::ErrorKind::StorageFull.into()))
            }
        }
    }
}
