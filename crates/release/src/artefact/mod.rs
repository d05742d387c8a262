//! The files of a release and the one number that stands for all of them.
//!
//! The digest is the SHA-256 of the list that [`List::text`] gives: one line a file, sorted by path, `MODE SHA256 PATH`, modes as
//! git writes them. It can be checked with nothing but `sha256sum`: the list lies beside the files.

mod copy;
mod walk;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use copy::{CopyError, copy};
pub use walk::{WalkError, list};

/// First line of a list, so that no other text has the digest of one.
const HEAD: &str = "mana-artefact 1";

/// SHA-256 over everything in an artefact, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// As it is written: 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digest =
            text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        is_digest.then(|| Self(text.to_owned()))
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of it to tell releases of a service apart.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A file.
    Plain,
    /// A program.
    Executable,
    /// A link; its content is where it leads.
    Link,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }
}

/// A file of an artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path, with `/`, from the artefact's root.
    pub path: String,
    /// What it is.
    pub mode: Mode,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Bytes of its content.
    pub size: u64,
}

/// All files of an artefact, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List(Vec<File>);

impl List {
    /// Of these files, in whatever order.
    pub fn new(mut files: Vec<File>) -> Self {
        files.sort_by(|one, other| one.path.as_bytes().cmp(other.path.as_bytes()));
        Self(files)
    }

    /// Each of them.
    pub fn files(&self) -> &[File] {
        &self.0
    }

    /// Bytes of them all.
    pub fn size(&self) -> u64 {
        self.0.iter().map(|file| file.size).sum()
    }

    /// The list as text, of which the digest is made.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for file in &self.0 {
            // A line end in a path would make one list of two; `walk` refuses such files.
            text.extend([file.mode.as_str(), " ", &file.sha256, " ", &file.path, "\n"]);
        }
        text
    }

    /// What stands for all of it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// The first file in which another list differs, and how.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let find = |list: &Self, path: &str| {
            let place = list.0.binary_search_by(|file| file.path.as_bytes().cmp(path.as_bytes()));
            place.ok().map(|index| list.0[index].clone())
        };
        for file in &self.0 {
            match find(other, &file.path) {
                None => return Some(format!("{} is missing", file.path)),
                Some(found) if found.sha256 != file.sha256 => return Some(format!("{} was changed", file.path)),
                Some(found) if found.mode != file.mode => {
                    return Some(format!("{} has other permissions", file.path));
                }
                Some(_) => {}
            }
        }
        let added = other.0.iter().find(|file| find(self, &file.path).is_none());
        added.map(|file| format!("{} was added", file.path))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, mode: Mode, content: &str) -> File {
        let sha256 = Digest::of(content.as_bytes()).0;
        File { path: path.into(), mode, sha256, size: content.len() as u64 }
    }

    #[test]
    fn the_digest_is_that_of_a_text_anybody_can_write() {
        let list = List::new(vec![file("b", Mode::Plain, "2"), file("a", Mode::Executable, "1")]);
        let expected = "mana-artefact 1\n\
             100755 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b a\n\
             100644 d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35 b\n";
        assert_eq!(list.text(), expected);
        assert_eq!(list.digest(), Digest::of(expected.as_bytes()));
    }

    #[test]
    fn what_differs_is_named() {
        let old = List::new(vec![file("a", Mode::Plain, "1"), file("b", Mode::Plain, "2")]);
        let check = |files: Vec<File>, expected: Option<&str>| {
            assert_eq!(old.difference(&List::new(files)).as_deref(), expected);
        };
        check(old.0.clone(), None);
        check(vec![file("a", Mode::Plain, "1")], Some("b is missing"));
        check(vec![file("a", Mode::Plain, "x"), file("b", Mode::Plain, "2")], Some("a was changed"));
        check(vec![file("a", Mode::Executable, "1"), file("b", Mode::Plain, "2")], Some("a has other permissions"));
        check([old.0.clone(), vec![file("c", Mode::Plain, "")]].concat(), Some("c was added"));
    }

    fn any_file() -> impl Strategy<Value = File> {
        let mode = prop::sample::select(vec![Mode::Plain, Mode::Executable, Mode::Link]);
        ("[a-c/]{1,4}", mode, "[xy]{0,2}").prop_map(|(path, mode, content)| file(&path, mode, &content))
    }

    proptest! {
        #[test]
        fn one_digest_is_one_content(one in prop::collection::vec(any_file(), 0..5), other in prop::collection::vec(any_file(), 0..5)) {
            let unique = |mut files: Vec<File>| {
                files.sort_by(|one, other| one.path.cmp(&other.path));
                files.dedup_by(|one, other| one.path == other.path);
                files
            };
            let (one, other) = (unique(one), unique(other));
            let mut shuffled = one.clone();
            shuffled.reverse();
            prop_assert_eq!(List::new(one.clone()).digest(), List::new(shuffled).digest());
            let (one, other) = (List::new(one), List::new(other));
            prop_assert_eq!(one.digest() == other.digest(), one.difference(&other).is_none());
        }
    }
}
