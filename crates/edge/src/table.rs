//! Placeholder of the compiled snapshot; the whole of it follows.

use std::fmt;

/// One thing that is wrong with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: ``route `chat-web` ``, `listener 127.0.0.1:8080`.
    pub at: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}
