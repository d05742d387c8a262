//! Reserves on their way to the ledger. One that comes alone goes alone and at once; while as many calls as may be are under way,
//! what comes gathers, and goes together in the next one. So nobody waits for company, and a crowd costs few calls and few of the
//! ledger's commits.
//!
//! Each is told that it is admitted as soon as the ledger has decided it, and later what came of it ([`Admitted`]). A call that is lost leaves each of those in it in
//! doubt (`held.rs`).

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use kit::context::{self, Context};
use kit::{Credits, failpoint, trace};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use crate::failure::Failure;
use crate::holding::{Holding, Word};
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

/// Credits that the ledger has decided to hold back. Nothing may be delivered for them before that is durable.
pub(crate) struct Admitted {
    pub(crate) reserved: Reserved,
    /// Of a call that is this one's alone, it reads the answer on.
    outcome: Shared<BoxFuture<'static, Result<Reserved, LedgerError>>>,
}

struct Asked {
    hold: Hold,
    /// The request it is for.
    context: Option<Context>,
    told: Told,
}

/// Who is told that it is admitted, and where it hears what came of it.
type Told = oneshot::Sender<Result<(Reserved, Later), LedgerError>>;
type Later = oneshot::Receiver<Result<Reserved, LedgerError>>;

impl Admitted {
    /// `driving` is what has to be waited for to hear of it.
    fn new((reserved, later): (Reserved, Later), driving: impl Future<Output = ()> + Send + 'static) -> Self {
        let outcome = async move {
            driving.await;
            later.await.unwrap_or_else(|_| Err(lost()))
        };
        Self { reserved, outcome: outcome.boxed().shared() }
    }

    /// What came of it, once it is durable or is not to be.
    pub(crate) async fn outcome(&self) -> Result<Reserved, LedgerError> {
        self.outcome.clone().await
    }
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
    pub(crate) async fn reserve(&self, user: Uuid, price: Credits, key: Uuid) -> Result<Admitted, Failure> {
        failpoint::here("chat: before reserving");
        let outcome = self.ask(Hold { user, amount: price, key: key.to_string() }).await;
        failpoint::here("chat: reserved");
        outcome.map_err(|error| failure(&error, price))
    }

    async fn ask(&self, hold: Hold) -> Result<Admitted, LedgerError> {
        let (told, admitted) = oneshot::channel();
        if let Ok(place) = self.calls.clone().try_acquire_owned() {
            let begun = async {
                let mut call = Call::begin(&self.ledger, vec![hold], vec![told], place).await;
                call.hear().await;
                admitted.await.unwrap_or_else(|_| Err(lost())).map(|admitted| Admitted::new(admitted, call.hear_all()))
            };
            return trace::call("reserve", begun).await;
        }
        // How long it waited for the others shows in the request's trace.
        trace::step("reserve_together", async {
            let asked = Asked { hold, context: context::current(), told };
            let ask = async {
                self.queue.send(asked).await.map_err(|_| lost())?;
                admitted.await.unwrap_or_else(|_| Err(lost()))
            };
            let admitted = timeout(PATIENCE, ask).await.unwrap_or_else(|_| Err(lost()))?;
            Ok(Admitted::new(admitted, std::future::ready(())))
        })
        .await
    }
}

/// Why an answer is not admitted, or cannot be given.
pub(crate) fn failure(error: &LedgerError, price: Credits) -> Failure {
    match error {
        LedgerError::OutOfCredits => Failure::OutOfCredits { price },
        LedgerError::AccountClosed => Failure::AccountClosed,
        error => unavailable(error),
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
        if batch.is_empty() {
            continue;
        }
        tokio::spawn(ask_for(ledger.clone(), batch, place));
    }
}

/// Makes one call for all, and tells each what came of theirs.
async fn ask_for(ledger: Ledger, batch: Vec<Asked>, place: OwnedSemaphorePermit) {
    let context = Context::of_several(batch.iter().filter_map(|asked| asked.context.as_ref()));
    let (holds, told): (Vec<_>, Vec<_>) = batch.into_iter().map(|asked| (asked.hold, asked.told)).unzip();
    let call = trace::call("reserve_many", async {
        Call::begin(&ledger, holds, told, place).await.hear_all().await;
        Ok::<_, Infallible>(())
    });
    let Ok(()) = match context {
        Some(context) => context.scope(call).await,
        None => call.await,
    };
}

/// A call under way, and who waits for it.
struct Call {
    holding: Holding,
    waiting: Vec<Waiting>,
    _place: OwnedSemaphorePermit,
}

/// Who waits for one of the reserves in a call.
enum Waiting {
    Asked(Told),
    Admitted(oneshot::Sender<Result<Reserved, LedgerError>>),
    Told,
}

impl Call {
    async fn begin(ledger: &Ledger, holds: Vec<Hold>, told: Vec<Told>, place: OwnedSemaphorePermit) -> Self {
        let holding = ledger.hold_early(&holds).await;
        Self { holding, waiting: told.into_iter().map(Waiting::Asked).collect(), _place: place }
    }

    /// Passes on all that is still to be said.
    async fn hear_all(mut self) {
        while self.hear().await {}
    }

    /// Passes on the next word, if there is one.
    async fn hear(&mut self) -> bool {
        let Some((call, word)) = self.holding.word().await else { return false };
        let waiting = &mut self.waiting[call];
        // Who no longer waits asks about it aside.
        *waiting = match (std::mem::replace(waiting, Waiting::Told), word) {
            (Waiting::Asked(told), Word::Admitted(reserved)) => {
                let (later, outcome) = oneshot::channel();
                let _ = told.send(Ok((reserved, outcome)));
                Waiting::Admitted(later)
            }
            (Waiting::Asked(told), Word::Outcome(outcome)) => {
                let (later, heard) = oneshot::channel();
                let _ = later.send(outcome.clone());
                let _ = told.send(outcome.map(|reserved| (reserved, heard)));
                Waiting::Told
            }
            (Waiting::Admitted(later), Word::Outcome(outcome)) => {
                let _ = later.send(outcome);
                Waiting::Told
            }
            (waiting, _) => waiting,
        };
        true
    }
}
