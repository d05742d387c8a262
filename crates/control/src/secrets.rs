//! `secrets.json`: the values behind the secret names of a manifest.
//!
//! Generated ones are made once, from the system's random source, as lower-case hexadecimal (so many random bytes as the
//! manifest says, two digits each). Provided ones come from a person: through `MANA_SECRET_NAME` in the environment of
//! `mana up`, or [`set`]. There is no default value for any secret, and an empty one counts as missing.
//!
//! Invariants: only its owner can read the file; it is replaced as a whole, never half-written; no value ever appears in
//! an error, a log or `Debug`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mana_manifest::plan::SecretRule;
use rand::TryRng;
use rand::rngs::SysRng;
use rustix::fs::{FlockOperation, flock};
use secrecy::{ExposeSecret, SecretString};

use crate::paths;

/// Prefix of the environment variables through which `mana up` takes provided secrets.
pub const ENVIRONMENT_PREFIX: &str = "MANA_SECRET_";
/// Largest file that is read: thousands of secrets.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Why the secrets cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read or written.
    #[error("cannot {what} {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `read`, `write`, …
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is not usable: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a value.
        what: String,
    },
    /// Not a name a secret can have.
    #[error("`{name}` cannot be the name of a secret: write it in capitals, digits and underscores, like SESSION_KEY")]
    Name {
        /// What was given.
        name: String,
    },
    /// The system's random source failed.
    #[error("the system gives no random bytes, so no secret can be made")]
    Random,
}

/// All secrets of a data folder, as read at one moment.
#[derive(Debug, Default)]
pub struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// Reads the file; one that does not exist holds nothing.
    ///
    /// # Errors
    /// When it exists and cannot be used.
    pub fn load(data: &Path) -> Result<Self, SecretsError> {
        let path = paths::secrets(data);
        let file = |what| {
            let path = path.clone();
            move |source| SecretsError::File { path, what, source }
        };
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(file("read")(error)),
        };
        if meta.permissions().mode() & 0o077 != 0 {
            let what = "others may read it; if nobody did: `chmod 600` it, else replace the secrets in it".into();
            return Err(SecretsError::Content { path, what });
        }
        if meta.len() > MAX_FILE_BYTES {
            let what = format!("it is larger than {MAX_FILE_BYTES} bytes");
            return Err(SecretsError::Content { path, what });
        }
        let text = fs::read(&path).map_err(file("read"))?;
        let values: BTreeMap<String, String> = serde_json::from_slice(&text).map_err(|error| {
            // The parser's own message might quote a value.
            let what = format!("not an object of names and strings, line {} column {}", error.line(), error.column());
            SecretsError::Content { path, what }
        })?;
        Ok(Self(values.into_iter().map(|(name, value)| (name, value.into())).collect()))
    }

    /// The value of a secret; an empty one is none.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name).filter(|value| !value.expose_secret().is_empty())
    }

    /// The names that have a value, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| self.get(name).is_some())
    }

    fn save(&self, data: &Path) -> Result<(), SecretsError> {
        let path = paths::secrets(data);
        let exposed: BTreeMap<&str, &str> =
            self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        let mut text = serde_json::to_string_pretty(&exposed)
            .map_err(|error| SecretsError::Content { path: path.clone(), what: error.to_string() })?;
        text.push('\n');
        let fresh = path.with_extension("json.new");
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(data)?.sync_all()
        };
        write().map_err(|source| SecretsError::File { path: path.clone(), what: "write", source })
    }
}

/// Holds off other writers (the command line and the control plane both write) while the file is changed.
fn change<T>(data: &Path, work: impl FnOnce(&mut Secrets) -> Result<T, SecretsError>) -> Result<T, SecretsError> {
    let lock = data.join("secrets.lock");
    let locked = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let locked = locked.and_then(|file| flock(&file, FlockOperation::LockExclusive).map(|()| file).map_err(Into::into));
    let _held = locked.map_err(|source| SecretsError::File { path: lock.clone(), what: "lock", source })?;
    let mut secrets = Secrets::load(data)?;
    let before: Vec<(String, String)> =
        secrets.0.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
    let done = work(&mut secrets)?;
    let after = secrets.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
    if !after.eq(before.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        secrets.save(data)?;
    }
    Ok(done)
}

fn check_name(name: &str) -> Result<(), SecretsError> {
    let fits = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_');
    if fits { Ok(()) } else { Err(SecretsError::Name { name: name.to_owned() }) }
}

/// The names of all secrets that have a value, sorted.
///
/// # Errors
/// When the file exists and cannot be used.
pub fn names(data: &Path) -> Result<Vec<String>, SecretsError> {
    Ok(Secrets::load(data)?.names().map(str::to_owned).collect())
}

/// Gives a secret its value.
///
/// # Errors
/// When the name is none, or the file cannot be used.
pub fn set(data: &Path, name: &str, value: &SecretString) -> Result<(), SecretsError> {
    check_name(name)?;
    change(data, |secrets| {
        secrets.0.insert(name.to_owned(), value.clone());
        Ok(())
    })
}

/// Takes over every `MANA_SECRET_NAME` among the variables; answers the names whose value changed. The folder must exist.
///
/// # Errors
/// As [`set`].
pub fn take_from_environment(
    data: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<String>, SecretsError> {
    let provided = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(ENVIRONMENT_PREFIX)?.to_owned(), value)))
        .map(|(name, value)| check_name(&name).map(|()| (name, value)))
        .collect::<Result<Vec<_>, _>>()?;
    if provided.is_empty() {
        return Ok(Vec::new());
    }
    change(data, |secrets| {
        let mut changed = Vec::new();
        for (name, value) in provided {
            let old = secrets.0.insert(name.clone(), value.clone().into());
            if old.is_none_or(|old| old.expose_secret() != value) {
                changed.push(name);
            }
        }
        Ok(changed)
    })
}

/// Makes every secret that is to be generated and has no value yet; answers their names.
///
/// # Errors
/// When the file cannot be used, or the system has no random bytes.
pub(crate) fn generate(data: &Path, rules: &BTreeMap<String, SecretRule>) -> Result<Vec<String>, SecretsError> {
    let secrets = Secrets::load(data)?;
    let missing = |secrets: &Secrets, name: &str| secrets.get(name).is_none();
    if !rules.iter().any(|(name, rule)| rule.generate_bytes.is_some() && missing(&secrets, name)) {
        return Ok(Vec::new());
    }
    change(data, |secrets| {
        let mut made = Vec::new();
        for (name, rule) in rules {
            let Some(bytes) = rule.generate_bytes else { continue };
            if missing(secrets, name) {
                let mut value = vec![0; usize::from(bytes)];
                SysRng.try_fill_bytes(&mut value).map_err(|_| SecretsError::Random)?;
                secrets.0.insert(name.clone(), hex::encode(value).into());
                made.push(name.clone());
            }
        }
        Ok(made)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> BTreeMap<String, SecretRule> {
        BTreeMap::from([
            ("MADE".to_owned(), SecretRule { generate_bytes: Some(32), about: None }),
            ("GIVEN".to_owned(), SecretRule { generate_bytes: None, about: None }),
        ])
    }

    fn value(data: &Path, name: &str) -> Option<String> {
        Some(Secrets::load(data).expect("load").get(name)?.expose_secret().to_owned())
    }

    #[test]
    fn a_secret_is_generated_once_and_a_provided_one_never() {
        let data = tempfile::tempdir().expect("folder");
        assert_eq!(generate(data.path(), &rules()).expect("made"), ["MADE"]);
        let first = value(data.path(), "MADE").expect("there");
        assert_eq!(hex::decode(&first).expect("hexadecimal").len(), 32);
        assert!(generate(data.path(), &rules()).expect("nothing to make").is_empty());
        assert_eq!(value(data.path(), "MADE"), Some(first));
        assert_eq!(names(data.path()).expect("names"), ["MADE"]);
    }

    #[test]
    fn provided_secrets_come_from_the_environment_and_an_empty_one_is_missing() {
        let data = tempfile::tempdir().expect("folder");
        let variables = |value: &str| {
            vec![("PATH".to_owned(), "/bin".to_owned()), ("MANA_SECRET_GIVEN".to_owned(), value.to_owned())]
        };
        assert_eq!(take_from_environment(data.path(), variables("x")).expect("taken"), ["GIVEN"]);
        assert!(take_from_environment(data.path(), variables("x")).expect("the same").is_empty());
        assert_eq!(value(data.path(), "GIVEN").as_deref(), Some("x"));
        take_from_environment(data.path(), variables("")).expect("taken");
        assert_eq!(value(data.path(), "GIVEN"), None);
        assert!(names(data.path()).expect("names").is_empty());
    }

    #[test]
    fn only_the_owner_reads_the_file_and_one_that_others_may_read_is_refused() {
        let data = tempfile::tempdir().expect("folder");
        set(data.path(), "KEY", &"value".to_owned().into()).expect("set");
        let path = paths::secrets(data.path());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        let error = Secrets::load(data.path()).expect_err("refused");
        assert!(error.to_string().contains("chmod 600"));
    }

    #[test]
    fn no_value_shows_in_an_error_or_in_debug() {
        let data = tempfile::tempdir().expect("folder");
        let path = paths::secrets(data.path());
        fs::write(&path, "{\"KEY\": \"hunter2\", \"OTHER\": hunter3}").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        let error = Secrets::load(data.path()).expect_err("broken");
        assert!(!format!("{error} {error:?}").contains("hunter"));
        let secrets = Secrets(BTreeMap::from([("KEY".to_owned(), "hunter2".to_owned().into())]));
        assert!(!format!("{secrets:?}").contains("hunter"));
    }

    #[test]
    fn a_name_that_cannot_be_a_variable_is_refused() {
        let data = tempfile::tempdir().expect("folder");
        for name in ["", "lower", "1ST", "A-B", "A=B"] {
            assert!(matches!(set(data.path(), name, &"x".to_owned().into()), Err(SecretsError::Name { .. })), "{name}");
        }
    }
}
