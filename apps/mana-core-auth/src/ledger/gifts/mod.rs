//! Gift codes: made by administrators and operators, turned into credits by whoever knows one, once each.
//!
//! A code has six of 32 characters (I, O, 0 and 1 are left out, since people mix them up): 2^30 possible ones. What keeps them
//! from being guessed is the bound on tries ([`guard`]): with a thousand valid codes, somebody who tries as often as one
//! account may finds one in a million tries, which takes three years.

mod code;
mod guard;
pub(crate) mod routes;
pub(crate) mod store;

pub(crate) use code::Code;
pub(crate) use guard::allow;

use kit::Credits;
use uuid::Uuid;

use super::{Funds, Now};

/// Most that one code gives.
pub(crate) const MAX_AMOUNT: Credits = Credits::whole(1_000_000);

/// Most users that can redeem one code.
pub(crate) const MAX_USES: u32 = 1_000_000;

/// What a code is worth, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gift {
    pub(crate) id: Uuid,
    pub(crate) amount: Credits,
    pub(crate) funds: Funds,
    pub(crate) uses: i64,
    pub(crate) used: i64,
    /// Milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
    pub(crate) withdrawn_at: Option<i64>,
    /// Who made it; goes into the postings.
    pub(crate) made_by: String,
}

impl Gift {
    /// Whether somebody may still redeem it.
    pub(crate) fn is_valid(&self, now: Now) -> bool {
        self.used < self.uses
            && self.withdrawn_at.is_none()
            && self.expires_at.is_none_or(|expires_at| now.as_millisecond() < expires_at)
    }
}
