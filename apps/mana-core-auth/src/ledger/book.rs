//! What each call does to the accounts it is about. Pure: state and a call give a new state and an answer, or a refusal that
//! changes nothing but the memory of a key.
//!
//! A [`Book`] holds what was read under the locks of its users' balances, and collects what is to be written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kit::Credits;
use uuid::Uuid;

use super::calls::{Answer, Ask, Call, KeyId, Remembered};
use super::gifts::{Code, Gift};
use super::postings::{self, Kind, Parts};
use super::rows::{Balance, Posting, Redemption, Reservation, State};
use super::undo::{Original, Undone};
use super::{Now, Refusal, Reserved, Standing};
use crate::time;

/// What was read, and what is to be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    pub(crate) balances: BTreeMap<Uuid, Balance>,
    pub(crate) reservations: BTreeMap<Uuid, Reservation>,
    pub(crate) keys: HashMap<KeyId, Remembered>,
    pub(crate) gifts: HashMap<Code, Gift>,
    /// Code and user, and when.
    pub(crate) redeemed: HashMap<(Uuid, Uuid), i64>,
    /// Whether the calls are tried once more, after a try of which nobody knows whether it was written.
    pub(crate) repeated: bool,
    /// Postings that are to be undone.
    pub(crate) originals: HashMap<Uuid, Original>,
    /// Free credits that a user was given after a time: of what is left, as much is not older.
    pub(crate) given_after: HashMap<(Uuid, i64), Credits>,
    pub(crate) changes: Changes,
}

/// What is to be written; of what it names, the [`Book`] has the state to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) balances: BTreeSet<Uuid>,
    pub(crate) made: BTreeSet<Uuid>,
    pub(crate) resolved: BTreeSet<Uuid>,
    pub(crate) keys: Vec<(KeyId, i64)>,
    pub(crate) postings: Vec<Posting>,
    pub(crate) redemptions: Vec<Redemption>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Book {
    /// Carries a call out. `id` gives new ids.
    pub(crate) fn carry_out(&mut self, call: &Call, now: Now, id: &mut dyn FnMut() -> Uuid) -> Result<Answer, Refusal> {
        let Some((key, request_hash)) = call.key() else { return self.decide(call, now, id) };
        // A key is a user's: without the user there is nothing to remember it by.
        let balance = self.open_balance(key.user)?;
        // Not remembered: the account may be opened again.
        if balance.disabled && matches!(call, Call::Reserve { .. }) {
            return Err(Refusal::Disabled);
        }
        if let Some(before) = self.keys.get(&key) {
            if before.request_hash != request_hash {
                return Err(Refusal::KeyReused);
            }
            return Answer::from_text(key.operation, &before.answer);
        }
        let outcome = self.decide(call, now, id);
        self.keys.insert(key.clone(), Remembered { request_hash, answer: Answer::to_text(&outcome) });
        self.changes.keys.push((key, now.as_millisecond()));
        outcome
    }

    fn decide(&mut self, call: &Call, now: Now, id: &mut dyn FnMut() -> Uuid) -> Result<Answer, Refusal> {
        let answer = match call {
            Call::Reserve { ask, ttl, reservation, .. } => {
                let expires_at = time::later(now, *ttl);
                return self.reserve(ask, *reservation, expires_at, now, id).map(Answer::Reserved);
            }
            Call::Grant { ask, .. } => self.grant(ask, now, id),
            Call::Settle { user, reservation, amount } => self.settle(*user, *reservation, *amount, now, id),
            Call::Release { user, reservation } => self.release(*user, *reservation, "", now, id),
            Call::Expire { user, reservation } => self.expire(*user, *reservation, now, id),
            Call::Redeem { user, code } => self.redeem(*user, code, now, id),
            Call::Close { user } => self.close(*user, now, id),
            Call::Lapse { user, before } => self.lapse(*user, *before, now, id),
            Call::Reverse { user, posting, reason, actor } => self.reverse(*user, *posting, (reason, actor), now, id),
        };
        answer.map(Answer::Standing)
    }

    /// The balance of an account that is there and open.
    fn open_balance(&self, user: Uuid) -> Result<&Balance, Refusal> {
        self.balances.get(&user).filter(|balance| balance.closed_at.is_none()).ok_or(Refusal::UnknownUser)
    }

    fn grant(&mut self, ask: &Ask, now: Now, id: &mut dyn FnMut() -> Uuid) -> Result<Standing, Refusal> {
        let parts = Parts::of(ask.funds, ask.amount);
        self.require_room(ask.user, parts)?;
        self.note_given(ask.user, parts.free);
        let posting = Draft { reason: &ask.reason, actor: ask.actor.as_deref(), ..Draft::new(Kind::Grant(parts)) };
        self.post(ask.user, posting, now, id).map(|posted| posted.standing)
    }

    /// A balance stays within what a JSON number holds.
    fn require_room(&self, user: Uuid, more: Parts) -> Result<(), Refusal> {
        let sum = self.open_balance(user)?.parts.checked_add(more).and_then(Parts::total);
        sum.filter(|sum| *sum <= Credits::MAX).map(drop).ok_or(Refusal::Overflow)
    }

    fn reserve(
        &mut self,
        ask: &Ask,
        reservation: Uuid,
        expires_at: i64,
        now: Now,
        id: &mut dyn FnMut() -> Uuid,
    ) -> Result<Reserved, Refusal> {
        let balance = self.open_balance(ask.user)?;
        let refusal = Refusal::OutOfCredits { balance: balance.total(), amount: ask.amount };
        let held = balance.parts.take(ask.amount).ok_or(refusal)?;
        let draft = Draft { reason: &ask.reason, reservation: Some(reservation), ..Draft::new(Kind::Reserve(held)) };
        let Standing { balance, version } = self.post(ask.user, draft, now, id)?.standing;
        let row = Reservation {
            user: ask.user,
            held,
            state: State::Held,
            expires_at,
            created_at: now.as_millisecond(),
            resolved_at: None,
            balance_after: None,
        };
        self.reservations.insert(reservation, row);
        self.changes.made.insert(reservation);
        Ok(Reserved { reservation, balance, version, expires_at })
    }

    fn settle(
        &mut self,
        user: Uuid,
        reservation: Uuid,
        amount: Option<Credits>,
        now: Now,
        id: &mut dyn FnMut() -> Uuid,
    ) -> Result<Standing, Refusal> {
        let held = self.reservation(user, reservation)?.held;
        let reserved = held.total().ok_or(Refusal::Overflow)?;
        let spent = amount.unwrap_or(reserved);
        if spent > reserved || spent < Credits::ZERO {
            return Err(Refusal::MoreThanReserved { amount: spent, reserved });
        }
        self.resolve(user, reservation, State::Settled(spent), Draft::new(Kind::Settle { held, spent }), now, id)
    }

    fn release(
        &mut self,
        user: Uuid,
        reservation: Uuid,
        reason: &str,
        now: Now,
        id: &mut dyn FnMut() -> Uuid,
    ) -> Result<Standing, Refusal> {
        let held = self.reservation(user, reservation)?.held;
        let draft = Draft { reason, ..Draft::new(Kind::Release(held)) };
        self.resolve(user, reservation, State::Released, draft, now, id)
    }

    /// As releasing, but only after its time, and somebody who was faster is not answered the same.
    fn expire(
        &mut self,
        user: Uuid,
        reservation: Uuid,
        now: Now,
        id: &mut dyn FnMut() -> Uuid,
    ) -> Result<Standing, Refusal> {
        let row = self.reservation(user, reservation)?;
        if row.state != State::Held || row.expires_at > now.as_millisecond() {
            return Err(Refusal::Resolved { state: row.state.as_str().to_owned() });
        }
        self.release(user, reservation, "expired", now, id)
    }

    fn reservation(&self, user: Uuid, id: Uuid) -> Result<&Reservation, Refusal> {
        self.reservations.get(&id).filter(|row| row.user == user).ok_or(Refusal::UnknownReservation)
    }

    fn resolve(
        &mut self,
        user: Uuid,
        reservation: Uuid,
        state: State,
        draft: Draft<'_>,
        now: Now,
        id: &mut dyn FnMut() -> Uuid,
    ) -> Result<Standing, Refusal> {
        let row = self.reservation(user, reservation)?;
        if row.state == state {
            // The same call again, and the same answer.
            let current = self.balances.get(&user).ok_or(Refusal::UnknownUser)?.standing();
            return Ok(row.balance_after.map_or(current, |balance| Standing { balance, version: None }));
        }
        if row.state != State::Held {
            return Err(Refusal::Resolved { state: row.state.as_str().to_owned() });
        }
        let draft = Draft { reservation: Some(reservation), ..draft };
        let standing = self.post(user, draft, now, id)?.standing;
        let row = self.reservations.get_mut(&reservation).ok_or(Refusal::UnknownReservation)?;
        row.state = state;
        row.resolved_at = Some(now.as_millisecond());
        row.balance_after = Some(standing.balance);
        self.changes.resolved.insert(reservation);
        Ok(standing)
    }

    fn redeem(&mut self, user: Uuid, code: &Code, now: Now, id: &mut dyn FnMut() -> Uuid) -> Result<Standing, Refusal> {
        let gift = self.gifts.get(code).ok_or(Refusal::UnknownCode)?.clone();
        match self.redeemed.get(&(gift.id, user)) {
            // By this call: it was written, and only the answer to its commit was lost.
            Some(at) if self.repeated && *at == now.as_millisecond() => return Ok(self.open_balance(user)?.standing()),
            Some(_) => return Err(Refusal::RedeemedBefore),
            None => {}
        }
        if !gift.is_valid(now) {
            return Err(Refusal::UnknownCode);
        }
        let parts = Parts::of(gift.funds, gift.amount);
        self.require_room(user, parts)?;
        self.note_given(user, parts.free);
        let actor = Some(gift.made_by.as_str());
        let posting = Draft { reason: "gift code", actor, ..Draft::new(Kind::Gift(parts)) };
        let posted = self.post(user, posting, now, id)?;
        if let Some(gift) = self.gifts.get_mut(code) {
            gift.used += 1;
        }
        let created_at = now.as_millisecond();
        self.redeemed.insert((gift.id, user), created_at);
        self.changes.redemptions.push(Redemption { code: gift.id, user, posting: posted.id, created_at });
        Ok(posted.standing)
    }

    fn close(&mut self, user: Uuid, now: Now, id: &mut dyn FnMut() -> Uuid) -> Result<Standing, Refusal> {
        if self.balances.get(&user).ok_or(Refusal::UnknownUser)?.closed_at.is_some() {
            return Ok(Standing { balance: Credits::ZERO, version: None });
        }
        let theirs = |row: &Reservation| row.user == user && row.state == State::Held;
        let held: Vec<Uuid> = self.reservations.iter().filter(|(_, row)| theirs(row)).map(|(id, _)| *id).collect();
        for reservation in held {
            self.release(user, reservation, "account closed", now, id)?;
        }
        let left = self.open_balance(user)?.parts;
        let draft = Draft { reason: "account closed", ..Draft::new(Kind::Close(left)) };
        let standing = if left == Parts::default() {
            self.open_balance(user)?.standing()
        } else {
            self.post(user, draft, now, id)?.standing
        };
        if let Some(balance) = self.balances.get_mut(&user) {
            balance.closed_at = Some(now.as_millisecond());
        }
        self.changes.balances.insert(user);
        Ok(standing)
    }

    /// What is spent is the oldest there is; so what is left is the youngest, and more than was given after a time is older.
    fn lapse(&mut self, user: Uuid, before: i64, now: Now, id: &mut dyn FnMut() -> Uuid) -> Result<Standing, Refusal> {
        let younger = self.given_after.get(&(user, before)).copied().unwrap_or(Credits::MAX);
        let old = self.open_balance(user)?.parts.free.checked_sub(younger).filter(|old| *old > Credits::ZERO);
        let draft = Draft { reason: "too old", ..Draft::new(Kind::Lapse(old.ok_or(Refusal::NothingLapses)?)) };
        self.post(user, draft, now, id).map(|posted| posted.standing)
    }

    fn reverse(
        &mut self,
        user: Uuid,
        posting: Uuid,
        (reason, actor): (&str, &str),
        now: Now,
        id: &mut dyn FnMut() -> Uuid,
    ) -> Result<Standing, Refusal> {
        let left = self.open_balance(user)?.parts;
        let original = self.originals.get(&posting).filter(|original| original.user == user);
        let original = original.ok_or(Refusal::UnknownPosting)?;
        let undone = Undone { at: now.as_millisecond(), reason: reason.to_owned(), actor: Some(actor.to_owned()) };
        // By this call: it was written, and only the answer to its commit was lost.
        if self.repeated && original.undone.as_ref() == Some(&undone) {
            return Ok(self.open_balance(user)?.standing());
        }
        let (kind, then) = (original.opposite(left)?, original.created_at);
        match kind {
            Kind::GiveBack(parts) => {
                self.require_room(user, parts)?;
                self.note_given(user, parts.free);
            }
            Kind::TakeBack(parts) => self.note_taken(user, then, parts.free),
            _ => {}
        }
        let draft = Draft { reason, actor: Some(actor), reverses: Some(posting), ..Draft::new(kind) };
        let posted = self.post(user, draft, now, id)?;
        if let Some(original) = self.originals.get_mut(&posting) {
            original.undone = Some(undone);
        }
        Ok(posted.standing)
    }

    /// Free credits of this moment are younger than whatever is asked about.
    fn note_given(&mut self, user: Uuid, free: Credits) {
        for ((whose, _), given) in &mut self.given_after {
            if *whose == user {
                *given = given.checked_add(free).unwrap_or(Credits::MAX);
            }
        }
    }

    /// Of what was given then nothing is left.
    fn note_taken(&mut self, user: Uuid, then: i64, free: Credits) {
        for ((whose, after), given) in &mut self.given_after {
            if *whose == user && then > *after {
                *given = given.checked_sub(free).unwrap_or(Credits::ZERO);
            }
        }
    }

    /// Posts it: what can be spent after it.
    fn post(
        &mut self,
        user: Uuid,
        draft: Draft<'_>,
        now: Now,
        id: &mut dyn FnMut() -> Uuid,
    ) -> Result<Posted, Refusal> {
        let entries = draft.kind.entries().ok_or(Refusal::Overflow)?;
        let balance = self.balances.get_mut(&user).ok_or(Refusal::UnknownUser)?;
        let parts = balance.parts.checked_add(postings::change(&entries)).ok_or(Refusal::Overflow)?;
        let after = parts.total().ok_or(Refusal::Overflow)?;
        balance.parts = parts;
        balance.version += 1;
        let next = balance.last_posting.map_or(Uuid::nil(), |last| Uuid::from_u128(last.as_u128().saturating_add(1)));
        let posting = id().max(next);
        balance.last_posting = Some(posting);
        let standing = balance.standing();
        self.changes.balances.insert(user);
        self.changes.postings.push(Posting {
            id: posting,
            user,
            kind: draft.kind.as_str(),
            reason: draft.reason.to_owned(),
            reservation: draft.reservation,
            actor: draft.actor.map(str::to_owned),
            reverses: draft.reverses,
            balance_after: after,
            created_at: now.as_millisecond(),
            entries,
        });
        Ok(Posted { id: posting, standing })
    }
}

/// A posting before it has its id and its balance.
#[derive(Clone, Copy)]
struct Draft<'a> {
    kind: Kind,
    reason: &'a str,
    reservation: Option<Uuid>,
    actor: Option<&'a str>,
    reverses: Option<Uuid>,
}

impl Draft<'_> {
    fn new(kind: Kind) -> Self {
        Self { kind, reason: "", reservation: None, actor: None, reverses: None }
    }
}

struct Posted {
    id: Uuid,
    standing: Standing,
}

#[cfg(test)]
mod tests {
    use super::super::Funds;
    use super::*;

    #[test]
    fn a_code_whose_commit_went_unanswered_is_redeemed_by_the_same_call_and_no_other() {
        let (user, code) = (Uuid::from_u128(1), "ABC234".parse::<Code>().unwrap());
        let gift = Gift {
            id: Uuid::from_u128(2),
            amount: Credits::whole(5),
            funds: Funds::Paid,
            uses: 1,
            used: 0,
            expires_at: None,
            withdrawn_at: None,
            made_by: "operator".to_owned(),
        };
        let at = |second| Now::from_second(second).unwrap();
        let redeem = |book: &mut Book, now| {
            let call = Call::Redeem { user, code: code.clone() };
            book.carry_out(&call, now, &mut || Uuid::from_u128(3)).map(|answer| match answer {
                Answer::Standing(standing) => standing.balance,
                Answer::Reserved(_) => panic!("nothing is reserved"),
            })
        };
        let mut book = Book::default();
        book.balances.insert(user, Balance::default());
        book.gifts.insert(code.clone(), gift);
        assert_eq!(redeem(&mut book, at(10)), Ok(Credits::whole(5)));
        // What the next try reads, where the first one was written after all.
        let mut read = Book { changes: Changes::default(), repeated: true, ..book };
        assert_eq!(redeem(&mut read, at(10)), Ok(Credits::whole(5)));
        assert!(read.changes.is_empty(), "it gives nothing twice");
        assert_eq!(redeem(&mut read, at(11)), Err(Refusal::RedeemedBefore));
        read.repeated = false;
        assert_eq!(redeem(&mut read, at(10)), Err(Refusal::RedeemedBefore));
    }

    #[test]
    fn what_was_undone_by_a_commit_that_went_unanswered_was_undone_by_the_same_call_and_no_other() {
        let (user, posting) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let paid = Parts { free: Credits::ZERO, paid: Credits::whole(5) };
        let at = |second| Now::from_second(second).unwrap();
        let reverse = |book: &mut Book, actor: &str, now| {
            let call = Call::Reverse { user, posting, reason: "a mistake".to_owned(), actor: actor.to_owned() };
            book.carry_out(&call, now, &mut || Uuid::from_u128(3)).map(|answer| match answer {
                Answer::Standing(standing) => standing.balance,
                Answer::Reserved(_) => panic!("nothing is reserved"),
            })
        };
        let mut book = Book::default();
        book.balances.insert(user, Balance { parts: paid, ..Balance::default() });
        let original = Original {
            user,
            kind: "grant".to_owned(),
            created_at: 0,
            gave: paid,
            spent: Credits::ZERO,
            held: Parts::default(),
            undone: None,
        };
        book.originals.insert(posting, original);
        assert_eq!(reverse(&mut book, "admin 1", at(10)), Ok(Credits::ZERO));
        // What the next try reads, where the first one was written after all.
        let mut read = Book { changes: Changes::default(), repeated: true, ..book };
        assert_eq!(reverse(&mut read, "admin 1", at(10)), Ok(Credits::ZERO));
        assert!(read.changes.is_empty(), "nothing is undone twice");
        assert_eq!(reverse(&mut read, "admin 2", at(10)), Err(Refusal::ReversedBefore));
        assert_eq!(reverse(&mut read, "admin 1", at(11)), Err(Refusal::ReversedBefore));
        read.repeated = false;
        assert_eq!(reverse(&mut read, "admin 1", at(10)), Err(Refusal::ReversedBefore));
    }
}
