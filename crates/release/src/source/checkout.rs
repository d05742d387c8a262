//! A clean checkout of a commit, apart from the folder that people work in.
//!
//! One folder serves all builds of an environment, one after the other: what did not change keeps its time, and what the
//! manifest calls `cache` is left in it, so compilers find most of their work done. It is a repository of its own that borrows the
//! objects of the real one, which is never written to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Commit;
use crate::git::{Git, GitError};

/// Removes what git does not know, or is told not to look at.
const CLEAN: [&str; 2] = ["clean", "-ffdxq"];

/// A commit's files, in a folder of our own.
#[derive(Debug)]
pub struct Checkout {
    /// Top folder.
    top: PathBuf,
    /// The manifest's folder in it.
    folder: PathBuf,
    git: Git,
    /// What git is told to clean by: all but caches.
    clean: Vec<String>,
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// A file or folder cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// `make`, `remove`, …
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Other repositories are part of this one.
    #[error("the commit has submodules, which a build cannot fetch: {}", .paths.join(", "))]
    Submodules {
        /// Where.
        paths: Vec<String>,
    },
    /// The manifest's folder is not in the commit.
    #[error("the commit has no folder {}", prefix.display())]
    NoFolder {
        /// From the top.
        prefix: PathBuf,
    },
    /// git does not do it.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Checkout {
    /// Brings the folder to what the commit holds. What lies at the `cache` paths (from the manifest's folder) stays.
    ///
    /// # Errors
    /// Where it cannot be made, or the commit holds what a build cannot have.
    pub async fn make(commit: &Commit, top: &Path, cache: &[String]) -> Result<Self, CheckoutError> {
        let git = Git::of(top);
        repository(&git, commit, top).await?;
        let tree = if commit.dirty { working_tree(commit, top).await? } else { commit.id.clone() };
        let entries = git.text(&["ls-tree", "-r", "-z", "--full-tree", &tree]).await?;
        let submodules = entries.split('\0').filter_map(|entry| entry.strip_prefix("160000 ")?.split_once('\t'));
        let paths: Vec<String> = submodules.map(|(_, path)| path.to_owned()).collect();
        if !paths.is_empty() {
            return Err(CheckoutError::Submodules { paths });
        }
        git.text(&["read-tree", "--reset", "-u", &tree]).await?;
        // For what asks git which commit it is built of.
        git.text(&["update-ref", "--no-deref", "HEAD", &commit.id]).await?;
        let mut clean: Vec<String> = CLEAN.map(str::to_owned).to_vec();
        for path in cache {
            clean.extend(["-e".to_owned(), format!("/{}/", commit.prefix.join(path).display())]);
        }
        git.text(&clean).await?;
        let folder = top.join(&commit.prefix);
        if !folder.is_dir() {
            return Err(CheckoutError::NoFolder { prefix: commit.prefix.clone() });
        }
        Ok(Self { top: top.to_owned(), folder, git, clean })
    }

    /// The manifest's folder in it: where commands run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes all that is not of the commit; `caches` as well.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub async fn clear(&self, caches: bool) -> Result<(), CheckoutError> {
        if caches {
            self.git.text(&CLEAN).await?;
        } else {
            self.git.text(&self.clean).await?;
        }
        Ok(())
    }

    /// Removes what an earlier build left at these paths, so that what lies there afterwards was made by this one. What is part
    /// of the commit stays.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub async fn remove_built(&self, paths: &[String]) -> Result<(), CheckoutError> {
        for path in paths {
            let here = self.folder.join(path);
            let prefixed = here.strip_prefix(&self.top).unwrap_or(&here);
            let tracked = self.git.text(&["ls-files", "--", &format!(":(literal){}", prefixed.display())]).await?;
            if tracked.is_empty() {
                remove(&here)?;
            }
        }
        Ok(())
    }
}

/// Makes sure that there is a repository that borrows from the real one, and that a killed git has not left it locked: who
/// calls holds the lock of the builds.
async fn repository(git: &Git, commit: &Commit, top: &Path) -> Result<(), CheckoutError> {
    let fail = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CheckoutError::File { what, path, source }
    };
    fs::create_dir_all(top).map_err(fail("make", top))?;
    let inner = top.join(".git");
    let real = Git::of(&commit.repository);
    let format = real.text(&["rev-parse", "--show-object-format"]).await?;
    if !inner.join("HEAD").is_file() {
        remove(&inner)?;
        git.text(&["init", "-q", "--template=", &format!("--object-format={format}")]).await?;
    }
    remove(&inner.join("index.lock"))?;
    let objects = real.text(&["rev-parse", "--path-format=absolute", "--git-path", "objects"]).await?;
    let info = inner.join("objects/info");
    fs::create_dir_all(&info).map_err(fail("make", &info))?;
    let alternates = info.join("alternates");
    fs::write(&alternates, format!("{objects}\n")).map_err(fail("write", &alternates))?;
    // Files that people keep out of git on their machines alone are no part of a release either.
    let exclude = real.text(&["rev-parse", "--path-format=absolute", "--git-path", "info/exclude"]).await?;
    let ours = inner.join("info");
    fs::create_dir_all(&ours).map_err(fail("make", &ours))?;
    let mut exclude = fs::read_to_string(exclude).unwrap_or_default();
    for aside in &commit.aside {
        exclude = format!("{exclude}\n/{}\n", literal(&aside.to_string_lossy()));
    }
    fs::write(ours.join("exclude"), exclude).map_err(fail("write", &ours))
}

/// A path as a pattern that only it matches.
fn literal(path: &str) -> String {
    path.chars().fold(String::new(), |mut pattern, letter| {
        if "*?[]\\!# ".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
        pattern
    })
}

/// The folder that people work in, as a tree: with what is not committed, without what git ignores.
async fn working_tree(commit: &Commit, top: &Path) -> Result<String, CheckoutError> {
    let inner = top.join(".git");
    let git = Git::of(&commit.repository)
        .with("GIT_DIR", inner.clone())
        .with("GIT_WORK_TREE", commit.repository.clone())
        // An index of its own, kept: files that did not change are not read again.
        .with("GIT_INDEX_FILE", inner.join("index-of-the-working-tree"));
    remove(&inner.join("index-of-the-working-tree.lock"))?;
    git.text(&["add", "--all", "--", ":(top)"]).await?;
    Ok(git.text(&["write-tree"]).await?)
}

fn remove(path: &Path) -> Result<(), CheckoutError> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(|source| CheckoutError::File { what: "remove", path: path.to_owned(), source })
}
