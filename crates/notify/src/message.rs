//! What people are told.

use serde::{Deserialize, Serialize};

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look, or is asked something.
    Warning,
    /// Something failed.
    Error,
    /// Somebody has to be woken.
    Page,
}

impl Severity {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Page => "page",
        }
    }
}

/// A message, the same for all channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Two messages with the same key are the same one.
    pub key: String,
    /// One line.
    pub title: String,
    /// Plain text.
    pub text: String,
    /// How urgent it is.
    pub severity: Severity,
    /// Where to look.
    pub link: Option<String>,
    /// Names and values, in the order to be shown.
    pub facts: Vec<(String, String)>,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Message {
    /// As plain text: the body, the facts, the link, and how many more could not be told one by one.
    pub fn plain(&self, more: u32) -> String {
        let facts = self.facts.iter().map(|(name, value)| format!("{name}: {value}"));
        let more = (more > 0).then(|| format!("… and {more} more"));
        let blocks = [Some(self.text.clone()), Some(facts.collect::<Vec<_>>().join("\n")), self.link.clone(), more];
        blocks.into_iter().flatten().filter(|block| !block.is_empty()).collect::<Vec<_>>().join("\n\n")
    }
}
