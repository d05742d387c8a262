//! Undoing a posting: what its opposite is. Pure.
//!
//! A posting is never changed; another one that points to it takes back what it gave, or gives back what it spent. It is undone once, and never into the negative. What a
//! reservation holds has its own way back: it is released.

use kit::Credits;
use uuid::Uuid;

use super::Refusal;
use super::postings::{Kind, Parts};

/// A posting, as far as undoing it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Original {
    pub(crate) user: Uuid,
    pub(crate) kind: String,
    pub(crate) created_at: i64,
    /// What it added to what can be spent.
    pub(crate) gave: Parts,
    /// What it spent, and of which reservation.
    pub(crate) spent: Credits,
    pub(crate) held: Parts,
    /// What has undone it.
    pub(crate) undone: Option<Undone>,
}

/// A posting that undid another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undone {
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) reason: String,
    pub(crate) actor: Option<String>,
}

impl Original {
    /// What undoes it, for an account that has this much left.
    pub(super) fn opposite(&self, left: Parts) -> Result<Kind, Refusal> {
        if self.undone.is_some() {
            return Err(Refusal::ReversedBefore);
        }
        let has_none = || Refusal::NotReversible { kind: self.kind.clone() };
        match self.kind.as_str() {
            "grant" | "gift" if self.gave.free <= left.free && self.gave.paid <= left.paid => {
                Ok(Kind::TakeBack(self.gave))
            }
            "grant" | "gift" => Err(Refusal::NotLeft),
            "settle" if self.spent > Credits::ZERO => {
                self.held.take(self.spent).map(Kind::GiveBack).ok_or_else(has_none)
            }
            _ => Err(has_none()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_posting_is_undone_once_never_into_the_negative_and_to_where_it_came_from() {
        let parts = |free, paid| Parts { free: Credits::whole(free), paid: Credits::whole(paid) };
        let original = |kind: &str| Original {
            user: Uuid::nil(),
            kind: kind.to_owned(),
            created_at: 0,
            gave: parts(5, 0),
            spent: Credits::whole(4),
            held: parts(3, 2),
            undone: None,
        };
        assert_eq!(original("grant").opposite(parts(5, 0)), Ok(Kind::TakeBack(parts(5, 0))));
        assert_eq!(
            original("gift").opposite(parts(4, 9)),
            Err(Refusal::NotLeft),
            "paid credits are not taken for free ones"
        );
        assert_eq!(original("settle").opposite(parts(0, 0)), Ok(Kind::GiveBack(parts(3, 1))));
        let undone = Some(Undone { at: 1, reason: "why".to_owned(), actor: None });
        assert_eq!(Original { undone, ..original("grant") }.opposite(parts(9, 9)), Err(Refusal::ReversedBefore));
        let nothing = Original { spent: Credits::ZERO, ..original("settle") };
        for other in [
            nothing,
            original("reserve"),
            original("release"),
            original("reverse"),
            original("lapse"),
            original("close"),
        ] {
            assert_eq!(other.opposite(parts(9, 9)), Err(Refusal::NotReversible { kind: other.kind.clone() }));
        }
    }
}
