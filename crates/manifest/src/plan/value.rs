//! Text that may hold secrets.

use serde::Serialize;

/// Text with secrets in it by name. Rendered with the secrets only at the moment of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(pub Vec<Part>);

/// A piece of a [`Value`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Plain text.
    Text(String),
    /// The secret of this name.
    Secret(String),
}

impl Value {
    /// Plain text without secrets.
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// The text for people: each secret as `[secret NAME]`.
    pub fn redacted(&self) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Secret(name) => format!("[secret {name}]"),
            })
            .collect()
    }

    /// The text with secrets put in.
    ///
    /// # Errors
    /// The name of the first secret that `lookup` does not know.
    pub fn reveal(&self, lookup: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => Ok(text.clone()),
                Part::Secret(name) => lookup(name).ok_or(name.as_str()),
            })
            .collect()
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}
