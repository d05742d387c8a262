//! People who log in at the operators' door, and the record of what was changed.

use serde::{Deserialize, Serialize};

/// What somebody may do. Each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sees how things are.
    Viewer,
    /// Deploys, rolls back, acknowledges.
    Operator,
    /// Says yes or no where an approval is asked for.
    Approver,
    /// Makes operators and tokens, and reads the audit log.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorView {
    /// Their name, also in approvals and in the audit log.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they are kept out.
    pub disabled: bool,
    /// Whether they have set a password.
    pub has_password: bool,
    /// Whether they are asked for a second factor.
    pub has_second_factor: bool,
    /// How often they are logged in now.
    pub sessions: u32,
    /// RFC 3339.
    pub made_at: String,
}

/// "Let this person log in."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOperator {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// What becomes of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum OperatorChange {
    /// They may do something else from now on.
    Role {
        /// Which.
        role: Role,
    },
    /// They are kept out, at once; so is a token of their name.
    Disable,
    /// They are let in again.
    Enable,
    /// Password, second factor and sessions end; they are invited anew.
    Reset,
    /// They are logged out.
    Revoke {
        /// Of one session; of all where absent.
        #[serde(default)]
        session: Option<String>,
    },
}

/// An operator after a change.
#[derive(Clone, Serialize, Deserialize)]
pub struct OperatorAfter {
    /// How they are now.
    pub view: OperatorView,
    /// How they set a password, said this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Invitation>,
}

/// How somebody sets a password.
#[derive(Clone, Serialize, Deserialize)]
pub struct Invitation {
    /// To be opened once. Whoever has it is that operator.
    pub link: String,
    /// RFC 3339.
    pub expires_at: String,
}

/// Where somebody is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// What it is called, which is not what lets in.
    pub id: String,
    /// RFC 3339.
    pub made_at: String,
    /// When it was last used, to the minute or so. RFC 3339.
    pub seen_at: String,
    /// When it ends at the latest. RFC 3339.
    pub expires_at: String,
    /// Where it was begun.
    pub address: String,
    /// With which browser, as it says itself.
    pub agent: String,
}

/// Something that was changed, or was to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// From 1, without a gap.
    pub number: u64,
    /// RFC 3339.
    pub at: String,
    /// Who.
    pub who: String,
    /// From where: an address, or `socket` for the machine itself.
    pub source: String,
    /// What: `deploy`, `login`.
    pub what: String,
    /// To what: a service, a rollout, an operator.
    pub target: String,
    /// `done`, or why not.
    pub outcome: String,
    /// Of the entry before and this one, in hexadecimal.
    pub sha256: String,
}

/// Whether the audit log is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCheck {
    /// How many entries are as they were written, from the first on.
    pub good: u64,
    /// What the last of those hashes to. Noted elsewhere, it proves later that nothing before it was changed.
    pub head: String,
    /// The first one that is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
}

/// An entry that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Which.
    pub number: u64,
    /// In words.
    pub why: String,
}
