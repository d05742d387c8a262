//! What each kind of posting moves between a user's accounts. Pure.

use kit::Credits;

use super::Funds;

/// One of a user's accounts. A user's credits are always somewhere: all of them together sum to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// What can be spent of what was given.
    Free,
    /// What can be spent of what was paid for.
    Paid,
    /// What is reserved.
    Held,
    /// What has been spent.
    Spent,
    /// What was left when the account was closed, and free credits that were too old.
    Forfeited,
    /// Where credits come from: minus all that was ever granted.
    Granted,
}

impl Account {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            // Its name from when there was no other, kept since entries are never changed.
            Self::Free => "user",
            Self::Paid => "paid",
            Self::Held => "held",
            Self::Spent => "spent",
            Self::Forfeited => "forfeited",
            Self::Granted => "granted",
        }
    }
}

/// An amount by where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Parts {
    pub(crate) free: Credits,
    pub(crate) paid: Credits,
}

impl Parts {
    /// All of it in one of the two.
    pub(crate) fn of(funds: Funds, amount: Credits) -> Self {
        match funds {
            Funds::Free => Self { free: amount, paid: Credits::ZERO },
            Funds::Paid => Self { free: Credits::ZERO, paid: amount },
        }
    }

    /// Both together, unless that overflows.
    pub(crate) fn total(self) -> Option<Credits> {
        self.free.checked_add(self.paid)
    }

    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self { free: self.free.checked_add(other.free)?, paid: self.paid.checked_add(other.paid)? })
    }

    pub(crate) fn checked_sub(self, other: Self) -> Option<Self> {
        Some(Self { free: self.free.checked_sub(other.free)?, paid: self.paid.checked_sub(other.paid)? })
    }

    /// The part of it that makes up `amount`, free before paid; `None` where there is not that much.
    pub(crate) fn take(self, amount: Credits) -> Option<Self> {
        let free = self.free.min(amount);
        let paid = amount.checked_sub(free).filter(|paid| *paid <= self.paid)?;
        Some(Self { free, paid })
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Credits are given.
    Grant(Parts),
    /// Credits are given for a code.
    Gift(Parts),
    /// Credits are held back.
    Reserve(Parts),
    /// Of what was held, this much is spent (free before paid); the rest goes back to where it came from.
    Settle { held: Parts, spent: Credits },
    /// What was held goes back to where it came from.
    Release(Parts),
    /// The account is closed, and what is left in it forfeited.
    Close(Parts),
    /// Free credits are too old.
    Lapse(Credits),
    /// Undoes a grant or a gift.
    TakeBack(Parts),
    /// Undoes a settlement: what was spent goes back to where it came from.
    GiveBack(Parts),
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Grant(_) => "grant",
            Self::Gift(_) => "gift",
            Self::Reserve(_) => "reserve",
            Self::Settle { .. } => "settle",
            Self::Release(_) => "release",
            Self::Close(_) => "close",
            Self::Lapse(_) => "lapse",
            Self::TakeBack(_) | Self::GiveBack(_) => "reverse",
        }
    }

    /// The entries: no zero among them, and their sum is zero. `None` on overflow, or where more is spent than was held.
    pub(crate) fn entries(self) -> Option<Vec<(Account, Credits)>> {
        let entries = match self {
            Self::Grant(parts) | Self::Gift(parts) => vec![
                (Account::Free, parts.free),
                (Account::Paid, parts.paid),
                (Account::Granted, parts.total()?.checked_neg()?),
            ],
            Self::Reserve(parts) => vec![
                (Account::Free, parts.free.checked_neg()?),
                (Account::Paid, parts.paid.checked_neg()?),
                (Account::Held, parts.total()?),
            ],
            Self::Release(parts) => vec![
                (Account::Held, parts.total()?.checked_neg()?),
                (Account::Free, parts.free),
                (Account::Paid, parts.paid),
            ],
            Self::Settle { held, spent } => {
                let rest = held.checked_sub(held.take(spent)?)?;
                vec![
                    (Account::Held, held.total()?.checked_neg()?),
                    (Account::Spent, spent),
                    (Account::Free, rest.free),
                    (Account::Paid, rest.paid),
                ]
            }
            Self::Close(parts) => vec![
                (Account::Free, parts.free.checked_neg()?),
                (Account::Paid, parts.paid.checked_neg()?),
                (Account::Forfeited, parts.total()?),
            ],
            Self::Lapse(free) => vec![(Account::Free, free.checked_neg()?), (Account::Forfeited, free)],
            Self::TakeBack(parts) => vec![
                (Account::Free, parts.free.checked_neg()?),
                (Account::Paid, parts.paid.checked_neg()?),
                (Account::Granted, parts.total()?),
            ],
            Self::GiveBack(parts) => vec![
                (Account::Spent, parts.total()?.checked_neg()?),
                (Account::Free, parts.free),
                (Account::Paid, parts.paid),
            ],
        };
        Some(entries.into_iter().filter(|(_, amount)| *amount != Credits::ZERO).collect())
    }
}

/// What entries add to (or, negative, take from) what can be spent.
pub(crate) fn change(entries: &[(Account, Credits)]) -> Parts {
    let of = |wanted: Account| entries.iter().find(|(account, _)| *account == wanted).map_or(Credits::ZERO, |e| e.1);
    Parts { free: of(Account::Free), paid: of(Account::Paid) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_parts() -> impl Strategy<Value = Parts> {
        let amount = || prop_oneof![0..1_000_i64, 0..=i64::MAX].prop_map(Credits::from_units);
        (amount(), amount()).prop_map(|(free, paid)| Parts { free, paid })
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            any_parts().prop_map(Kind::Grant),
            any_parts().prop_map(Kind::Gift),
            any_parts().prop_map(Kind::Reserve),
            any_parts().prop_map(Kind::Release),
            any_parts().prop_map(Kind::Close),
            any_parts().prop_map(|parts| Kind::Lapse(parts.free)),
            any_parts().prop_map(Kind::TakeBack),
            any_parts().prop_map(Kind::GiveBack),
            (any_parts(), 0..2_000_i64)
                .prop_map(|(held, spent)| Kind::Settle { held, spent: Credits::from_units(spent) }),
        ]
    }

    proptest! {
        #[test]
        fn entries_sum_to_zero_and_none_is_zero(kind in any_kind()) {
            if let Some(entries) = kind.entries() {
                let sum: i128 = entries.iter().map(|(_, amount)| i128::from(amount.units())).sum();
                prop_assert_eq!(sum, 0);
                prop_assert!(entries.iter().all(|(_, amount)| *amount != Credits::ZERO));
            }
        }

        #[test]
        fn more_than_was_held_is_never_spent(free in 0..1_000_i64, paid in 0..1_000_i64, more in 1..1_000_i64) {
            let held = Parts { free: Credits::from_units(free), paid: Credits::from_units(paid) };
            let spent = Credits::from_units(free + paid + more);
            prop_assert_eq!(Kind::Settle { held, spent }.entries(), None);
        }

        #[test]
        fn what_is_taken_is_free_before_paid(free in 0..1_000_i64, paid in 0..1_000_i64, amount in 0..2_000_i64) {
            let parts = Parts { free: Credits::from_units(free), paid: Credits::from_units(paid) };
            let taken = parts.take(Credits::from_units(amount));
            prop_assert_eq!(taken.is_some(), amount <= free + paid);
            if let Some(taken) = taken {
                prop_assert_eq!(taken.free.units(), free.min(amount));
                prop_assert_eq!(taken.paid.units(), amount - free.min(amount));
            }
        }
    }

    #[test]
    fn settling_for_less_gives_the_rest_back_to_where_it_came_from() {
        let held = Parts { free: Credits::whole(2), paid: Credits::whole(3) };
        for (spent, free, paid) in [(0, 2, 3), (1, 1, 3), (2, 0, 3), (4, 0, 1), (5, 0, 0)] {
            let entries = Kind::Settle { held, spent: Credits::whole(spent) }.entries().unwrap();
            let back = Parts { free: Credits::whole(free), paid: Credits::whole(paid) };
            assert_eq!(change(&entries), back, "{spent} of {held:?}");
        }
    }
}
