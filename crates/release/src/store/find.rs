//! Which release is meant.

use super::{Store, StoreError};
use crate::record::Release;

impl Store {
    /// The release that is meant: by id, version, digest, commit, or the beginning of digest or commit. Of several builds of one
    /// version the newest. `None` means the newest of all.
    ///
    /// # Errors
    /// Where there is none, or several.
    pub fn find(&self, wanted: Option<&str>) -> Result<Release, StoreError> {
        /// Shorter beginnings are guesses.
        const SHORTEST: usize = 4;
        let all = self.all()?;
        let unknown = || StoreError::Unknown {
            service: self.service.clone(),
            wanted: wanted.unwrap_or("any").to_owned(),
            known: all.iter().map(Release::id).collect(),
        };
        let Some(wanted) = wanted else { return all.first().cloned().ok_or_else(unknown) };
        if let Some(named) = all.iter().find(|release| release.id() == wanted || release.version == wanted) {
            return Ok(named.clone());
        }
        let begins = |release: &&Release| {
            wanted.len() >= SHORTEST
                && (release.digest.as_str().starts_with(wanted) || release.commit.starts_with(wanted))
        };
        let found: Vec<&Release> = all.iter().filter(begins).collect();
        match found.as_slice() {
            [] => Err(unknown()),
            [one, others @ ..] if others.iter().all(|other| other.commit == one.commit) => Ok((*one).clone()),
            several => Err(StoreError::Ambiguous {
                service: self.service.clone(),
                wanted: wanted.to_owned(),
                all: several.iter().map(|release| release.id()).collect(),
            }),
        }
    }
}
