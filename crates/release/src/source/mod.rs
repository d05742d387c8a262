//! Which commit a release is made of.

mod between;
mod checkout;
mod fetch;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use between::{Between, Step, between};
pub use checkout::{Checkout, CheckoutError};
pub use fetch::{fetch, fetch_all};

use crate::artefact::WalkError;
use crate::git::{Git, GitError};
use crate::version::{self, Names};

/// Files of a dirty tree that a message names.
const NAMED_FILES: usize = 10;

/// A commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Top folder of the repository.
    pub repository: PathBuf,
    /// The manifest's folder, from there.
    pub prefix: PathBuf,
    /// Its whole id.
    pub id: String,
    /// What a release of it is called.
    pub version: String,
    /// `Ada <ada@example.org>`.
    pub author: String,
    /// What its author says about it.
    pub message: String,
    /// When it was committed.
    pub at: Timestamp,
    /// Whether what lies in the folder is meant, uncommitted changes included.
    pub dirty: bool,
    /// What lies in the repository and is never part of a release, from the top: mana's own data.
    aside: Vec<PathBuf>,
}

/// Why no commit can be told.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no repository.
    #[error("{} is not in a git repository", folder.display())]
    NoRepository {
        /// The manifest's folder.
        folder: PathBuf,
    },
    /// Nothing was committed yet.
    #[error("the repository {} has no commit yet", repository.display())]
    NoCommit {
        /// Its top folder.
        repository: PathBuf,
    },
    /// No such commit.
    #[error("there is no commit `{name}` in {}", repository.display())]
    Unknown {
        /// What was asked for.
        name: String,
        /// Top folder of the repository.
        repository: PathBuf,
    },
    /// There are changes that no commit holds.
    #[error("{} changed and not committed:\n{}", files(.changed.len()), list(.changed))]
    Dirty {
        /// The files.
        changed: Vec<String>,
    },
    /// git does not answer.
    #[error(transparent)]
    Git(#[from] GitError),
    /// What lies in the folder cannot be read.
    #[error(transparent)]
    Files(#[from] WalkError),
}

fn files(count: usize) -> String {
    if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") }
}

fn list(changed: &[String]) -> String {
    let mut lines: Vec<String> = changed.iter().take(NAMED_FILES).map(|file| format!("- {file}")).collect();
    if changed.len() > NAMED_FILES {
        lines.push(format!("- and {} more", changed.len() - NAMED_FILES));
    }
    lines.join("\n")
}

/// Whether a tree with uncommitted changes may be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dirty {
    /// As it is, and the release says so.
    Allowed,
    /// Only what was committed.
    Refused,
}

impl Commit {
    /// The commit that is meant: `reference` where one is given, else what is checked out. `data` is the data folder.
    ///
    /// # Errors
    /// Where there is none, or there are changes that it does not hold and `dirty` refuses them.
    pub async fn find(folder: &Path, data: &Path, reference: Option<&str>, dirty: Dirty) -> Result<Self, SourceError> {
        let git = Git::of(folder);
        let top = git.ask(&["rev-parse", "--show-toplevel", "--show-prefix"]).await?;
        let Some((top, prefix)) = top.as_deref().and_then(|top| top.split_once('\n').or(Some((top, "")))) else {
            return Err(SourceError::NoRepository { folder: folder.to_owned() });
        };
        let (repository, prefix) = (PathBuf::from(top), PathBuf::from(prefix.trim_end_matches('/')));
        let name = format!("{}^{{commit}}", reference.unwrap_or("HEAD"));
        let id = git.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).await?;
        let id = id.ok_or_else(|| match reference {
            Some(name) => SourceError::Unknown { name: name.to_owned(), repository: repository.clone() },
            None => SourceError::NoCommit { repository: repository.clone() },
        })?;
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        // Where data lies as a rule, for all environments; and where that of this one lies.
        let aside = [folder.join(".mana"), data.to_owned()];
        let top = real(&repository);
        let aside: Vec<PathBuf> =
            aside.iter().filter_map(|path| Some(real(path).strip_prefix(&top).ok()?.to_owned())).collect();
        let changed = if reference.is_none() { changed(&Git::of(&repository), &aside).await? } else { Vec::new() };
        if !changed.is_empty() && dirty == Dirty::Refused {
            return Err(SourceError::Dirty { changed });
        }
        let is_dirty = !changed.is_empty();
        let shown = git.text(&["show", "-s", "--format=%ct%x00%an <%ae>%x00%B", &id]).await?;
        let mut parts = shown.splitn(3, '\0');
        let mut part = || parts.next().unwrap_or_default().trim().to_owned();
        let (at, author, message) = (part(), part(), part());
        let at =
            at.parse().ok().and_then(|second| Timestamp::from_second(second).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
        let tags = git.text(&["tag", "--points-at", &id]).await?;
        let tags: Vec<String> = tags.lines().map(str::to_owned).collect();
        let branch = branch(&git, reference, &id).await?;
        let names = Names { tags: &tags, branch: branch.as_deref(), commit: &id, dirty: is_dirty };
        let version = version::version(names);
        Ok(Self { repository, prefix, id, version, author, message, at, dirty: is_dirty, aside })
    }

    /// A file of it, named from the manifest's folder; `None`: it has none of that name.
    ///
    /// # Errors
    /// Where git does not answer.
    pub async fn text(&self, path: &Path) -> Result<Option<String>, SourceError> {
        let path = self.prefix.join(path);
        if self.dirty {
            return Ok(std::fs::read_to_string(self.repository.join(path)).ok());
        }
        let what = format!("{}:{}", self.id, path.display());
        Ok(Git::of(&self.repository).ask(&["show", &what]).await?)
    }

    /// Short, for people.
    pub fn short(&self) -> &str {
        self.id.get(..7).unwrap_or(&self.id)
    }
}

/// The files in which the folder differs from what was committed, as git names them.
async fn changed(git: &Git, aside: &[PathBuf]) -> Result<Vec<String>, GitError> {
    let status = ["status", "--porcelain=v1", "-z", "--untracked-files=normal", "--no-renames", "--"];
    // Not all repositories ignore mana's data.
    let but = aside.iter().map(|aside| format!(":(exclude,top,literal){}", aside.display()));
    let status: Vec<String> =
        status.iter().map(|&part| part.to_owned()).chain([":(top)".to_owned()]).chain(but).collect();
    let status = git.text(&status).await?;
    Ok(status.split('\0').filter_map(|entry| entry.get(3..)).map(str::to_owned).collect())
}

/// The branch that a commit is taken from: the one that was named or is checked out, else any that holds it.
async fn branch(git: &Git, reference: Option<&str>, id: &str) -> Result<Option<String>, GitError> {
    if let Some(name) = reference
        && git.ask(&["show-ref", "--verify", "--quiet", &format!("refs/heads/{name}")]).await?.is_some()
    {
        return Ok(Some(name.to_owned()));
    }
    let current = git.ask(&["symbolic-ref", "--quiet", "--short", "HEAD"]).await?;
    if current.is_some() && git.ask(&["merge-base", "--is-ancestor", id, "HEAD"]).await?.is_some() {
        return Ok(current);
    }
    // A checkout of a build server often is on no branch and knows those of `origin` only.
    let format = ["for-each-ref", "--format=%(refname)", "--contains", id, "refs/heads", "refs/remotes/origin"];
    let all = git.text(&format).await?;
    let names = all.lines().filter_map(|name| {
        name.strip_prefix("refs/heads/")
            .or_else(|| name.strip_prefix("refs/remotes/origin/"))
            .filter(|name| *name != "HEAD")
    });
    let usual = |name: &&str| (*name != "main" && *name != "master", name.len());
    Ok(names.min_by_key(usual).map(str::to_owned))
}
