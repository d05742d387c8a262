//! The credits ledger: append-only double entry, in an exact type.
//!
//! A call ([`calls`]) is put into the one queue of the process ([`queue`]). Its writer takes what has come together, locks and
//! reads what it is about ([`storage`]), decides all of it in pure code ([`book`], about [`rows`]), and writes it in one transaction; each
//! caller is answered when that is durable. So a contended account costs one commit for many calls.
//!
//! - What moves is decided in [`postings`] (pure); every posting's entries sum to zero.
//! - Whoever decides holds the lock of the user's balance, and so of the user's reservations and keys: two instances take turns.
//! - Who reserves may begin on what is decided and not yet durable, and deliver nothing before it is (`Accept: application/x-ndjson`, [`many`]).
//! - A charge takes free credits before paid ones; what goes back goes back to where it came from.
//! - A reservation resolves once: settled, or released, or (after its time) released by [`crate::housekeeping`]. Settling for
//!   more than was reserved is refused.
//! - A call with an idempotency key is carried out once and answered the same ever after, refusals included; key, posting and
//!   answer are one transaction. A key belongs to a user and an operation.
//! - A mistake is undone by a posting that points to it ([`undo`]), once. Free credits that are too old are forfeited by [`crate::housekeeping`], the oldest being
//!   those that are spent first.
//!
//! To add a kind of posting: a variant of [`postings::Kind`] with its entries, one of [`calls::Call`], and what it does in [`book`].

pub(crate) mod admin_routes;
pub(crate) mod audit;
mod book;
mod calls;
mod csv;
pub(crate) mod gifts;
pub(crate) mod history;
pub(crate) mod internal_routes;
mod many;
pub(crate) mod postings;
mod queue;
pub(crate) mod routes;
mod rows;
mod sql;
mod storage;
mod undo;

use std::str::FromStr;

use http::StatusCode;
use jiff::Timestamp;
use kit::{Credits, Problem};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;

pub(crate) use calls::{Ask, GRANT};
pub(crate) use history::{Line, balance, by_user, owner};
pub(crate) use queue::{Admitted, Ledger, Undo};
pub(crate) use storage::open;

/// Whether credits were given or paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Funds {
    /// Given.
    #[default]
    Free,
    /// Paid for.
    Paid,
}

impl Funds {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Paid => "paid",
        }
    }
}

impl FromStr for Funds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "free" => Ok(Self::Free),
            "paid" => Ok(Self::Paid),
            _ => Err(format!("{text:?} is neither free nor paid")),
        }
    }
}

/// What can be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) balance: Credits,
    /// Rises with every change, so that of two the newer one is known. `None`: an answer from before, repeated.
    pub(crate) version: Option<i64>,
}

/// Credits held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reserved {
    pub(crate) reservation: Uuid,
    /// What can still be spent beside it.
    pub(crate) balance: Credits,
    /// As in [`Standing`].
    #[serde(default)]
    pub(crate) version: Option<i64>,
    /// Milliseconds since 1970.
    pub(crate) expires_at: i64,
}

/// Why the ledger does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    #[error("there is no such account")]
    UnknownUser,
    #[error("the account is closed")]
    Disabled,
    #[error("the balance of {balance} does not cover {amount}")]
    OutOfCredits { balance: Credits, amount: Credits },
    #[error("this idempotency key was used for something else")]
    KeyReused,
    #[error("there is no such reservation")]
    UnknownReservation,
    #[error("the reservation is {state} already")]
    Resolved { state: String },
    #[error("{amount} is more than the {reserved} that were reserved")]
    MoreThanReserved { amount: Credits, reserved: Credits },
    #[error("the amount is beyond what an account can hold")]
    Overflow,
    #[error("this code is not valid, or no longer")]
    UnknownCode,
    #[error("you have redeemed this code before")]
    RedeemedBefore,
    #[error("there is no such posting")]
    UnknownPosting,
    #[error("a posting of the kind {kind} cannot be reversed")]
    NotReversible { kind: String },
    #[error("the posting was reversed before")]
    ReversedBefore,
    #[error("what it gave is not left any more")]
    NotLeft,
    #[error("no free credits are that old")]
    NothingLapses,
}

impl Refusal {
    /// One word for the metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::Disabled => "disabled",
            Self::OutOfCredits { .. } => "out_of_credits",
            Self::KeyReused => "key_reused",
            Self::UnknownReservation => "unknown_reservation",
            Self::Resolved { .. } => "resolved",
            Self::MoreThanReserved { .. } => "more_than_reserved",
            Self::Overflow => "overflow",
            Self::UnknownCode => "unknown_code",
            Self::RedeemedBefore => "redeemed_before",
            Self::UnknownPosting => "unknown_posting",
            Self::NotReversible { .. } => "not_reversible",
            Self::ReversedBefore => "reversed_before",
            Self::NotLeft => "not_left",
            Self::NothingLapses => "nothing_lapses",
        }
    }
}

/// Why a call to the ledger failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the ledger's database failed")]
    Database(#[from] DbErr),
    /// Whether it was done is not known; the same call again tells, or does it.
    #[error("the ledger's database does not answer")]
    Away,
    #[error("the ledger has more to do than it can")]
    Busy,
    /// A fault of ours, logged where it happened.
    #[error("the ledger failed")]
    Fault,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let refusal = match error {
            Error::Database(error) => return error.into(),
            Error::Away => {
                let detail = "The ledger's database does not answer; the same call again is safe.";
                return Self::unavailable("database_unavailable", detail);
            }
            Error::Busy => {
                return Self::unavailable("ledger_busy", "The ledger is busy; the same call again is safe.");
            }
            Error::Fault => return Self::internal(&error),
            Error::Refused(refusal) => refusal,
        };
        let detail = sentence(&refusal.to_string());
        match refusal {
            Refusal::OutOfCredits { .. } => Self::out_of_credits(detail),
            // Codes of their own: somebody who does not know this path says "not_found" as well.
            Refusal::UnknownUser => Self::new(StatusCode::NOT_FOUND, "unknown_account", "Not found").detail(detail),
            Refusal::Disabled => crate::sessions::closed(),
            Refusal::UnknownReservation => {
                Self::new(StatusCode::NOT_FOUND, "unknown_reservation", "Not found").detail(detail)
            }
            Refusal::UnknownCode => Self::not_found("gift code, or it is no longer valid"),
            Refusal::UnknownPosting => Self::not_found("posting"),
            // Whoever delivered on a reservation that was given back meanwhile has to know it from every other refusal.
            Refusal::Resolved { ref state } if state == rows::State::Released.as_str() => {
                Self::new(StatusCode::CONFLICT, "reservation_released", "Conflict").detail(detail)
            }
            Refusal::KeyReused
            | Refusal::Resolved { .. }
            | Refusal::RedeemedBefore
            | Refusal::NotReversible { .. }
            | Refusal::ReversedBefore
            | Refusal::NotLeft
            | Refusal::NothingLapses => Self::conflict(detail),
            Refusal::MoreThanReserved { .. } | Refusal::Overflow => {
                Self::invalid(vec![kit::FieldError::new("amount", refusal.to_string())])
            }
        }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// When something happens; passed in, so that tests decide.
pub(crate) type Now = Timestamp;

/// Tells whoever keeps a copy of a balance that it has changed. A copy that cannot be reached is believed for as long as its
/// keeper believes it; nothing is decided by one.
pub(crate) async fn changed(app: &App, user: Uuid) {
    let balance = match balance(&*app.database, user).await {
        Ok(Some(balance)) => balance,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(error = kit::chain(&error), "a changed balance was not told");
            return;
        }
    };
    let kept = kit::KeptBalance { balance: balance.total(), version: balance.version };
    if let Err(error) = kept.keep(&app.cache, user).await {
        // That the cache is away is said there.
        tracing::debug!(error = kit::chain(&error), "a changed balance was not told");
    }
}
