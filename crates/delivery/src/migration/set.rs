//! All migrations of a release, for one engine, in the order in which they run.

use super::engine::Engine;
use super::file::{File, Version};

/// Most files of a release: far beyond what an app gathers in its life, and little enough to read in one go.
pub const MAX_FILES: usize = 2_000;

/// The files of a release that the engine runs, by ascending version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    engine: Engine,
    files: Vec<File>,
}

/// Why files make no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Two files at one place in the order.
    #[error("{first} and {second} have the same number, so neither is first: give the newer one the next number")]
    SameVersion {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Too many.
    #[error(
        "{count} files are more than the {MAX_FILES} of a release: replace the oldest ones by one that holds their result"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl Set {
    /// Takes the files of a release in any order; those for the other engine only are left out.
    pub fn new(engine: Engine, files: Vec<File>) -> Result<Self, SetError> {
        if files.len() > MAX_FILES {
            return Err(SetError::TooMany { count: files.len() });
        }
        let mut files: Vec<File> =
            files.into_iter().filter(|file| file.engine().is_none_or(|only| only == engine)).collect();
        files.sort_by(|a, b| (a.version(), a.name()).cmp(&(b.version(), b.name())));
        for pair in files.windows(2) {
            if let [first, second] = pair
                && first.version() == second.version()
            {
                return Err(SetError::SameVersion { first: first.name().into(), second: second.name().into() });
            }
        }
        Ok(Self { engine, files })
    }

    /// Whose SQL the files are.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The files, in order.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// How many of the files, from the first on, have at most this version.
    pub(super) fn up_to(&self, version: Version) -> usize {
        self.files.partition_point(|file| file.version() <= version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(engine: Engine, names: &[&str]) -> Result<Vec<String>, SetError> {
        let files = names.iter().map(|name| File::new(name, "").expect("a name")).collect();
        Ok(Set::new(engine, files)?.files().iter().map(|file| file.name().to_owned()).collect())
    }

    #[test]
    fn files_run_by_number_and_only_on_their_engine() {
        let names = ["10_c.sql", "2_b.sqlite.sql", "2_b.postgres.sql", "1_a.sql"];
        assert_eq!(
            set(Engine::Postgres, &names),
            Ok(vec!["1_a.sql".into(), "2_b.postgres.sql".into(), "10_c.sql".into()])
        );
        assert_eq!(set(Engine::Sqlite, &names), Ok(vec!["1_a.sql".into(), "2_b.sqlite.sql".into(), "10_c.sql".into()]));
    }

    #[test]
    fn two_files_with_one_number_are_refused_however_it_is_written() {
        let error = set(Engine::Sqlite, &["0001_a.sql", "1_b.sql"]);
        assert_eq!(error, Err(SetError::SameVersion { first: "0001_a.sql".into(), second: "1_b.sql".into() }));
        assert!(set(Engine::Sqlite, &["1_a.sql", "1_a.sqlite.sql"]).is_err());
    }
}
