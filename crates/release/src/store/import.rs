//! A release from another store: what passed one environment goes to the next, byte for byte.

use super::{Attached, Store, StoreError};
use crate::record::Release;

impl Store {
    /// Takes in a release of another store: files, record, bill of materials, and the checks that its commit has passed. What is
    /// here already stays.
    ///
    /// # Errors
    /// Where the files there are not what was released, or something cannot be copied. Nothing half-made stays.
    pub fn import(&self, from: &Self, release: &Release) -> Result<(), StoreError> {
        let root = from.root(&release.digest);
        let list = super::list_all(&root)?;
        if list.digest() != release.digest {
            return from.verify(release);
        }
        self.add_artefact(&list, &root)?;
        let (sbom, log) = (from.sbom(release)?, from.folder(release).join("build.log"));
        let log = log.is_file().then_some(log);
        self.add(release, &Attached { sbom: sbom.as_deref(), log: log.as_deref() })?;
        let passed = from.passed(&release.commit)?;
        if passed.is_empty() { Ok(()) } else { self.set_passed(&release.commit, &passed) }
    }
}
