//! Removing what is not kept any more.

use std::collections::BTreeSet;

use super::files::{UNFINISHED, names, remove};
use super::{ARTEFACTS, Store, StoreError};
use crate::retention;

impl Store {
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
