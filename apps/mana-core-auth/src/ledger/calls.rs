//! What the ledger can be asked, and what it answers. Pure.

use std::time::Duration;

use kit::Credits;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::gifts::Code;
use super::{Funds, Refusal, Reserved, Standing};

/// The operation that gives credits, whose keys are kept for good.
pub(crate) const GRANT: &str = "grant";

/// What was asked, in a form whose hash tells whether it was the same.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ask {
    pub(crate) user: Uuid,
    pub(crate) amount: Credits,
    pub(crate) reason: String,
    /// Of grants.
    #[serde(skip_serializing_if = "is_free")]
    pub(crate) funds: Funds,
    /// Of grants: who gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_free(funds: &Funds) -> bool {
    *funds == Funds::Free
}

/// One thing to do. Each is safe to ask again: it is done once.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// Gives credits.
    Grant { ask: Ask, key: String },
    /// Holds credits back, if the balance covers them: the one place where a charge is admitted.
    Reserve { ask: Ask, key: String, ttl: Duration, reservation: Uuid },
    /// Spends what was reserved, or less of it.
    Settle { user: Uuid, reservation: Uuid, amount: Option<Credits> },
    /// Gives back what was reserved.
    Release { user: Uuid, reservation: Uuid },
    /// Gives back what nobody resolved in time.
    Expire { user: Uuid, reservation: Uuid },
    /// Gives credits for a code.
    Redeem { user: Uuid, code: Code },
    /// Gives back what is reserved, forfeits what is left, and takes nothing more.
    Close { user: Uuid },
    /// Forfeits what is left of the free credits that were given until then (milliseconds since 1970).
    Lapse { user: Uuid, before: i64 },
    /// Undoes a posting.
    Reverse { user: Uuid, posting: Uuid, reason: String, actor: String },
}

impl Call {
    /// Whose credits it is about.
    pub(crate) fn user(&self) -> Uuid {
        match self {
            Self::Grant { ask, .. } | Self::Reserve { ask, .. } => ask.user,
            Self::Settle { user, .. }
            | Self::Release { user, .. }
            | Self::Expire { user, .. }
            | Self::Redeem { user, .. }
            | Self::Close { user }
            | Self::Lapse { user, .. }
            | Self::Reverse { user, .. } => *user,
        }
    }

    /// Its name, for keys and metrics.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Grant { .. } => GRANT,
            Self::Reserve { .. } => "reserve",
            Self::Settle { .. } => "settle",
            Self::Release { .. } => "release",
            Self::Expire { .. } => "expire",
            Self::Redeem { .. } => "redeem",
            Self::Close { .. } => "close",
            Self::Lapse { .. } => "lapse",
            Self::Reverse { .. } => "reverse",
        }
    }

    /// The reservation it is about.
    pub(crate) fn reservation(&self) -> Option<Uuid> {
        match self {
            Self::Settle { reservation, .. } | Self::Release { reservation, .. } | Self::Expire { reservation, .. } => {
                Some(*reservation)
            }
            _ => None,
        }
    }

    /// The key that makes it the same call, and the hash of what is asked.
    pub(crate) fn key(&self) -> Option<(KeyId, String)> {
        let (ask, key, ttl) = match self {
            Self::Grant { ask, key } => (ask, key, None),
            Self::Reserve { ask, key, ttl, .. } => (ask, key, Some(ttl.as_secs())),
            _ => return None,
        };
        let canonical = serde_json::to_vec(&(ask, ttl)).expect("a question is strings and numbers");
        let id = KeyId { user: ask.user, operation: self.operation(), key: key.clone() };
        Some((id, hex::encode(Sha256::digest(canonical))))
    }
}

/// A user's key means one thing per operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyId {
    pub(crate) user: Uuid,
    pub(crate) operation: &'static str,
    pub(crate) key: String,
}

/// What was answered to a call with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) request_hash: String,
    /// As [`Answer::to_text`] writes it.
    pub(crate) answer: String,
}

/// What a call is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Standing(Standing),
    Reserved(Reserved),
}

impl Answer {
    /// An outcome as it is stored beside its key.
    pub(crate) fn to_text(outcome: &Result<Self, Refusal>) -> String {
        let text = match outcome {
            Ok(Self::Standing(standing)) => serde_json::to_string(&Ok::<_, Refusal>(standing.balance)),
            Ok(Self::Reserved(reserved)) => serde_json::to_string(&Ok::<_, Refusal>(reserved)),
            Err(refusal) => serde_json::to_string(&Err::<(), _>(refusal)),
        };
        text.expect("an outcome is strings and numbers")
    }

    /// An outcome as it was stored; one that cannot be read is as good as another call's.
    pub(crate) fn from_text(operation: &str, text: &str) -> Result<Self, Refusal> {
        if operation == "reserve" {
            let outcome: Result<Reserved, Refusal> = serde_json::from_str(text).map_err(|_| Refusal::KeyReused)?;
            return outcome.map(Self::Reserved);
        }
        let outcome: Result<Credits, Refusal> = serde_json::from_str(text).map_err(|_| Refusal::KeyReused)?;
        outcome.map(|balance| Self::Standing(Standing { balance, version: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_reads_back_as_it_was() {
        let reserved =
            Reserved { reservation: Uuid::from_u128(1), balance: Credits::whole(3), version: Some(7), expires_at: 9 };
        let refusal = Refusal::OutOfCredits { balance: Credits::ZERO, amount: Credits::from_units(1) };
        for (operation, outcome) in [
            ("reserve", Ok(Answer::Reserved(reserved))),
            ("reserve", Err(refusal)),
            ("grant", Ok(Answer::Standing(Standing { balance: Credits::whole(60), version: None }))),
            ("grant", Err(Refusal::Overflow)),
        ] {
            assert_eq!(Answer::from_text(operation, &Answer::to_text(&outcome)), outcome);
        }
        // As it was written before versions were.
        let before = r#"{"Ok":{"reservation":"00000000-0000-0000-0000-000000000001","balance":3,"expires_at":9}}"#;
        let Ok(Answer::Reserved(reserved)) = Answer::from_text("reserve", before) else { panic!("{before}") };
        assert_eq!(reserved.version, None);
    }

    #[test]
    fn a_key_belongs_to_a_user_and_an_operation_and_its_hash_to_what_is_asked() {
        let ask = |amount| Ask {
            user: Uuid::from_u128(1),
            amount: Credits::whole(amount),
            reason: String::new(),
            funds: Funds::Free,
            actor: None,
        };
        let grant = |ask| Call::Grant { ask, key: "k".into() }.key().unwrap();
        let reserve = |seconds| {
            let (key, ttl, reservation) = ("k".into(), Duration::from_secs(seconds), Uuid::from_u128(9));
            Call::Reserve { ask: ask(1), key, ttl, reservation }
        };
        assert_eq!(grant(ask(1)), grant(ask(1)));
        assert_ne!(grant(ask(1)).1, grant(ask(2)).1);
        assert_ne!(grant(ask(1)).1, grant(Ask { funds: Funds::Paid, ..ask(1) }).1);
        assert_ne!(grant(ask(1)).0, reserve(1).key().unwrap().0);
        assert_ne!(reserve(1).key().unwrap().1, reserve(2).key().unwrap().1);
    }
}
