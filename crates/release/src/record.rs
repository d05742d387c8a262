//! What is known about a release. Written once, when it is made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::artefact::Digest;

/// What the format of a record is. A reader that knows only older ones refuses it.
pub const FORMAT: u32 = 1;

/// One release of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// [`FORMAT`] of whoever wrote it.
    pub format: u32,
    /// The service it is of.
    pub service: String,
    /// `v1.6.0`, `main-abc1234`, `main-abc1234-dirty`.
    pub version: String,
    /// Of all files of the artefact.
    pub digest: Digest,
    /// The commit it was made of.
    pub commit: String,
    /// Whether uncommitted changes are in it. Never where `false`.
    pub dirty: bool,
    /// Who wrote the commit: `Ada <ada@example.org>`.
    pub author: String,
    /// What its author says about it.
    pub message: String,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// When the build ended.
    pub built_at: Timestamp,
    /// How long it took.
    pub took_ms: u64,
    /// What it was built with, for people: `rustc 1.95.0`.
    pub toolchain: Vec<String>,
    /// Which limits were in force, for people.
    pub limits: String,
    /// The SQL files in it, in the order of their names.
    pub migrations: Vec<Migration>,
    /// Bytes of the artefact.
    pub size_bytes: u64,
    /// Files of the artefact.
    pub files: u64,
    /// Components in the bill of materials; `None`: no lock file says what it is built of.
    pub components: Option<u64>,
}

/// A SQL file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Its path in the artefact.
    pub path: String,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

impl Release {
    /// Its name among the releases of its service: version and digest, since a version can be built twice.
    pub fn id(&self) -> String {
        format!("{}+{}", self.version, self.digest.short())
    }

    /// The first line of the commit's message.
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A release of this number, built at this second.
    pub(crate) fn release(number: u8, second: i64) -> Release {
        Release {
            format: FORMAT,
            service: "shop".into(),
            version: format!("v1.{number}.0"),
            digest: Digest::of(&[number]),
            commit: format!("{number:040x}"),
            dirty: false,
            author: "Ada <ada@example.org>".into(),
            message: "subject\n\nbody".into(),
            committed_at: Timestamp::from_second(second).expect("a time"),
            built_at: Timestamp::from_second(second).expect("a time"),
            took_ms: 1,
            toolchain: Vec::new(),
            limits: String::new(),
            migrations: Vec::new(),
            size_bytes: 0,
            files: 0,
            components: None,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let one = release(1, 2);
        let text = serde_json::to_string(&one).expect("JSON");
        assert_eq!(serde_json::from_str::<Release>(&text).expect("a release"), one);
        assert_eq!(one.id(), format!("v1.1.0+{}", &one.digest.as_str()[..12]));
        assert_eq!(one.subject(), "subject");
    }
}
