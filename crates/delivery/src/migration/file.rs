//! One migration file.
//!
//! Its name says when it runs and where: `0003_append_only.sql` on either engine, `0003_append_only.postgres.sql` on one.

use super::digest::Checksum;
use super::engine::Engine;

/// Largest file: a person reviews it, and the guard's memory is a multiple of it. What is larger is data, not schema.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Longest file name: what file systems allow.
const MAX_NAME_BYTES: usize = 255;

/// What says in which order files run: the number at the start of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Version(pub i64);

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:04}", self.0)
    }
}

/// A file, exactly as it will be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    name: String,
    text: String,
    version: Version,
    engine: Option<Engine>,
    checksum: Checksum,
}

/// Why something is no migration file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The name does not say when it runs.
    #[error("{name:?} is no name of a migration: call it NUMBER_what_it_does.sql, or NUMBER_what_it_does.postgres.sql")]
    Name {
        /// The name.
        name: String,
    },
    /// Too large.
    #[error(
        "{name} has {bytes} bytes, more than the {MAX_FILE_BYTES} of a migration: load data by a job, and split schema"
    )]
    TooLarge {
        /// The name.
        name: String,
        /// Its size.
        bytes: usize,
    },
}

impl File {
    /// Takes a file by its name (without folders) and its text.
    pub fn new(name: &str, text: impl Into<String>) -> Result<Self, FileError> {
        let text = text.into();
        let Some((version, engine)) = parse_name(name) else {
            return Err(FileError::Name { name: name.chars().take(MAX_NAME_BYTES).collect() });
        };
        if text.len() > MAX_FILE_BYTES {
            return Err(FileError::TooLarge { name: name.to_owned(), bytes: text.len() });
        }
        Ok(Self { name: name.to_owned(), checksum: Checksum::of(&text), text, version, engine })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its place in the order.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The only engine that runs it, if it is not for both.
    pub fn engine(&self) -> Option<Engine> {
        self.engine
    }

    /// SHA-256 of its text.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }
}

fn parse_name(name: &str) -> Option<(Version, Option<Engine>)> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let stem = name.strip_suffix(".sql")?;
    let (stem, engine) = match stem.rsplit_once('.') {
        None => (stem, None),
        Some((stem, "postgres")) => (stem, Some(Engine::Postgres)),
        Some((stem, "sqlite")) => (stem, Some(Engine::Sqlite)),
        Some(_) => return None,
    };
    let (number, label) = stem.split_once('_')?;
    let plain = |text: &str, also: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| also(&byte));
    let labelled = plain(label, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !labelled || !plain(number, u8::is_ascii_digit) {
        return None;
    }
    Some((Version(number.parse().ok()?), engine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_version_and_engine() {
        let check = |name, expected| assert_eq!(parse_name(name), expected, "{name}");
        check("0001_accounts.sql", Some((Version(1), None)));
        check("20260101_a-b.sql", Some((Version(20_260_101), None)));
        check("0003_append_only.postgres.sql", Some((Version(3), Some(Engine::Postgres))));
        check("0003_append_only.sqlite.sql", Some((Version(3), Some(Engine::Sqlite))));
        for name in [
            "",
            ".sql",
            "_a.sql",
            "1_.sql",
            "1.sql",
            "a_1.sql",
            "1_a.mysql.sql",
            "1_a.SQL",
            "../1_a.sql",
            "-1_a.sql",
            "99999999999999999999_a.sql",
            "1_ä.sql",
            "+1_a.sql",
            "1_a",
        ] {
            check(name, None);
        }
    }

    #[test]
    fn a_file_larger_than_the_limit_is_refused() {
        assert!(File::new("1_a.sql", " ".repeat(MAX_FILE_BYTES)).is_ok());
        let error = File::new("1_a.sql", " ".repeat(MAX_FILE_BYTES + 1));
        assert_eq!(error, Err(FileError::TooLarge { name: "1_a.sql".into(), bytes: MAX_FILE_BYTES + 1 }));
    }
}
