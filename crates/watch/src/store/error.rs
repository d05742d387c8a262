//! What may go wrong between the store and its disk or its callers.

use std::path::PathBuf;
use std::sync::Arc;

use super::bits::Broken;
use super::limits::{MAX_GROUP_BYTES, MAX_LABEL_BYTES, MAX_LABELS};

/// Why the store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another part of this one, has it open.
    #[error("the store in {} is in use by another process: stop that one first", folder.display())]
    InUse {
        /// The store's folder.
        folder: PathBuf,
    },
    /// The disk refused.
    #[error("could not {doing} {}: see that the disk has room and the folder belongs to mana", path.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("{} is damaged ({where_}): it is set aside, or made again; coarser blocks stand for what it held", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        where_: &'static str,
        /// What is wrong with it.
        #[source]
        source: Broken,
    },
    /// A new series would be one too many.
    #[error(transparent)]
    TooManySeries(TooManySeries),
    /// The same labels come from two groups at a time.
    #[error(
        "a series of `{metric}` with the very same labels already comes from `{group}`: give one of the two targets a label of its own"
    )]
    Elsewhere {
        /// The metric's name.
        metric: String,
        /// Who gives it already.
        group: String,
    },
    /// Labels that cannot be stored.
    #[error(
        "a series of `{metric}` has no name, more than {MAX_LABELS} labels, one with more than {MAX_LABEL_BYTES} bytes, or a group of more than \
         {MAX_GROUP_BYTES}: leave out what is not needed to tell series apart"
    )]
    BadLabels {
        /// The metric's name, cut off where it is too long.
        metric: String,
    },
}

/// Which limit was reached, and what most likely fills it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{scope} has {limit} series, which is the limit, and takes no new one of `{refused}`: most are `{metric}`, whose label `{label}` has {values} \
     values. Leave that label out, or raise the limit",
    scope = .group.as_deref().map_or_else(|| "the store".to_owned(), |group| format!("`{group}`"))
)]
pub struct TooManySeries {
    /// The limit.
    pub limit: usize,
    /// The group whose limit it is; `None`: that of all.
    pub group: Option<String>,
    /// The metric that was refused.
    pub refused: String,
    /// The metric with the most series within the limit.
    pub metric: Arc<str>,
    /// Its label with the most values; empty if it has none.
    pub label: Arc<str>,
    /// How many values that label has.
    pub values: usize,
}
