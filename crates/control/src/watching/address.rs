//! Addresses with secrets in them.

use secrecy::{ExposeSecret, SecretString};

/// An address, or a header field, with its secrets in it: in no log, no error and no `Debug`.
#[derive(Debug, Clone)]
pub(crate) struct Address(SecretString);

impl Address {
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// As an URL, which is not to be shown either.
    pub(super) fn url(&self) -> Result<url::Url, String> {
        url::Url::parse(self.expose()).map_err(|error| format!("its address is not understood: {error}"))
    }
}

impl PartialEq for Address {
    /// Both are the manifest's own: nobody from outside learns anything by how long it takes.
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}
