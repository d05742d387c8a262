//! Secrets in an artefact: the environment's own, and those whose form gives them away.
//!
//! Files are read as bytes, in pieces, whatever they are; a piece overlaps the next one by more than any pattern is long. What is
//! compressed or encrypted is not looked into. Patterns are such that a hit is one: a name alone, or the words of a PEM file
//! without its content, as any TLS library holds them, is none.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::bytes::Regex;
use secrecy::{ExposeSecret, SecretString};

use crate::artefact::{self, Mode, WalkError};

/// How much is looked at in one go.
const PIECE_BYTES: usize = 1 << 20;
/// Longer than any pattern: a PEM file of an RSA key of 16,384 bits has 12 KiB.
const OVERLAP_BYTES: usize = 16 << 10;
/// Shorter values stand in any program by chance.
const MIN_SECRET_BYTES: usize = 8;
/// Findings of one artefact: a person who sees these knows enough.
const MAX_FOUND: usize = 100;

/// Name and form of secrets that can be told by their form.
const PATTERNS: [(&str, &str); 14] = [
    // With the beginning of its content: the words alone stand in every TLS library. `\n` may be written out, as in JSON.
    (
        "private key",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\r\\n|\\n)(?:[A-Za-z-]+: [^\r\n\\]{0,200}(?:\r?\n|\\r\\n|\\n)){0,6}(?:\r?\n|\\n)?[A-Za-z0-9+/=]{40}",
    ),
    ("AWS access key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    (
        "AWS secret key",
        r#"(?i)aws_?secret_?access_?key["']?\s{0,4}[:=]\s{0,4}["']?[A-Za-z0-9/+]{40}(?:[^A-Za-z0-9/+]|$)"#,
    ),
    ("GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    ("GitHub fine-grained token", r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    ("GitLab token", r"\bglpat-[A-Za-z0-9_-]{20}\b"),
    ("Slack token", r"\bxox[abeprs]-[0-9]{10,13}-[A-Za-z0-9-]{20,200}"),
    ("Slack webhook", r"https://hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}\b"),
    ("Stripe key", r"\b[sr]k_live_[A-Za-z0-9]{24,99}\b"),
    ("Google API key", r"\bAIza[A-Za-z0-9_-]{35}\b"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("OpenAI key", r"\bsk-(?:proj|svcacct)-[A-Za-z0-9_-]{40,200}"),
    ("Anthropic key", r"\bsk-ant-[a-z0-9]{5,6}-[A-Za-z0-9_-]{80,120}"),
    ("SendGrid key", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b"),
];

/// Compiled once. A pattern that is none would be found by the test below.
static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let ascii = |pattern: &str| Regex::new(&format!("(?-u){pattern}"));
    PATTERNS.iter().filter_map(|(name, pattern)| Some((*name, ascii(pattern).ok()?))).collect()
});

/// Known from documentation: harmless, and in many test data.
const EXAMPLES: [&[u8]; 2] = [b"AKIAIOSFODNN7EXAMPLE", b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"];

/// A secret that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is: `GitHub token`, `secret SESSION_KEY`. Never the secret.
    pub what: String,
    /// The file, from the artefact's root.
    pub path: String,
    /// Where it begins.
    pub offset: u64,
}

/// Why an artefact cannot be searched.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Its files cannot be listed.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The secrets cannot be searched for.
    #[error("the environment's secrets cannot be searched for: there are too many, or they are too long")]
    TooMany,
}

/// Searches all files below a folder. Of each kind of secret the first in each file is told.
///
/// # Errors
/// Where a file cannot be read.
pub fn search(root: &Path, own: &[(String, SecretString)]) -> Result<Vec<Found>, SecretsError> {
    let own = Own::new(own)?;
    let names: Vec<String> = std::fs::read_dir(root)
        .and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<_>>()
        })
        .map_err(|source| SecretsError::Read { path: root.to_owned(), source })?;
    let mut found = Vec::new();
    for file in artefact::list(root, &names)?.files().iter().filter(|file| file.mode != Mode::Link) {
        let path = root.join(&file.path);
        let read = File::open(&path).and_then(|open| search_one(open, &own));
        let hits = read.map_err(|source| SecretsError::Read { path, source })?;
        found.extend(hits.into_iter().map(|(what, offset)| Found { what, path: file.path.clone(), offset }));
        if found.len() >= MAX_FOUND {
            break;
        }
    }
    found.truncate(MAX_FOUND);
    Ok(found)
}

/// The environment's own secrets, in the forms in which they may have got somewhere.
struct Own {
    names: Vec<String>,
    values: AhoCorasick,
}

impl Own {
    fn new(secrets: &[(String, SecretString)]) -> Result<Self, SecretsError> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (name, value) in secrets {
            let value = value.expose_secret();
            if value.len() < MIN_SECRET_BYTES {
                continue;
            }
            // Base64 of something in the middle of a text is not the same; alone, as in a Kubernetes manifest, it is.
            let encoded = [STANDARD_NO_PAD.encode(value), URL_SAFE_NO_PAD.encode(value)];
            for form in [value.as_bytes().to_vec()].into_iter().chain(encoded.map(String::into_bytes)) {
                names.push(name.clone());
                values.push(form);
            }
        }
        let values = AhoCorasick::new(&values).map_err(|_| SecretsError::TooMany)?;
        Ok(Self { names, values })
    }
}

/// Kinds and places, the first of each kind.
fn search_one(mut file: impl Read, own: &Own) -> io::Result<Vec<(String, u64)>> {
    let mut found: Vec<(String, u64)> = Vec::new();
    let mut piece = Vec::with_capacity(PIECE_BYTES + OVERLAP_BYTES);
    let mut begins = 0_u64;
    loop {
        let before = piece.len();
        (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if piece.len() == before {
            return Ok(found);
        }
        for (what, at) in hits(&piece, own) {
            if !found.iter().any(|(known, _)| *known == what) {
                found.push((what, begins + at as u64));
            }
        }
        let keep = piece.len().saturating_sub(OVERLAP_BYTES);
        piece.drain(..keep);
        begins += keep as u64;
    }
}

fn hits(piece: &[u8], own: &Own) -> Vec<(String, usize)> {
    let own_hits = own
        .values
        .find_overlapping_iter(piece)
        .map(|hit| (format!("secret {}", own.names[hit.pattern()]), hit.start()));
    let formed = COMPILED.iter().flat_map(|(name, pattern)| {
        let matches = pattern.find_iter(piece).filter(|hit| !is_example(hit.as_bytes()));
        matches.map(|hit| ((*name).to_owned(), hit.start()))
    });
    own_hits.chain(formed).collect()
}

fn is_example(hit: &[u8]) -> bool {
    EXAMPLES.iter().any(|example| hit.windows(example.len()).any(|part| part == *example))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own(secrets: &[(&str, &str)]) -> Own {
        let secrets: Vec<(String, SecretString)> =
            secrets.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect();
        Own::new(&secrets).expect("searchable")
    }

    fn kinds(content: &[u8], own: &Own) -> Vec<String> {
        search_one(content, own).expect("read").into_iter().map(|(what, _)| what).collect()
    }

    /// Written in two parts, so that no scanner takes this file for a leak.
    fn joined(one: &str, other: &str) -> String {
        format!("{one}{other}")
    }

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(COMPILED.len(), PATTERNS.len());
    }

    #[test]
    fn secrets_are_told_by_their_form_and_what_only_looks_like_one_is_not() {
        let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDExampleExample";
        let pem = |between: &str| joined("-----BEGIN RSA PRIVATE", &format!(" KEY-----{between}{key}"));
        let a36 = "a1B2".repeat(9);
        for (content, expected) in [
            (pem("\n"), Some("private key")),
            (pem("\\n"), Some("private key")),
            (pem("\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-256-CBC,00\r\n\r\n"), Some("private key")),
            (joined("-----BEGIN PRIVATE", " KEY-----\0-----END PRIVATE KEY-----\0"), None),
            (joined("-----BEGIN PUBLIC", &format!(" KEY-----\n{key}")), None),
            (joined("AKIA", "Z7YQ2WX3LMNOPQRS"), Some("AWS access key")),
            (joined("AKIA", "IOSFODNN7EXAMPLE"), None),
            (joined("XAKIA", "Z7YQ2WX3LMNOPQRS"), None),
            (joined("aws_secret_access_key = ", &"aB3/".repeat(10)), Some("AWS secret key")),
            (joined("ghp", &format!("_{a36}")), Some("GitHub token")),
            (joined("ghp", &format!("_{a36}x")), None),
            (joined("xoxb", &format!("-1234567890123-{a36}")), Some("Slack token")),
            (joined("npm", &format!("_{a36}")), Some("npm token")),
            (joined("sk_live", &format!("_{a36}")), Some("Stripe key")),
        ] {
            let around = [b"\0\xff ".as_slice(), content.as_bytes(), b" \0"].concat();
            assert_eq!(
                kinds(&around, &own(&[])),
                expected.map(str::to_owned).into_iter().collect::<Vec<_>>(),
                "{content}"
            );
        }
    }

    #[test]
    fn the_environments_own_secrets_are_found_also_in_base64() {
        let own = own(&[("SESSION_KEY", "correct horse battery"), ("SHORT", "abc")]);
        assert_eq!(kinds(b"x correct horse battery y", &own), ["secret SESSION_KEY"]);
        assert_eq!(kinds(b"key: Y29ycmVjdCBob3JzZSBiYXR0ZXJ5\n", &own), ["secret SESSION_KEY"]);
        assert!(kinds(b"abc abc abc", &own).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_border_between_pieces_hides_one(distance in -64_i64..64, pieces in 1..3_i64) {
            let own = own(&[("KEY", "correct horse battery")]);
            let border = i64::try_from(PIECE_BYTES).expect("small") * pieces;
            let at = usize::try_from(border + distance).expect("positive");
            let mut content = vec![b'.'; at];
            content.extend(b"correct horse battery");
            content.extend(vec![b'.'; 100]);
            prop_assert_eq!(search_one(content.as_slice(), &own).expect("read"), [("secret KEY".to_owned(), at as u64)]);
        }
    }
}
