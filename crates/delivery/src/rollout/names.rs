//! What things are called: ids, releases, the two slots, shares of traffic.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Number of a rollout; grows over all rollouts of an ecosystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub u64);

/// SHA-256 of what was built, in hexadecimal: what passed is what serves when these are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

/// A person who runs the ecosystem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operator(pub String);

/// An immutable build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// `v1.6.0`, for people.
    pub version: String,
    /// What it is.
    pub digest: Digest,
}

/// The two places, by the part they play: blue is what served when the rollout began, green is what it brings. Which of
/// the machine's two places plays which part is for whoever carries the effects out to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    /// The old version.
    Blue,
    /// The new version.
    Green,
}

/// Number of a change of one service's traffic; the edge refuses one that is not newer than what it serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// A share of traffic, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// A share that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} % is no share of traffic: write a whole number from 0 to 100")]
pub struct NoPercent(u8);

impl Percent {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// What a canary gets where nothing else is asked for.
    pub const TENTH: Self = Self(10);
    /// Everything.
    pub const ALL: Self = Self(100);

    /// What is left for the other slot, so that both sum to 100.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(100 - self.0)
    }

    /// As a number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = NoPercent;

    fn try_from(percent: u8) -> Result<Self, NoPercent> {
        if percent <= 100 { Ok(Self(percent)) } else { Err(NoPercent(percent)) }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blue => "blue",
            Self::Green => "green",
        })
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
