//! Credits that the ledger holds back for one answer, from the reserve to what resolves it.
//!
//! The ledger says that it holds them before that is durable. Then the model is asked, and an answer that is given whole is stored; a stream begins, and any answer is given, only
//! once it is durable ([`Held::durable`]); who reads the conversation meanwhile finds an answer that is stored and will be charged. If it is not to be (the ledger died over it), what is stored is charged all the same, by the outbox.
//!
//! A reserve whose answer is lost may have been carried out. Nobody knows the reservation's id then, and its credits would be
//! missing until it expires. So the same call is made again aside, under the same key, and what it names is released.

use std::sync::Arc;
use std::time::Duration;

use kit::{Credits, clock, failpoint, trace};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use uuid::Uuid;

use crate::app::App;
use crate::budgets::Spending;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::ledger::{Hold, LedgerError, Reserved, Standing};
use crate::outbox::{Action, Instruction};
use crate::reserving::{self, Admitted};
use crate::time::now_ms;

/// How often a reserve without an answer is asked about. With the pauses that is a quarter of a minute and the ledger's own
/// time: an instance that was replaced is there again by then.
const TRIES: u32 = 5;

/// The pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Reserves that are asked about at once: enough for an instance that died, and few for a ledger that comes back after an
/// outage. What is beyond that expires.
const AT_ONCE: usize = 64;

/// Credits the ledger holds back for this answer. Dropped unresolved (which only a bug or a panic does), they are released.
pub(crate) struct Held {
    app: Arc<App>,
    /// What gives them back.
    pub(crate) instruction: Instruction,
    /// Until it is resolved there is `left` beside it.
    admitted: Arc<Admitted>,
    /// What the ledger knows the reserve by.
    key: Uuid,
    /// What of the day's budgets is held back with them.
    spending: Spending,
    resolved: bool,
}

impl Held {
    pub(crate) async fn reserve(app: &Arc<App>, caller: &Caller, price: Credits) -> Result<Self, Failure> {
        let spending = app.budgets.hold(caller, price, now_ms()).await?;
        // Whoever asks one after the other finds there what the answer before did not cost.
        app.settles.caught_up(caller.user).await;
        let key = clock::new_id();
        let admitted = match app.reserves.reserve(caller.user, price, key).await {
            Ok(admitted) => Arc::new(admitted),
            Err(failure) => {
                app.budgets.release(&spending).await;
                if matches!(failure, Failure::LedgerUnavailable) {
                    app.doubts.look_into(app, caller.user, price, key);
                }
                return Err(failure);
            }
        };
        Ok(Self {
            spending,
            app: app.clone(),
            instruction: Instruction {
                reservation: admitted.reserved.id,
                user: caller.user,
                action: Action::Release,
                amount: price,
            },
            admitted,
            key,
            resolved: false,
        })
    }

    /// Waits until the reservation is durable, or says why it is not to be.
    pub(crate) async fn durable(&self) -> Result<(), Failure> {
        let outcome = trace::step("reserve_durable", self.admitted.outcome()).await;
        outcome.map(|_| ()).map_err(|error| reserving::failure(&error, self.instruction.amount))
    }

    /// Resolves when the reservation is not to be.
    pub(crate) async fn failed(&self) -> Failure {
        match self.admitted.outcome().await {
            Ok(_) => std::future::pending().await,
            Err(error) => reserving::failure(&error, self.instruction.amount),
        }
    }

    pub(crate) async fn release(mut self) {
        self.resolved = true;
        self.undo().await;
        failpoint::here("chat: released");
    }

    /// Gives back what is held, once it is known what that is.
    fn undo(&self) -> impl Future<Output = ()> + Send + use<> {
        let (app, admitted, key) = (self.app.clone(), self.admitted.clone(), self.key);
        let (instruction, spending) = (self.instruction, self.spending.clone());
        async move {
            match admitted.outcome().await {
                Ok(reserved) => app.outbox.release(Instruction { reservation: reserved.id, ..instruction }).await,
                Err(LedgerError::Unavailable(_)) => {
                    app.doubts.look_into(&app, instruction.user, instruction.amount, key);
                }
                // It says no: nothing is held back.
                Err(_) => {}
            }
            app.budgets.release(&spending).await;
        }
    }

    /// What there is beside it once `spent` of it is settled: exact, unless something else happens meanwhile.
    pub(crate) fn left_after(&self, spent: Credits) -> Credits {
        self.beside(&self.admitted.reserved, spent)
    }

    fn beside(&self, reserved: &Reserved, spent: Credits) -> Credits {
        let given_back = self.instruction.amount.checked_sub(spent).unwrap_or_default();
        reserved.left.checked_add(given_back).unwrap_or(reserved.left)
    }

    /// Waits until the reservation is durable, and shows a person then what they have once `spent` of it is settled. What the settle is answered with replaces it.
    pub(crate) async fn show(&self, spent: Credits) {
        if let Ok(reserved) = trace::step("reserve_durable", self.admitted.outcome()).await {
            let standing = Standing { balance: self.beside(&reserved, spent), version: reserved.version };
            self.app.balances.keep(self.instruction.user, standing).await;
        }
    }

    /// Lets the instruction that is in the outbox already be delivered; after [`Held::show`].
    pub(crate) async fn settle(mut self, settle: Instruction) {
        self.resolved = true;
        if let Err(error) = self.admitted.outcome().await {
            metrics::counter!("chat_reserves_undone_total").increment(1);
            tracing::warn!(
                %error, reservation = %settle.reservation, user = %settle.user, amount = %settle.amount,
                "an answer is stored whose reservation the ledger lost before it was durable; the outbox charges it"
            );
        }
        self.app.settles.leave(settle, settle.amount < self.instruction.amount);
        self.app.budgets.spent(&self.spending, settle.amount).await;
    }

    /// Leaves the reservation to whoever resolves it later.
    pub(crate) fn leave(mut self) {
        self.resolved = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.resolved {
            let reservation = self.instruction.reservation;
            tracing::error!(%reservation, "an answer ended without resolving its reservation, releasing it");
            self.app.tasks.spawn(self.undo());
        }
    }
}

/// Reserves of which nobody knows whether they were carried out.
pub(crate) struct Doubts {
    places: Arc<Semaphore>,
}

impl Doubts {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Finds out aside whether a reserve was carried out, and gives back what it holds.
    fn look_into(&self, app: &Arc<App>, user: Uuid, amount: Credits, key: Uuid) {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return lost() };
        let app_then = app.clone();
        app.tasks.spawn(async move {
            let _place = place;
            tokio::select! {
                () = give_back(&app_then, user, amount, key) => {}
                () = app_then.cut.cancelled() => lost(),
            }
        });
    }
}

async fn give_back(app: &App, user: Uuid, amount: Credits, key: Uuid) {
    let hold = Hold { user, amount, key: key.to_string() };
    let mut pause = FIRST_PAUSE;
    for tried in 1..=TRIES {
        match app.ledger.hold(&hold).await {
            Ok(reserved) => {
                let instruction = Instruction { reservation: reserved.id, user, action: Action::Release, amount };
                return app.outbox.release(instruction).await;
            }
            Err(LedgerError::Unavailable(_)) if tried < TRIES => {
                sleep(pause).await;
                pause *= 2;
            }
            Err(LedgerError::Unavailable(_)) => lost(),
            // It says no, and would have said so before: nothing is held back.
            Err(_) => return,
        }
    }
}

/// What it may hold back is given back when it expires.
fn lost() {
    metrics::counter!("chat_reserves_lost_total").increment(1);
    tracing::debug!("whether a reserve was carried out is not known; what it holds expires");
}
