//! Asking git.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// A checkout of the largest repositories takes a minute.
const LONGEST: Duration = Duration::from_mins(10);

/// Why git gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It is not there.
    #[error("git cannot be run: is it installed?")]
    Start(#[source] io::Error),
    /// It took too long.
    #[error("`git {what}` did not end within ten minutes")]
    TooLong {
        /// Its arguments.
        what: String,
    },
    /// It says no.
    #[error("`git {what}` in {} failed: {said}", folder.display())]
    Failed {
        /// Its arguments.
        what: String,
        /// Where.
        folder: PathBuf,
        /// What it said.
        said: String,
    },
}

/// git, in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    folder: PathBuf,
    env: Vec<(&'static str, PathBuf)>,
}

impl Git {
    pub(crate) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), env: Vec::new() }
    }

    /// With a variable set.
    pub(crate) fn with(mut self, name: &'static str, value: PathBuf) -> Self {
        self.env.push((name, value));
        self
    }

    /// What it prints, without the last line end.
    pub(crate) async fn text<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<String, GitError> {
        let bytes = self.bytes(arguments).await?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// What it prints.
    pub(crate) async fn bytes<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Vec<u8>, GitError> {
        let what = || arguments.iter().map(|part| part.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
        let mut command = Command::new("git");
        // Neither hooks of the person who happens to call nor a prompt that nobody sees, and no variables of a hook that
        // calls us: they would lead to another repository.
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"]);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C.UTF-8");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let output = timeout(LONGEST, command.output()).await.map_err(|_| GitError::TooLong { what: what() })?;
        let output = output.map_err(GitError::Start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(GitError::Failed { what: what(), folder: self.folder.clone(), said })
    }

    /// The same where a failure is an answer too.
    pub(crate) async fn ask<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Option<String>, GitError> {
        match self.text(arguments).await {
            Ok(text) => Ok(Some(text)),
            Err(GitError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
