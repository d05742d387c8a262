//! `secrets.json`.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// Prefix of the environment variables through which `mana up` takes provided secrets.
pub const ENVIRONMENT_PREFIX: &str = "MANA_SECRET_";

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
        source: std::io::Error,
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
}

/// The names of all secrets that have a value, sorted.
///
/// # Errors
/// When the file exists and cannot be used.
pub fn names(data: &Path) -> Result<Vec<String>, SecretsError> {
    let _ = data;
    Ok(Vec::new())
}

/// Gives a secret its value.
///
/// # Errors
/// When the name is none, or the file cannot be used.
pub fn set(data: &Path, name: &str, value: &SecretString) -> Result<(), SecretsError> {
    let _ = (data, name, value);
    Ok(())
}

/// Takes over every `MANA_SECRET_NAME` among the variables; answers the names whose value changed.
///
/// # Errors
/// As [`set`].
pub fn take_from_environment(
    data: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<String>, SecretsError> {
    let _ = (data, variables.into_iter());
    Ok(Vec::new())
}
