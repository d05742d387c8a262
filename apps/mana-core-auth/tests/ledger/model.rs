//! Any sequence of calls, compared with a model of a few lines, on both stores.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Ledger, Store, register};

/// People whose calls come between each other's.
const PEOPLE: usize = 2;

/// Codes that both may redeem: what each gives, and how often.
const CODES: [(i64, u32); 3] = [(5, 1), (7, 1), (9, 2)];

/// What a caller may do next.
#[derive(Debug, Clone)]
enum Step {
    Grant {
        amount: i64,
        key: u8,
        paid: bool,
    },
    Reserve {
        amount: i64,
        key: u8,
    },
    Settle {
        which: usize,
        amount: Option<i64>,
    },
    Release {
        which: usize,
    },
    Redeem {
        which: usize,
    },
    /// The account is deleted.
    Close,
    /// All that is held has its time over.
    Expire,
    /// What gave or spent credits is undone.
    Reverse {
        which: usize,
    },
    /// What has been given until now is old from now on.
    Age,
    /// Free credits that are old are forfeited.
    Lapse,
}

/// A step, and whose.
fn any_step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        6 => (1..40_i64, 0..6_u8, any::<bool>()).prop_map(|(amount, key, paid)| Step::Grant { amount, key, paid }),
        6 => (1..60_i64, 0..10_u8).prop_map(|(amount, key)| Step::Reserve { amount, key }),
        6 => (0..8_usize, proptest::option::of(0..70_i64)).prop_map(|(which, amount)| Step::Settle { which, amount }),
        6 => (0..8_usize).prop_map(|which| Step::Release { which }),
        6 => (0..CODES.len()).prop_map(|which| Step::Redeem { which }),
        1 => Just(Step::Close),
        6 => Just(Step::Expire),
        6 => (0..8_usize).prop_map(|which| Step::Reverse { which }),
        6 => Just(Step::Age),
        6 => Just(Step::Lapse),
    ];
    (0..PEOPLE, step)
}

/// How a reservation was resolved: settled for this much, or released.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Resolved {
    Settled(i64),
    Released,
}

/// A reservation of the model: how much of it was free and paid, and how it was resolved.
#[derive(Clone)]
struct Held {
    id: Value,
    free: i64,
    paid: i64,
    state: Option<Resolved>,
}

/// A posting of the model that can be undone: what it gave or spent, free and paid.
struct Done {
    id: Uuid,
    gave: bool,
    free: i64,
    paid: i64,
    /// Given since credits were aged last.
    young: bool,
    reversed: bool,
}

/// An amount and whether it is paid for, and the answer.
type Answered = ((i64, bool), StatusCode);

/// One person's ledger as a few lines of plain code: what the real one must answer.
#[derive(Default)]
struct Model {
    closed: bool,
    free: i64,
    paid: i64,
    /// By operation and key: what was asked, and what was answered.
    answers: HashMap<(&'static str, u8), Answered>,
    reservations: Vec<Held>,
    done: Vec<Done>,
    /// Free credits that are not old: as many of what is left, since the oldest are spent first.
    young: i64,
}

impl Model {
    fn give(&mut self, id: Uuid, free: i64, paid: i64) {
        self.free += free;
        self.paid += paid;
        self.young += free;
        self.done.push(Done { id, gave: true, free, paid, young: true, reversed: false });
    }

    fn reverse(&mut self, which: usize) -> Result<(), &'static str> {
        if self.closed {
            return Err("there is no such account");
        }
        let done = &mut self.done[which];
        if done.reversed {
            return Err("the posting was reversed before");
        }
        if done.gave {
            if done.free > self.free || done.paid > self.paid {
                return Err("what it gave is not left any more");
            }
            self.free -= done.free;
            self.paid -= done.paid;
            self.young -= if done.young { done.free } else { 0 };
        } else {
            if done.free + done.paid == 0 {
                return Err("a posting of the kind settle cannot be reversed");
            }
            self.free += done.free;
            self.paid += done.paid;
            self.young += done.free;
        }
        done.reversed = true;
        Ok(())
    }

    fn close(&mut self) {
        for held in self.reservations.iter_mut().filter(|held| held.state.is_none()) {
            held.state = Some(Resolved::Released);
        }
        (self.free, self.paid, self.young, self.closed) = (0, 0, 0, true);
    }

    fn age(&mut self) {
        self.young = 0;
        self.done.iter_mut().for_each(|done| done.young = false);
    }

    fn keyed(
        &mut self,
        what: &'static str,
        key: u8,
        asked: (i64, bool),
        run: impl FnOnce(&mut Self) -> StatusCode,
    ) -> StatusCode {
        if let Some((before, status)) = self.answers.get(&(what, key)) {
            return if *before == asked { *status } else { StatusCode::CONFLICT };
        }
        let status = run(self);
        self.answers.insert((what, key), (asked, status));
        status
    }

    fn reserve(&mut self, amount: i64, id: Value) -> StatusCode {
        if self.closed {
            return StatusCode::NOT_FOUND;
        }
        if self.free + self.paid < amount {
            return StatusCode::PAYMENT_REQUIRED;
        }
        let free = self.free.min(amount);
        self.free -= free;
        self.paid -= amount - free;
        self.reservations.push(Held { id, free, paid: amount - free, state: None });
        StatusCode::OK
    }

    fn resolve(&mut self, which: usize, how: Resolved) -> StatusCode {
        let held = &mut self.reservations[which];
        let spent = if let Resolved::Settled(spent) = how { spent } else { 0 };
        if spent > held.free + held.paid {
            return StatusCode::UNPROCESSABLE_ENTITY;
        }
        match held.state {
            None => {
                held.state = Some(how);
                let spent_free = spent.min(held.free);
                self.free += held.free - spent_free;
                self.paid += held.paid - (spent - spent_free);
                StatusCode::OK
            }
            Some(before) if before == how => StatusCode::OK,
            Some(_) => StatusCode::CONFLICT,
        }
    }
}

/// What became of a code: how often it may still be redeemed, and who has.
struct Gift {
    code: String,
    amount: i64,
    left: u32,
    redeemed: [bool; PEOPLE],
}

impl Gift {
    fn redeem(&mut self, who: usize, model: &Model) -> Result<(), &'static str> {
        if self.redeemed[who] {
            return Err("you have redeemed this code before");
        }
        if self.left == 0 {
            return Err("this code is not valid, or no longer");
        }
        if model.closed {
            return Err("there is no such account");
        }
        self.left -= 1;
        self.redeemed[who] = true;
        Ok(())
    }
}

async fn run_steps(ledger: &mut Ledger, steps: &[(usize, Step)]) {
    let (mut models, mut people, mut gifts) = ([(); PEOPLE].map(|()| Model::default()), Vec::new(), Vec::new());
    for model in &mut models {
        ledger.user = register(&ledger.client, &ledger.auth).await;
        model.give(ledger.last_posting().await, 50, 0);
        people.push(ledger.user.clone());
    }
    for (amount, uses) in CODES {
        let code = ledger.auth.gift_code(kit::Credits::whole(amount), uses).await;
        gifts.push(Gift { code, amount, left: uses, redeemed: [false; PEOPLE] });
    }
    let mut old_until = 0;
    for (who, step) in steps {
        ledger.user = people[*who].clone();
        let model = &mut models[*who];
        let mut said = None;
        match step {
            Step::Grant { amount, key, paid } => {
                let funds = if *paid { "paid" } else { "free" };
                let body = json!({"amount": amount, "idempotencyKey": key.to_string(), "funds": funds});
                let answer = ledger.call("grant", body).await;
                let posting = ledger.last_posting().await;
                let expected = model.keyed("grant", *key, (*amount, *paid), |model| {
                    let (free, paid) = if *paid { (0, *amount) } else { (*amount, 0) };
                    if model.closed {
                        return StatusCode::NOT_FOUND;
                    }
                    model.give(posting, free, paid);
                    StatusCode::OK
                });
                said = Some((expected, answer));
            }
            Step::Reserve { amount, key } => {
                let answer = ledger.reserve(*amount, &key.to_string()).await;
                let id = answer.1["reservationId"].clone();
                let expected = model.keyed("reserve", *key, (*amount, false), |model| model.reserve(*amount, id));
                said = Some((expected, answer));
            }
            Step::Settle { which, amount } => {
                let Some(held) = model.reservations.get(*which).cloned() else { continue };
                let (body, all) = (json!({"reservationId": held.id, "amount": amount}), held.free + held.paid);
                let spent = amount.unwrap_or(all);
                let (expected, answer) =
                    (model.resolve(*which, Resolved::Settled(spent)), ledger.call("settle", body).await);
                if held.state.is_none() && expected == StatusCode::OK {
                    let (id, free) = (ledger.last_posting().await, spent.min(held.free));
                    model.done.push(Done { id, gave: false, free, paid: spent - free, young: false, reversed: false });
                }
                said = Some((expected, answer));
            }
            Step::Release { which } => {
                let Some(held) = model.reservations.get(*which).cloned() else { continue };
                let body = json!({"reservationId": held.id});
                said = Some((model.resolve(*which, Resolved::Released), ledger.call("release", body).await));
            }
            Step::Redeem { which } => {
                let gift = &mut gifts[*which];
                let outcome = ledger.auth.redeem(ledger.user_id(), &gift.code).await;
                assert_eq!(outcome, gift.redeem(*who, model).map_err(str::to_owned), "{step:?}");
                if outcome.is_ok() {
                    model.give(ledger.last_posting().await, 0, gift.amount);
                }
            }
            Step::Close => {
                ledger.auth.close(ledger.user_id()).await;
                model.close();
            }
            Step::Expire => {
                let mut expected = 0;
                for model in &mut models {
                    for which in 0..model.reservations.len() {
                        if model.reservations[which].state.is_none() {
                            model.resolve(which, Resolved::Released);
                            expected += 1;
                        }
                    }
                }
                // Those of the sequences before this one are given back as well.
                assert!(ledger.auth.expire_reservations(Duration::from_hours(2)).await >= expected);
            }
            Step::Reverse { which } => {
                let Some(posting) = model.done.get(*which).map(|done| done.id) else { continue };
                let outcome = ledger.auth.reverse(ledger.user_id(), posting).await.map(drop);
                assert_eq!(outcome, model.reverse(*which).map_err(str::to_owned), "{step:?}");
            }
            Step::Age => {
                // Times are kept in milliseconds: nothing else happens in this one.
                tokio::time::sleep(Duration::from_millis(2)).await;
                old_until = kit::clock::now().as_millisecond();
                tokio::time::sleep(Duration::from_millis(2)).await;
                models.iter_mut().for_each(Model::age);
            }
            Step::Lapse => {
                ledger.auth.lapse_free_credits(old_until).await;
                for model in models.iter_mut().filter(|_| old_until > 0) {
                    model.free = model.free.min(model.young);
                }
            }
        }
        if let Some((expected, (status, body))) = said {
            assert_eq!(status, expected, "{step:?}: {body}");
        }
        // What one does changes nothing of the other's.
        for (person, model) in people.iter().zip(&models) {
            ledger.user = person.clone();
            assert_eq!(ledger.parts().await, (model.free, model.paid), "after {step:?}");
        }
    }
    assert_eq!(ledger.auth.ledger_findings().await, Vec::<String>::new());
}

/// The same sequences, one after the other, on both stores.
#[test]
fn any_sequence_agrees_with_the_model_on_both_stores() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ledgers = [Store::Sqlite, Store::Postgres].map(|store| runtime.block_on(Ledger::start(store)));
    let ledgers = std::cell::RefCell::new(ledgers);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&proptest::collection::vec(any_step(), 1..25), |steps| {
        for ledger in ledgers.borrow_mut().iter_mut() {
            runtime.block_on(run_steps(ledger, &steps));
        }
        Ok(())
    });
    runtime.block_on(async { drop(ledgers) });
    outcome.unwrap();
}
