//! Why there is no release.

use std::io;
use std::path::PathBuf;

use super::LONGEST_WAIT;
use crate::artefact::WalkError;
use crate::job::{self, JobError};
use crate::sbom::SbomError;
use crate::source::CheckoutError;
use crate::store::StoreError;

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file or folder cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// `make`, `lock`, …
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another build takes all day.
    #[error("another build has been going on for more than {}", job::duration(LONGEST_WAIT))]
    Busy,
    /// There is no checkout.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// Nothing could be run.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The command failed.
    #[error("the build of {service} failed: {end}{room}")]
    Failed {
        /// Which service.
        service: String,
        /// How it ended.
        end: job::End,
        /// Where the disk is full, that.
        room: String,
        /// Its output.
        log: PathBuf,
    },
    /// The disk is so full that not even its output could be written down.
    #[error("the build of {service} failed{room}")]
    NoRoom {
        /// Which service.
        service: String,
        /// How full.
        room: String,
        /// What could not be written.
        #[source]
        source: JobError,
    },
    /// The command succeeded and did not make what it should.
    #[error("the build of {service} succeeded, but made no {missing}")]
    NoArtefact {
        /// Which service.
        service: String,
        /// The file or folder.
        missing: String,
    },
    /// What it made cannot be released.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it is built of cannot be told.
    #[error(transparent)]
    Sbom(#[from] SbomError),
}
