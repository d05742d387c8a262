//! What lies between two commits.

use std::path::Path;

use serde::Serialize;

use super::SourceError;
use crate::git::Git;

/// Commits that are named; of more only the number is told.
const NAMED: usize = 50;

/// What lies between two commits of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Between {
    /// Those that the second has and the first has not, newest first; of many the newest.
    pub commits: Vec<Step>,
    /// How many they are.
    pub ahead: usize,
    /// How many the first has that the second has not: going there takes them back.
    pub behind: usize,
    /// `3 files changed, 20 insertions(+), 1 deletion(-)`; empty: the files are the same.
    pub files: String,
}

/// A commit in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The beginning of its id.
    pub commit: String,
    /// Who wrote it.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
}

/// From one commit to another, of the repository that a folder is in; `None`: one of them is not there.
///
/// # Errors
/// Where git does not answer.
pub async fn between(folder: &Path, from: &str, to: &str) -> Result<Option<Between>, SourceError> {
    let git = Git::of(folder);
    let (ahead, behind) = (format!("{from}..{to}"), format!("{to}..{from}"));
    let Some(log) = git.ask(&["log", "--format=%h%x00%an%x00%s", "--end-of-options", &ahead]).await? else {
        return Ok(None);
    };
    let lines: Vec<&str> = log.lines().collect();
    let step = |line: &&str| {
        let mut parts = line.splitn(3, '\0').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Step { commit: part(), author: part(), subject: part() }
    };
    let behind = git.text(&["rev-list", "--count", "--end-of-options", &behind]).await?;
    let files = git.text(&["diff", "--shortstat", "--end-of-options", from, to]).await?;
    Ok(Some(Between {
        commits: lines.iter().take(NAMED).map(step).collect(),
        ahead: lines.len(),
        behind: behind.trim().parse().unwrap_or_default(),
        files: files.trim().to_owned(),
    }))
}
