//! Which effect an outcome belongs to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{RolloutId, Stage};

/// `17/canary/1/42`: rollout, stage, attempt, and a number that only grows within the rollout. No two tries share a key, so
/// what comes late, or twice, finds its key closed and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key {
    /// Of which rollout.
    pub rollout: RolloutId,
    /// In which stage it was asked for.
    pub stage: Stage,
    /// In which attempt, from 1.
    pub attempt: u32,
    /// The how-manieth effect of the rollout, from 1. Of two effects on the same thing the higher one is the newer: whoever
    /// carries them out drops the older.
    pub n: u64,
}

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no key of an effect: one reads ROLLOUT/STAGE/ATTEMPT/N, as in `17/canary/1/42`")]
pub struct NoKey(String);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.rollout, self.stage, self.attempt, self.n)
    }
}

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let read = || {
            let mut parts = text.split('/');
            let key = Self {
                rollout: RolloutId(parts.next()?.parse().ok()?),
                stage: Stage::named(parts.next()?)?,
                attempt: parts.next()?.parse().ok()?,
                n: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(key)
        };
        read().ok_or_else(|| NoKey(text.to_owned()))
    }
}

impl TryFrom<String> for Key {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_it_is_written() {
        let key = Key { rollout: RolloutId(17), stage: Stage::AwaitingApproval, attempt: 1, n: 42 };
        assert_eq!(key.to_string(), "17/awaiting-approval/1/42");
        assert_eq!(key.to_string().parse(), Ok(key));
        for wrong in ["", "17/canary/1", "17/canary/1/42/", "17/lunch/1/42", "-1/canary/1/42"] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }
}
