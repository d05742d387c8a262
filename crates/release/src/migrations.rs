//! The SQL files that a release brings: of an artefact that was built, or of a commit of which nothing was built yet.

use std::path::Path;

use crate::artefact::{self, Digest, List};
use crate::git::Git;
use crate::record::Migration;
use crate::source::{Commit, SourceError};

/// Those of an artefact, below its folder of migrations.
pub(crate) fn of_artefact(list: &List, folder: &Path) -> Vec<Migration> {
    let files = list.files().iter().filter(|file| Path::new(&file.path).starts_with(folder) && is_sql(&file.path));
    files.map(|file| Migration { path: file.path.clone(), sha256: file.sha256.clone() }).collect()
}

/// Those that a commit holds below a folder, named from the manifest's; of a dirty one, those that lie there. What a build would
/// make of them is not known.
///
/// # Errors
/// Where git does not answer, or a file cannot be read.
pub async fn of_commit(commit: &Commit, folder: &Path) -> Result<Vec<Migration>, SourceError> {
    if commit.dirty {
        let root = commit.repository.join(&commit.prefix);
        if !root.join(folder).exists() {
            return Ok(Vec::new());
        }
        let list = artefact::list(&root, &[folder.to_string_lossy().into_owned()])?;
        return Ok(of_artefact(&list, folder));
    }
    let git = Git::of(&commit.repository);
    let below = commit.prefix.join(folder).to_string_lossy().into_owned();
    let names = git.text(&["ls-tree", "-r", "-z", "--name-only", &commit.id, "--", &below]).await?;
    let mut migrations = Vec::new();
    for name in names.split('\0').filter(|name| is_sql(name)) {
        let content = git.bytes(&["cat-file", "blob", &format!("{}:{name}", commit.id)]).await?;
        let path = Path::new(name).strip_prefix(&commit.prefix).unwrap_or(Path::new(name));
        let path = path.to_string_lossy().into_owned();
        migrations.push(Migration { path, sha256: Digest::of(&content).to_string() });
    }
    Ok(migrations)
}

fn is_sql(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::Dirty;

    async fn git(folder: &Path, arguments: &[&str]) {
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
        let arguments: Vec<&str> = who.iter().chain(arguments).copied().collect();
        Git::of(folder).text(&arguments).await.expect("git");
    }

    async fn paths(folder: &Path, reference: Option<&str>) -> Vec<Migration> {
        let commit = Commit::find(folder, &folder.join(".mana"), reference, Dirty::Allowed).await.expect("a commit");
        of_commit(&commit, Path::new("migrations")).await.expect("read")
    }

    #[tokio::test]
    async fn a_commit_that_was_not_built_tells_its_migrations_as_its_artefact_would() {
        let top = tempfile::tempdir().expect("a folder");
        let (top, folder) = (top.path(), top.path().join("shop"));
        git(top, &["init", "-q", "-b", "main"]).await;
        fs::create_dir_all(folder.join("migrations/old")).expect("made");
        // Line ends count, and so does a last line without one.
        fs::write(folder.join("migrations/0001_first.sql"), "CREATE TABLE a (b);\r\n\n").expect("written");
        fs::write(folder.join("migrations/old/0000.sql"), "SELECT 1;").expect("written");
        fs::write(folder.join("migrations/README.md"), "no SQL").expect("written");
        fs::write(folder.join("other.sql"), "SELECT 1;").expect("written");
        git(top, &["add", "--all"]).await;
        git(top, &["commit", "-q", "-m", "one"]).await;
        git(top, &["tag", "v1"]).await;
        let expected =
            of_artefact(&artefact::list(&folder, &["migrations".to_owned()]).expect("listed"), Path::new("migrations"));
        assert_eq!(expected.len(), 2);
        assert_eq!(paths(&folder, Some("v1")).await, expected);

        fs::write(folder.join("migrations/0002_second.sql"), "SELECT 2;").expect("written");
        assert_eq!(paths(&folder, Some("v1")).await, expected);
        assert_eq!(paths(&folder, None).await.len(), 3, "what is checked out holds what is not committed yet");
        git(top, &["rm", "-q", "-r", "shop/migrations"]).await;
        fs::remove_dir_all(folder.join("migrations")).expect("removed");
        git(top, &["commit", "-q", "-m", "none"]).await;
        assert!(paths(&folder, Some("main")).await.is_empty());
    }
}
