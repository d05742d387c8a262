//! The credits ledger: append-only double entry, in an exact type.
//!
//! - What moves is decided in [`postings`] (pure); every posting's entries sum to zero.
//! - Whether it may move is decided by one conditional statement on the user's balance ([`store`]), in the transaction
//!   that writes the posting. Nothing is looked up first and decided later.
//! - A reservation resolves once: settled, or released, or (after its time) released by [`crate::housekeeping`].
//! - A call with an idempotency key is carried out once and answered the same ever after, refusals included
//!   ([`idempotency`]); key, posting and answer are one transaction.
//!
//! To add a kind of posting: a variant of [`postings::Kind`] with its entries, and a function beside those of [`store`].

pub(crate) mod audit;
mod idempotency;
pub(crate) mod internal_routes;
pub(crate) mod postings;
pub(crate) mod routes;
mod store;

use jiff::Timestamp;
use kit::{Credits, Problem};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use store::{balance, by_user, expire, grant, open, release, reserve, settle};

/// Credits held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reserved {
    pub(crate) reservation: Uuid,
    /// What can still be spent beside it.
    pub(crate) balance: Credits,
    /// Milliseconds since 1970.
    pub(crate) expires_at: i64,
}

/// What was asked, in a form whose hash tells whether it was the same; see [`idempotency`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ask {
    pub(crate) user: Uuid,
    pub(crate) amount: Credits,
    pub(crate) reason: String,
}

/// Why the ledger does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    #[error("there is no such account")]
    UnknownUser,
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
}

/// Why a call to the ledger failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the ledger's database failed")]
    Database(#[from] DbErr),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let refusal = match error {
            Error::Database(error) => return error.into(),
            Error::Refused(refusal) => refusal,
        };
        let detail = sentence(&refusal.to_string());
        match refusal {
            Refusal::OutOfCredits { .. } => Self::out_of_credits(detail),
            Refusal::UnknownUser => Self::not_found("account"),
            Refusal::UnknownReservation => Self::not_found("reservation"),
            Refusal::KeyReused | Refusal::Resolved { .. } => Self::conflict(detail),
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
