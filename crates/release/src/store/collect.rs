//! Removing what is not kept any more.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::files::{UNFINISHED, names, remove};
use super::{ARTEFACTS, Store, StoreError};
use crate::clock;
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
        let (left, removed): (Vec<_>, Vec<_>) = all.iter().partition(|release| !gone.contains(&release.id()));
        let named: BTreeSet<&str> =
            left.iter().map(|release| release.digest.as_str()).chain(in_use.iter().map(String::as_str)).collect();
        let nameless = |name: &str| removed.iter().any(|release| release.digest.as_str() == name);
        let artefacts = self.folder.join(ARTEFACTS);
        for name in names(&artefacts)? {
            let place = artefacts.join(&name);
            // What no record ever named may be about to get one.
            if !named.contains(name.as_str()) && (nameless(&name) || is_old(&place)) {
                remove(&place)?;
            }
        }
        for name in names(&self.folder)?.into_iter().filter(|name| name.starts_with(UNFINISHED)) {
            let place = self.folder.join(name);
            if is_old(&place) {
                remove(&place)?;
            }
        }
        Ok(gone)
    }
}

/// Nothing is on its way for so long.
fn is_old(place: &Path) -> bool {
    let changed = fs::metadata(place).and_then(|meta| meta.modified()).ok().and_then(|at| Timestamp::try_from(at).ok());
    changed.is_some_and(|at| clock::now().duration_since(at) > SignedDuration::from_hours(1))
}
