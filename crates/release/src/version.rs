//! What a release is called.

/// Letters of the commit in a name: as git shows it for most repositories, and long enough for a person to look it up.
const COMMIT_LETTERS: usize = 7;
/// Longest name of a version: part of a folder's name.
const MAX_LETTERS: usize = 100;

/// What is known about a commit's names.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Tags that point at it.
    pub tags: &'a [String],
    /// The branch it is taken from; `None`: none is known.
    pub branch: Option<&'a str>,
    /// Its whole id.
    pub commit: &'a str,
    /// Whether more than the commit is in the release.
    pub dirty: bool,
}

/// `v1.6.0` where a tag says so, else `main-abc1234`; `main-abc1234-dirty` where it is no clean commit. Of several tags the
/// highest version counts, else the last by name.
pub fn version(names: Names<'_>) -> String {
    let by_version = |tag: &&String| (semver(tag), (*tag).clone());
    if !names.dirty
        && let Some(tag) = names.tags.iter().max_by_key(by_version)
    {
        return as_folder(tag);
    }
    let short: String = names.commit.chars().take(COMMIT_LETTERS).collect();
    let dirty = if names.dirty { "-dirty" } else { "" };
    format!("{}-{short}{dirty}", as_folder(names.branch.unwrap_or("commit")))
}

fn semver(tag: &str) -> Option<semver::Version> {
    semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// A name that can be a folder's, without what separates its parts. `+` comes before the digest in a release's id.
fn as_folder(name: &str) -> String {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let name: String = name.chars().take(MAX_LETTERS).map(|letter| if good(letter) { letter } else { '-' }).collect();
    // `.` and `..` are folders already, and `.x` is one that is being made.
    let name = name.trim_start_matches('.');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMIT: &str = "abc1234def5678900000000000000000000000ff";

    fn check(tags: &[&str], branch: Option<&str>, dirty: bool, expected: &str) {
        let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
        assert_eq!(version(Names { tags: &tags, branch, commit: COMMIT, dirty }), expected, "{tags:?} {branch:?}");
    }

    #[test]
    fn a_tag_comes_before_branch_and_commit() {
        check(&["v1.6.0"], Some("main"), false, "v1.6.0");
        check(&["v1.10.0", "v1.9.0", "stable"], Some("main"), false, "v1.10.0");
        check(&["v2.0.0-rc.1", "v2.0.0"], None, false, "v2.0.0");
        check(&["alpha", "beta"], None, false, "beta");
        check(&[], Some("main"), false, "main-abc1234");
        check(&[], None, false, "commit-abc1234");
        check(&["v1.6.0"], Some("main"), true, "main-abc1234-dirty");
        check(&[], Some("feature/übung#1"), false, "feature--bung-1-abc1234");
        check(&["chat/v1.2.0+build"], None, false, "chat-v1.2.0-build");
        check(&["../../etc"], None, false, "-..-etc");
    }

    proptest! {
        #[test]
        fn every_version_is_one_plain_folder(tag in "\\PC{0,120}", branch in "\\PC{0,120}", tagged: bool) {
            let tags = if tagged { vec![tag] } else { Vec::new() };
            let name = version(Names { tags: &tags, branch: Some(&branch), commit: COMMIT, dirty: false });
            prop_assert!(!name.is_empty() && name.len() < 128 && !name.starts_with('.'));
            prop_assert!(!name.contains(['/', '+', '\0']));
        }
    }
}
