//! Reserves on their way to the ledger. One that comes alone goes alone and at once; while as many calls as may be are under way,
//! what comes gathers, and goes together in the next one. So nobody waits for company, and a crowd costs few calls and few of the
//! ledger's commits.
//!
//! Each has its own outcome. A call that is lost leaves each of those in it in doubt (`held.rs`).

use std::sync::Arc;

use kit::context::{self, Context};
use kit::{Credits, failpoint, trace};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use crate::failure::Failure;
use crate::ledger::{Hold, Ledger, LedgerError, MOST_TOGETHER, Reserved, unavailable};
use crate::limits::LEDGER_PATIENCE;

/// Calls under way: while the ledger carries out one, the next is there already. With more of them each would hold less.
const CALLS: usize = 2;

/// Reserves that wait: a fraction of a second's worth at what the ledger does.
const QUEUE: usize = 1_024;

/// Longest wait, the queue included: for the call that is under way, and for one's own.
const PATIENCE: std::time::Duration = LEDGER_PATIENCE.saturating_mul(2);

/// Where credits are held back for answers.
pub(crate) struct Reserves {
    ledger: Ledger,
    calls: Arc<Semaphore>,
    queue: mpsc::Sender<Asked>,
}

struct Asked {
    hold: Hold,
    /// The request it is for.
    context: Option<Context>,
    told: oneshot::Sender<Result<Reserved, LedgerError>>,
}

impl Reserves {
    /// Starts what gathers them; it ends when nobody can ask any more.
    pub(crate) fn start(ledger: Ledger) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        let calls = Arc::new(Semaphore::new(CALLS));
        tokio::spawn(gather(ledger.clone(), calls.clone(), asked));
        Self { ledger, calls, queue }
    }

    /// Holds `price` back for one answer, or refuses: the one place where an answer is admitted.
    pub(crate) async fn reserve(&self, user: Uuid, price: Credits, key: Uuid) -> Result<Reserved, Failure> {
        failpoint::here("chat: before reserving");
        let outcome = self.ask(Hold { user, amount: price, key: key.to_string() }).await;
        failpoint::here("chat: reserved");
        outcome.map_err(|error| match error {
            LedgerError::OutOfCredits => Failure::OutOfCredits { price },
            LedgerError::AccountClosed => Failure::AccountClosed,
            error => unavailable(&error),
        })
    }

    async fn ask(&self, hold: Hold) -> Result<Reserved, LedgerError> {
        if let Ok(_place) = self.calls.try_acquire() {
            return self.ledger.hold(&hold).await;
        }
        // How long it waited for the others shows in the request's trace.
        trace::step("reserve_together", async {
            let (told, outcome) = oneshot::channel();
            let asked = Asked { hold, context: context::current(), told };
            let ask = async {
                self.queue.send(asked).await.map_err(|_| lost())?;
                outcome.await.unwrap_or_else(|_| Err(lost()))
            };
            timeout(PATIENCE, ask).await.unwrap_or_else(|_| Err(lost()))
        })
        .await
    }
}

fn lost() -> LedgerError {
    LedgerError::Unavailable("a call for several came to no end".into())
}

/// Sends what has gathered whenever a call may go.
async fn gather(ledger: Ledger, calls: Arc<Semaphore>, mut asked: mpsc::Receiver<Asked>) {
    while let Some(first) = asked.recv().await {
        let Ok(place) = calls.clone().acquire_owned().await else { return };
        let mut batch = vec![first];
        while batch.len() < MOST_TOGETHER
            && let Ok(next) = asked.try_recv()
        {
            batch.push(next);
        }
        // Whoever has given up was told that nothing is known; so nothing is done.
        batch.retain(|asked| !asked.told.is_closed());
        let ledger = ledger.clone();
        tokio::spawn(async move {
            ask_for(&ledger, batch).await;
            drop(place);
        });
    }
}

/// Makes one call for all, and tells each what came of theirs.
async fn ask_for(ledger: &Ledger, batch: Vec<Asked>) {
    let context = Context::of_several(batch.iter().filter_map(|asked| asked.context.as_ref()));
    let (holds, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|asked| (asked.hold, asked.told)).unzip();
    let call = ledger.hold_many(&holds);
    let outcomes = match context {
        Some(context) => context.scope(call).await,
        None => call.await,
    };
    for (told, outcome) in waiting.into_iter().zip(outcomes) {
        // Who no longer waits asks about it aside.
        let _ = told.send(outcome);
    }
}
