//! What each kind of posting moves between a user's accounts. Pure.

use kit::Credits;

/// One of a user's accounts. A user's credits are always somewhere: all four sum to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// What can be spent.
    User,
    /// What is reserved.
    Held,
    /// What has been spent.
    Spent,
    /// Where credits come from: minus all that was ever granted.
    Granted,
}

impl Account {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Held => "held",
            Self::Spent => "spent",
            Self::Granted => "granted",
        }
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Credits are given.
    Grant(Credits),
    /// Credits are held back.
    Reserve(Credits),
    /// Of what was held, this much is spent; the rest goes back.
    Settle { held: Credits, spent: Credits },
    /// What was held goes back.
    Release(Credits),
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Grant(_) => "grant",
            Self::Reserve(_) => "reserve",
            Self::Settle { .. } => "settle",
            Self::Release(_) => "release",
        }
    }

    /// The entries: no zero among them, and their sum is zero. `None` on overflow, or where more is spent than was held.
    pub(crate) fn entries(self) -> Option<Vec<(Account, Credits)>> {
        let entries = match self {
            Self::Grant(amount) => vec![(Account::User, amount), (Account::Granted, amount.checked_neg()?)],
            Self::Reserve(amount) => vec![(Account::User, amount.checked_neg()?), (Account::Held, amount)],
            Self::Release(amount) => vec![(Account::Held, amount.checked_neg()?), (Account::User, amount)],
            Self::Settle { held, spent } => {
                let rest = held.checked_sub(spent).filter(|rest| *rest >= Credits::ZERO)?;
                vec![(Account::Held, held.checked_neg()?), (Account::Spent, spent), (Account::User, rest)]
            }
        };
        Some(entries.into_iter().filter(|(_, amount)| *amount != Credits::ZERO).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_kind() -> impl Strategy<Value = Kind> {
        let amount = || (0..=i64::MAX).prop_map(Credits::from_units);
        prop_oneof![
            amount().prop_map(Kind::Grant),
            amount().prop_map(Kind::Reserve),
            amount().prop_map(Kind::Release),
            (amount(), amount()).prop_map(|(held, spent)| Kind::Settle { held, spent }),
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
        fn more_than_was_held_is_never_spent(held in 0..1_000_i64, more in 1..1_000_i64) {
            let (held, spent) = (Credits::from_units(held), Credits::from_units(held + more));
            prop_assert_eq!(Kind::Settle { held, spent }.entries(), None);
        }
    }

    #[test]
    fn settling_for_less_gives_the_rest_back() {
        let entries = Kind::Settle { held: Credits::whole(3), spent: Credits::whole(1) }.entries().unwrap();
        assert!(entries.contains(&(Account::User, Credits::whole(2))), "{entries:?}");
    }
}
