//! What has run against what is there to run.
//!
//! Invariant: what has run is a beginning of the set, unchanged. Everything else is an error that says what to do, because
//! guessing here means running a schema that no one has ever tested.

use super::digest::Checksum;
use super::file::Version;
use super::set::Set;

/// A row of the database's table of migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The file's number.
    pub version: Version,
    /// Its name, for messages only: a file may be renamed as long as its number and its text stay.
    pub name: String,
    /// Of the text that ran.
    pub checksum: Checksum,
}

/// Why the set does not continue what has run. Nothing may run before a person has looked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The text is another one than ran.
    #[error(
        "{name} was changed after it ran (it was {ran}, it is {is}): put its old text back, and make the change in a new file"
    )]
    Changed {
        /// The file.
        name: String,
        /// Checksum of what ran.
        ran: Checksum,
        /// Checksum of what is there.
        is: Checksum,
    },
    /// The release lacks a file that ran, and has later ones.
    #[error(
        "{name} (number {version}) has run, but this release lacks it although it has later ones: put it back, unchanged"
    )]
    Missing {
        /// Its number.
        version: Version,
        /// The name under which it ran.
        name: String,
    },
    /// A file that has not run, with a lower number than one that has.
    #[error(
        "{name} has not run, but the later {later} has: give it a number after {latest}, so that everyone runs it in the same order"
    )]
    OutOfOrder {
        /// The file.
        name: String,
        /// The name of a later one that ran.
        later: String,
        /// The highest number that ran.
        latest: Version,
    },
    /// The database is ahead of the release.
    #[error(
        "the database has {name} (number {version}), of which this release knows nothing: it is an older release, and rolling back code never rolls back data; deploy a newer one"
    )]
    Ahead {
        /// The first number beyond the release.
        version: Version,
        /// The name under which it ran.
        name: String,
    },
    /// The database's own table is not in order.
    #[error("the database lists number {version} twice: its table of migrations was edited by hand; correct it first")]
    ListedTwice {
        /// The number.
        version: Version,
    },
}

impl Set {
    /// How many files, from the first on, have run; `applied` in any order.
    pub fn applied(&self, applied: &[Applied]) -> Result<usize, HistoryError> {
        let mut ran: Vec<&Applied> = applied.iter().collect();
        ran.sort_by_key(|row| row.version);
        if let Some([row, _]) = ran.windows(2).find(|pair| matches!(pair, [a, b] if a.version == b.version)) {
            return Err(HistoryError::ListedTwice { version: row.version });
        }
        for (index, row) in ran.iter().enumerate() {
            let Some(file) = self.files().get(index) else {
                return Err(HistoryError::Ahead { version: row.version, name: row.name.clone() });
            };
            if file.version() > row.version {
                return Err(HistoryError::Missing { version: row.version, name: row.name.clone() });
            }
            if file.version() < row.version {
                let latest = ran.last().map_or(row.version, |last| last.version);
                return Err(HistoryError::OutOfOrder { name: file.name().into(), later: row.name.clone(), latest });
            }
            if file.checksum() != row.checksum {
                let (ran, is) = (row.checksum, file.checksum());
                return Err(HistoryError::Changed { name: file.name().into(), ran, is });
            }
        }
        Ok(ran.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Engine, File};

    fn applied(ran: &[(i64, &str)]) -> Result<usize, HistoryError> {
        let files = [(1, "a"), (2, "b"), (5, "c")];
        let file = |(number, text): &(i64, &str)| File::new(&format!("{number}_x.sql"), *text).expect("a file");
        let set = Set::new(Engine::Sqlite, files.iter().map(file).collect()).expect("a set");
        let row = |(number, text): &(i64, &str)| Applied {
            version: Version(*number),
            name: format!("ran {number}"),
            checksum: Checksum::of(text),
        };
        set.applied(&ran.iter().map(row).collect::<Vec<_>>())
    }

    #[test]
    fn a_beginning_of_the_set_is_a_history() {
        assert_eq!(applied(&[]), Ok(0));
        assert_eq!(applied(&[(2, "b"), (1, "a")]), Ok(2));
        assert_eq!(applied(&[(1, "a"), (2, "b"), (5, "c")]), Ok(3));
    }

    #[test]
    fn everything_else_says_what_to_do() {
        let check = |ran: &[(i64, &str)], expected: &str| {
            let message = applied(ran).expect_err("no history").to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(&[(1, "other")], "put its old text back");
        check(
            &[(1, "a"), (3, "x"), (5, "c")],
            "2_x.sql has not run, but the later ran 3 has: give it a number after 0005",
        );
        check(&[(0, "x"), (1, "a")], "ran 0 (number 0000) has run, but this release lacks it");
        check(&[(1, "a"), (2, "b"), (3, "x")], "ran 3 (number 0003) has run, but this release lacks it");
        check(&[(2, "b")], "1_x.sql has not run, but the later ran 2 has");
        check(&[(1, "a"), (2, "b"), (5, "c"), (6, "d")], "it is an older release");
        check(&[(1, "a"), (1, "a")], "lists number 0001 twice");
    }
}
