//! Getting what was pushed.

use std::path::Path;

use super::SourceError;
use crate::git::Git;

/// Fetches a branch of `origin` into the repository that a folder is in; says whether the commit is on it. What is checked out stays
/// as it is.
///
/// # Errors
/// Where git cannot fetch it.
pub async fn fetch(folder: &Path, branch: &str, commit: &str) -> Result<bool, SourceError> {
    let git = Git::of(folder);
    let tracking = format!("refs/remotes/origin/{branch}");
    let what = format!("+refs/heads/{branch}:{tracking}");
    git.text(&["fetch", "--quiet", "--no-recurse-submodules", "origin", &what]).await?;
    Ok(git.ask(&["merge-base", "--is-ancestor", commit, &tracking]).await?.is_some())
}

/// Fetches all branches and tags of `origin`.
///
/// # Errors
/// Where git cannot: there may be no `origin`.
pub async fn fetch_all(folder: &Path) -> Result<(), SourceError> {
    Git::of(folder).text(&["fetch", "--quiet", "--tags", "--no-recurse-submodules", "origin"]).await?;
    Ok(())
}
