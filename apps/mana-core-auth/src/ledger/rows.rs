//! What the ledger keeps of users, reservations and postings. Pure; [`super::storage`] reads and writes them.

use kit::Credits;
use uuid::Uuid;

use super::Standing;
use super::postings::{Account, Parts};

/// What a user can spend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Balance {
    pub(crate) parts: Parts,
    pub(crate) version: i64,
    pub(crate) last_posting: Option<Uuid>,
    pub(crate) closed_at: Option<i64>,
    /// An operator has closed the account to its owner: nothing more is reserved; what was reserved can be resolved.
    pub(crate) disabled: bool,
}

impl Balance {
    pub(super) fn total(&self) -> Credits {
        self.parts.total().unwrap_or(Credits::MAX)
    }

    pub(super) fn standing(&self) -> Standing {
        Standing { balance: self.total(), version: Some(self.version) }
    }
}

/// How a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Held,
    /// For this much.
    Settled(Credits),
    Released,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled(_) => "settled",
            Self::Released => "released",
        }
    }
}

/// Credits held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) user: Uuid,
    pub(crate) held: Parts,
    pub(crate) state: State,
    pub(crate) expires_at: i64,
    pub(crate) created_at: i64,
    pub(crate) resolved_at: Option<i64>,
    /// What resolving it was answered with.
    pub(crate) balance_after: Option<Credits>,
}

/// A posting to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) id: Uuid,
    pub(crate) user: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) reason: String,
    pub(crate) reservation: Option<Uuid>,
    pub(crate) actor: Option<String>,
    /// The posting that it undoes.
    pub(crate) reverses: Option<Uuid>,
    pub(crate) balance_after: Credits,
    pub(crate) created_at: i64,
    pub(crate) entries: Vec<(Account, Credits)>,
}

/// A code that was turned into credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redemption {
    pub(crate) code: Uuid,
    pub(crate) user: Uuid,
    pub(crate) posting: Uuid,
    pub(crate) created_at: i64,
}
