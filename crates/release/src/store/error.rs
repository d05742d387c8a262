//! Why the store cannot do it.

use std::io;
use std::path::{Path, PathBuf};

use crate::artefact::{CopyError, WalkError};

/// Why the store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// `read`, `write`, …
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Files cannot be copied into it.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Files cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The files changed while they were copied.
    #[error("the artefact changed while it was copied: {what}")]
    Moved {
        /// Which file.
        what: String,
    },
    /// What lies there is not what was released.
    #[error("the artefact of {release} is not what was released: {what}")]
    Differs {
        /// Its id.
        release: String,
        /// Which file.
        what: String,
    },
    /// A record cannot be understood.
    #[error("the record {} cannot be used: {what}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// No release has this name.
    #[error("{service} has no release `{wanted}`")]
    Unknown {
        /// The service.
        service: String,
        /// What was asked for.
        wanted: String,
        /// What there is, newest first.
        known: Vec<String>,
    },
    /// Several have it.
    #[error("`{wanted}` can be any of several releases of {service}: {}", .all.join(", "))]
    Ambiguous {
        /// The service.
        service: String,
        /// What was asked for.
        wanted: String,
        /// The ids.
        all: Vec<String>,
    },
}

pub(super) fn fail(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { what, path, source }
}
