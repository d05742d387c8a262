//! Settles on their way to the ledger, behind the answers that they are for. Each is in the outbox already, so nobody waits for
//! them: what comes within a moment goes together, in one call and few of the ledger's commits.
//!
//! What finds the queue full, or is not delivered, is left to the outbox's dispatcher. A service that ends delivers what is in
//! the queue first. Until a settle is there, the ledger holds back all of its reservation; where some of it comes back, the same
//! person's next reserve waits for that ([`Settles::caught_up`]), and is told a balance that has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::context::{self, Context};
use kit::failpoint;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ledger::MOST_TOGETHER;
use crate::limits::LEDGER_PATIENCE;
use crate::outbox::{HEAD_START, Instruction, Outbox};

/// How long the first of several waits for the others. Long beside a commit, short beside anything that a person notices.
const LINGER: Duration = Duration::from_millis(30);

/// Settles that wait: what comes at the highest rate while one call takes all the time that it may.
const QUEUE: usize = 4_096;

/// Where settles are left.
pub(crate) struct Settles {
    queue: mpsc::Sender<Due>,
    giving_back: Arc<GivingBack>,
    /// Rings when somebody waits.
    hurry: Arc<Notify>,
}

enum Due {
    Settle(Settle),
    /// Told when all that came before is delivered.
    Told(oneshot::Sender<()>),
}

struct Settle {
    instruction: Instruction,
    since: Instant,
    /// The request that it is for.
    context: Option<Context>,
    /// Whether some of the reservation comes back.
    gives_back: bool,
}

/// Whose settles in the queue give something back, and how many.
#[derive(Default)]
struct GivingBack(Mutex<HashMap<Uuid, usize>>);

impl GivingBack {
    fn users(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, user: Uuid) {
        *self.users().entry(user).or_default() += 1;
    }

    fn end(&self, user: Uuid) {
        let mut users = self.users();
        if let Some(count) = users.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&user);
            }
        }
    }
}

impl Settles {
    /// The queue, and what empties it until told to stop; then it delivers what is left, and ends.
    pub(crate) fn new(outbox: Arc<Outbox>, stop: CancellationToken) -> (Self, impl Future<Output = ()>) {
        let (queue, due) = mpsc::channel(QUEUE);
        let (giving_back, hurry) = (Arc::<GivingBack>::default(), Arc::new(Notify::new()));
        let delivery = Delivery { outbox, due, giving_back: giving_back.clone(), hurry: hurry.clone(), stop };
        (Self { queue, giving_back, hurry }, delivery.run())
    }

    /// Leaves a settle that is written down already. `gives_back`: for less than is held.
    pub(crate) fn leave(&self, instruction: Instruction, gives_back: bool) {
        failpoint::here("chat: stored, not settled");
        let settle = Settle { instruction, since: Instant::now(), context: context::current(), gives_back };
        if gives_back {
            self.giving_back.begin(instruction.user);
        }
        if self.queue.try_send(Due::Settle(settle)).is_err() {
            if gives_back {
                self.giving_back.end(instruction.user);
            }
            metrics::counter!("chat_settles_left_total").increment(1);
            tracing::debug!(reservation = %instruction.reservation, "too many settles wait; this one is left to the outbox");
        }
    }

    /// Lets what a user's answers have not cost be given back now, if there is anything of the kind, and waits for it; not for
    /// longer than for the ledger.
    pub(crate) async fn caught_up(&self, user: Uuid) {
        if !self.giving_back.users().contains_key(&user) {
            return;
        }
        let (told, delivered) = oneshot::channel();
        let wait = async {
            if self.queue.send(Due::Told(told)).await.is_ok() {
                self.hurry.notify_one();
                // Ends in any case, and the ledger decides.
                let _ = delivered.await;
            }
        };
        let _ = timeout(LEDGER_PATIENCE, wait).await;
    }
}

/// What empties the queue.
struct Delivery {
    outbox: Arc<Outbox>,
    due: mpsc::Receiver<Due>,
    giving_back: Arc<GivingBack>,
    hurry: Arc<Notify>,
    stop: CancellationToken,
}

impl Delivery {
    async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            self.gather(&mut batch).await;
            if batch.is_empty() {
                return;
            }
            let (mut settles, mut waiting) = (Vec::with_capacity(batch.len()), Vec::new());
            for due in batch.drain(..) {
                match due {
                    Due::Settle(settle) => settles.push(settle),
                    Due::Told(told) => waiting.push(told),
                }
            }
            deliver(&self.outbox, &settles).await;
            for settle in settles.iter().filter(|settle| settle.gives_back) {
                self.giving_back.end(settle.instruction.user);
            }
            for told in waiting {
                // Who no longer waits has asked the ledger.
                let _ = told.send(());
            }
        }
    }

    /// What has come within a moment; nothing once there is nothing more to come.
    async fn gather(&mut self, batch: &mut Vec<Due>) {
        let stopping = tokio::select! {
            biased;
            taken = self.due.recv_many(batch, MOST_TOGETHER) => taken == 0,
            () = self.stop.cancelled() => true,
        };
        let waits = batch.iter().any(|due| matches!(due, Due::Told(_)));
        if !stopping && !waits && batch.len() < MOST_TOGETHER {
            tokio::select! {
                () = sleep(LINGER) => {}
                () = self.hurry.notified() => {}
                () = self.stop.cancelled() => {}
            }
        }
        while batch.len() < MOST_TOGETHER
            && let Ok(next) = self.due.try_recv()
        {
            batch.push(next);
        }
    }
}

/// Delivers a batch. What has waited for too long the dispatcher has taken over.
async fn deliver(outbox: &Outbox, settles: &[Settle]) {
    let in_time = || settles.iter().filter(|settle| settle.since.elapsed() < HEAD_START);
    let instructions: Vec<Instruction> = in_time().map(|settle| settle.instruction).collect();
    if instructions.is_empty() {
        return;
    }
    let call = outbox.settle(&instructions);
    match Context::of_several(in_time().filter_map(|settle| settle.context.as_ref())) {
        Some(context) => context.scope(call).await,
        None => call.await,
    }
}
