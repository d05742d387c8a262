//! Who comes in at the operators' door, and what arrives there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// To see how things are.
    Read,
    /// To bring releases in and to put them back.
    Deploy,
    /// To say yes or no where an approval is asked for.
    Approve,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Deploy, Self::Approve];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Approve => "approve",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// A token, without what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its name, which is the operator's wherever it is used.
    pub name: String,
    /// What it is for.
    pub scopes: BTreeSet<Scope>,
    /// RFC 3339.
    pub made_at: String,
    /// RFC 3339; absent: it does not end by itself.
    pub expires_at: Option<String>,
    /// When it last let somebody in, to the minute or so. RFC 3339; absent: never, or not since this is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<String>,
}

/// "Let somebody in."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// The operator's name.
    pub name: String,
    /// What it is for.
    pub scopes: BTreeSet<Scope>,
    /// When it ends, in days; absent: not by itself.
    pub days: Option<u16>,
}

/// A token, said this once.
#[derive(Clone, Serialize, Deserialize)]
pub struct MadeToken {
    /// The token.
    pub token: String,
    /// What is known of it.
    pub view: TokenView,
}

/// A release that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// What it is called here.
    pub id: String,
    /// Of all its files.
    pub digest: String,
}
