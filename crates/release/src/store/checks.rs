//! Which checks a commit has passed: what was checked once is not checked again.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use super::error::fail;
use super::files::{Unfinished, names, remove, text, write};
use super::{CHECKS, Store, StoreError};

/// Commits that are remembered; checks of older ones are run again.
const MOST: usize = 100;

/// Names of checks, and the commands that they were.
pub type Passed = BTreeMap<String, Vec<String>>;

impl Store {
    /// The checks that a commit has passed. A record that cannot be understood says nothing.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn passed(&self, commit: &str) -> Result<Passed, StoreError> {
        let text = text(&self.folder.join(CHECKS).join(commit))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Remembers that a commit has passed these as well.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn set_passed(&self, commit: &str, passed: &Passed) -> Result<(), StoreError> {
        let folder = self.folder.join(CHECKS);
        let mut all = self.passed(commit)?;
        all.extend(passed.clone());
        let place = folder.join(commit);
        let json = serde_json::to_vec(&all)
            .map_err(|error| StoreError::Record { path: place.clone(), what: error.to_string() })?;
        let unfinished = Unfinished::make(&folder)?;
        let fresh = unfinished.join(commit);
        write(&fresh, &json)?;
        fs::rename(&fresh, &place).map_err(fail("write", &place))?;
        drop(unfinished);
        self.forget_old_checks()
    }

    fn forget_old_checks(&self) -> Result<(), StoreError> {
        let folder = self.folder.join(CHECKS);
        let mut all: Vec<_> = names(&folder)?.into_iter().map(|name| folder.join(name)).collect();
        if all.len() <= MOST {
            return Ok(());
        }
        let changed = |path: &std::path::PathBuf| fs::metadata(path).and_then(|meta| meta.modified());
        all.sort_by_key(|path| changed(path).unwrap_or(SystemTime::UNIX_EPOCH));
        let surplus = all.len() - MOST;
        all.iter().take(surplus).try_for_each(|path| remove(path))
    }
}
