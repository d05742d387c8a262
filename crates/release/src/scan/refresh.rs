//! Advisories that are kept in a git repository elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::git::{Git, GitError};

/// Databases are changed some times a day; more often than this nobody asks.
const OFTEN_ENOUGH: Duration = Duration::from_hours(1);

/// Brings a folder up to what the repository holds now. Fetched a moment ago, it stays as it is. Where that fails the folder stays too:
/// its age tells, and is limited.
///
/// # Errors
/// Where git cannot fetch it.
pub async fn refresh(url: &str, folder: &Path) -> Result<(), GitError> {
    refresh_at(url, folder, clock::now()).await
}

async fn refresh_at(url: &str, folder: &Path, now: Timestamp) -> Result<(), GitError> {
    if fetched(folder).is_some_and(|at| at <= now && now.duration_since(at).unsigned_abs() < OFTEN_ENOUGH) {
        return Ok(());
    }
    let start = |error| GitError::Start(error);
    fs::create_dir_all(folder).map_err(start)?;
    // By name: git looks for a repository in the folders above where it finds none, and the data folder lies in somebody's.
    let git = Git::of(folder).with("GIT_DIR", PathBuf::from(".git"));
    git.text(&["init", "--quiet"]).await?;
    git.text(&[
        "fetch",
        "--quiet",
        "--depth",
        "1",
        "--no-tags",
        "--no-recurse-submodules",
        "--end-of-options",
        url,
        "HEAD",
    ])
    .await?;
    git.text(&["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"]).await?;
    Ok(())
}

fn fetched(folder: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(folder.join(".git/FETCH_HEAD")).and_then(|meta| meta.modified()).ok()?;
    Timestamp::try_from(modified).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_repository_around_it_is_never_meant() {
        let place = tempfile::tempdir().expect("folder");
        let around = Git::of(place.path());
        around.text(&["init", "-q"]).await.expect("a repository");
        let here = place.path().join("data/advisories");
        fs::create_dir_all(&here).expect("made");
        fs::write(here.join(".git"), "neither a repository nor the way to one").expect("written");
        let before = fs::read_to_string(place.path().join(".git/HEAD")).expect("read");
        refresh(&format!("file://{}", place.path().display()), &here).await.expect_err("it is broken");
        assert_eq!(fs::read_to_string(place.path().join(".git/HEAD")).expect("read"), before);
        assert!(!place.path().join(".git/FETCH_HEAD").exists(), "nothing was fetched into it");
    }

    #[tokio::test]
    async fn what_was_changed_there_is_here_after_a_while() {
        let place = tempfile::tempdir().expect("folder");
        let (there, here) = (place.path().join("there"), place.path().join("here"));
        fs::create_dir_all(&there).expect("made");
        let git = Git::of(&there);
        let commit = async |text: &str| {
            fs::write(there.join("advisory"), text).expect("written");
            git.text(&["add", "."]).await.expect("added");
            let name = ["-c", "user.name=Ada", "-c", "user.email=a@example.org"];
            git.text(&[&name[..], &["commit", "-q", "-m", text]].concat()).await.expect("committed");
        };
        git.text(&["init", "-q"]).await.expect("a repository");
        commit("one").await;
        let url = format!("file://{}", there.display());
        let read = || fs::read_to_string(here.join("advisory")).expect("there");
        refresh_at(&url, &here, clock::now()).await.expect("fetched");
        assert_eq!(read(), "one");
        commit("two").await;
        let later = |time: Duration| fetched(&here).expect("fetched").checked_add(time).expect("a time");
        refresh_at(&url, &here, later(Duration::from_mins(1))).await.expect("a moment ago");
        assert_eq!(read(), "one");
        refresh_at(&url, &here, later(Duration::from_hours(2))).await.expect("fetched");
        assert_eq!(read(), "two");
        fs::remove_dir_all(&there).expect("gone");
        refresh_at(&url, &here, later(Duration::from_hours(9))).await.expect_err("nothing is there");
        assert_eq!(read(), "two");
    }
}
