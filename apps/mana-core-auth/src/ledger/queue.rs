//! The one way into the ledger: a bounded queue, and a writer that carries out what has come together in one transaction.
//!
//! Nobody is answered before the commit that carries their call. Who reserves may be told before it that they are admitted ([`Ledger::reserve`]): that is decided
//! under the locks of the balance, and comes to nothing only where the commit does. What waits is bounded in number and in time; whoever is told
//! that the ledger is busy or away may ask the same again: a call is done once.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use kit::database::{Database, is_conflict, is_unavailable};
use kit::{Credits, clock, failpoint};
use sea_orm::DbErr;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::calls::{Answer, Ask, Call};
use super::gifts::Code;
use super::{Error, Now, Refusal, Reserved, Standing, history, storage};

/// Calls that wait. At the thousands a second that the writer does, a fraction of a second's worth.
const QUEUE: usize = 1_024;

/// Calls carried out in one transaction: enough that the commit's share is small, and its locks are short.
const BATCH: usize = 128;

/// Longest wait for an answer, the queue included: as long as a connection to the database is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a batch is tried when the database is away or another one is in the way.
const TRIES: u32 = 3;

/// The pause before the second try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(50);

/// Reservations given back in one go: a batch.
const EXPIRE_AT_ONCE: u64 = BATCH as u64;

/// Where the ledger is asked.
#[derive(Clone)]
pub(crate) struct Ledger {
    database: Database,
    queue: mpsc::Sender<Asked>,
}

/// What is to be undone, why, and by whom.
pub(crate) struct Undo {
    pub(crate) user: Uuid,
    pub(crate) posting: Uuid,
    pub(crate) reason: String,
    pub(crate) actor: String,
}

/// A call and who waits for its answer.
struct Asked {
    call: Call,
    now: Now,
    admitted: Option<Admitted>,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

/// Is told of a reservation once it is decided.
pub(crate) type Admitted = oneshot::Sender<Reserved>;

impl Ledger {
    /// Starts the writer; it ends when nobody can ask any more.
    pub(crate) fn start(database: Database) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        tokio::spawn(write(database.clone(), asked));
        Self { database, queue }
    }

    /// Gives credits; what can be spent after it.
    pub(crate) async fn grant(&self, ask: Ask, key: &str, now: Now) -> Result<Credits, Error> {
        let call = Call::Grant { ask, key: key.to_owned() };
        self.standing(call, now).await.map(|standing| standing.balance)
    }

    /// Holds credits back, if the balance covers them. `admitted` is told of it before it is durable: under the id that it has if it ever is, and with the balance of that moment.
    pub(crate) async fn reserve(
        &self,
        ask: Ask,
        key: &str,
        ttl: Duration,
        now: Now,
        admitted: Option<Admitted>,
    ) -> Result<Reserved, Error> {
        // Decided here, so that a batch that is tried again makes no other one of it.
        let call = Call::Reserve { ask, key: key.to_owned(), ttl, reservation: clock::new_id() };
        match self.ask_with(call, now, admitted).await? {
            Answer::Reserved(reserved) => Ok(reserved),
            Answer::Standing(_) => Err(Error::Fault),
        }
    }

    /// Spends what was reserved, or less of it; what can be spent after it. The same again gives the same answer.
    pub(crate) async fn settle(
        &self,
        user: Uuid,
        reservation: Uuid,
        amount: Option<Credits>,
        now: Now,
    ) -> Result<Standing, Error> {
        self.standing(Call::Settle { user, reservation, amount }, now).await
    }

    /// Gives back what was reserved; what can be spent after it. The same again gives the same answer.
    pub(crate) async fn release(&self, user: Uuid, reservation: Uuid, now: Now) -> Result<Standing, Error> {
        self.standing(Call::Release { user, reservation }, now).await
    }

    /// Turns a gift code into credits; what can be spent after it.
    pub(crate) async fn redeem(&self, user: Uuid, code: Code, now: Now) -> Result<Standing, Error> {
        self.standing(Call::Redeem { user, code }, now).await
    }

    /// Closes a user's accounts: gives back what is reserved, forfeits what is left, forgets keys and their answers. Nothing is
    /// given or reserved after it. The same again changes nothing. The entries stay; they name nobody but an id.
    pub(crate) async fn close(&self, user: Uuid, now: Now) -> Result<(), Error> {
        self.standing(Call::Close { user }, now).await?;
        storage::forget_keys(&self.database, user).await?;
        Ok(())
    }

    /// Gives back what nobody resolved in time; how many such reservations it gave back.
    pub(crate) async fn expire(&self, now: Now) -> Result<u64, Error> {
        let mut expired = 0;
        loop {
            let due = history::due(&self.database, now, EXPIRE_AT_ONCE).await?;
            let all = (due.len() as u64) < EXPIRE_AT_ONCE;
            let calls = due.into_iter().map(|(user, reservation)| self.ask(Call::Expire { user, reservation }, now));
            for outcome in futures_util::future::join_all(calls).await {
                match outcome {
                    Ok(_) => expired += 1,
                    // Somebody was faster, which is as good.
                    Err(Error::Refused(Refusal::Resolved { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
            if all {
                return Ok(expired);
            }
        }
    }

    /// Forfeits free credits that were given until `before`, as far as they are left; gives whose those were.
    pub(crate) async fn lapse(&self, before: i64, now: Now) -> Result<Vec<Uuid>, Error> {
        let (mut lapsed, mut after) = (Vec::new(), Uuid::nil());
        loop {
            let users = history::lapsing(&self.database, before, after, EXPIRE_AT_ONCE).await?;
            let Some(last) = users.last() else { return Ok(lapsed) };
            after = *last;
            let calls = users.iter().map(|user| self.ask(Call::Lapse { user: *user, before }, now));
            for (user, outcome) in users.iter().zip(futures_util::future::join_all(calls).await) {
                match outcome {
                    Ok(_) => lapsed.push(*user),
                    // They have been spent, or the account was closed, meanwhile.
                    Err(Error::Refused(Refusal::NothingLapses | Refusal::UnknownUser)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Undoes a posting of a user; what can be spent after it.
    pub(crate) async fn reverse(&self, undo: Undo, now: Now) -> Result<Credits, Error> {
        let Undo { user, posting, reason, actor } = undo;
        let call = Call::Reverse { user, posting, reason, actor };
        self.standing(call, now).await.map(|standing| standing.balance)
    }

    async fn standing(&self, call: Call, now: Now) -> Result<Standing, Error> {
        match self.ask(call, now).await? {
            Answer::Standing(standing) => Ok(standing),
            Answer::Reserved(_) => Err(Error::Fault),
        }
    }

    async fn ask(&self, call: Call, now: Now) -> Result<Answer, Error> {
        self.ask_with(call, now, None).await
    }

    async fn ask_with(&self, call: Call, now: Now, admitted: Option<Admitted>) -> Result<Answer, Error> {
        let operation = call.operation();
        let began = Instant::now();
        let (answer, answered) = oneshot::channel();
        let asked = Asked { call, now, admitted, answer };
        let outcome = async {
            let sent = self.queue.send_timeout(asked, PATIENCE).await;
            sent.map_err(|_| Error::Busy)?;
            match timeout(PATIENCE.saturating_sub(began.elapsed()), answered).await {
                Ok(Ok(outcome)) => outcome,
                // Its batch panicked.
                Ok(Err(_)) => Err(Error::Fault),
                Err(_) => Err(Error::Busy),
            }
        };
        let outcome = outcome.await;
        let label = match &outcome {
            Ok(_) => "ok",
            Err(Error::Refused(refusal)) => refusal.label(),
            Err(Error::Busy) => "busy",
            Err(Error::Away | Error::Database(_)) => "away",
            Err(Error::Fault) => "fault",
        };
        metrics::counter!("ledger_calls_total", "operation" => operation, "outcome" => label).increment(1);
        metrics::histogram!("ledger_call_seconds", "operation" => operation).record(began.elapsed());
        outcome
    }
}

/// Carries out what is asked until nobody can ask any more.
async fn write(database: Database, mut asked: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(BATCH);
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        metrics::gauge!("ledger_queue_depth").set(f64::from(u32::try_from(asked.len()).unwrap_or(u32::MAX)));
        // Whoever has given up was told that nothing is known; so nothing is done.
        batch.retain(|asked| !asked.answer.is_closed());
        let batch = std::mem::take(&mut batch);
        // A panic, whose message the panic hook has written, costs this batch alone. What it has seen is gone with it.
        if AssertUnwindSafe(carry_out_all(&database, batch)).catch_unwind().await.is_err() {
            tracing::error!("a batch of the ledger panicked; it has changed nothing");
        }
    }
}

/// Carries out a batch and answers; where one of its calls cannot be written, each by itself.
async fn carry_out_all(database: &Database, batch: Vec<Asked>) {
    let (mut calls, mut admitted, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for asked in batch {
        calls.push((asked.call, asked.now));
        admitted.push(asked.admitted);
        answers.push(asked.answer);
    }
    if calls.is_empty() {
        return;
    }
    let outcomes = match carry_out(database, &calls, &mut admitted).await {
        Err(Broken::Wrong) if calls.len() > 1 => {
            let mut outcomes = Vec::new();
            for (call, admitted) in calls.iter().zip(&mut admitted) {
                let outcome = carry_out(database, std::slice::from_ref(call), std::slice::from_mut(admitted)).await;
                outcomes.push(outcome.map_err(Error::from).and_then(|mut one| one.remove(0)));
            }
            outcomes
        }
        Ok(outcomes) => outcomes,
        Err(broken) => calls.iter().map(|_| Err(Error::from(broken))).collect(),
    };
    failpoint::here("ledger: before answering");
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // Who has left in the meantime asks again, and is answered the same.
        let _ = answer.send(outcome);
    }
}

/// Why a batch was not carried out; logged where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// The database is away.
    Away,
    /// The database refuses what was to be written.
    Wrong,
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Away => Self::Away,
            Broken::Wrong => Self::Fault,
        }
    }
}

async fn carry_out(
    database: &Database,
    calls: &[(Call, Now)],
    admitted: &mut [Option<Admitted>],
) -> Result<Vec<Result<Answer, Error>>, Broken> {
    let mut pause = PAUSE;
    let mut tried = 0;
    let first = Instant::now();
    loop {
        let began = Instant::now();
        // After that nobody waits for it any more; the others are not to wait behind it.
        let transacted = transact(database, calls, tried > 0, admitted);
        let error = match timeout(PATIENCE.saturating_sub(first.elapsed()), transacted).await {
            Ok(Ok(outcomes)) => {
                metrics::histogram!("ledger_batch_seconds").record(began.elapsed());
                metrics::counter!("ledger_batches_total").increment(1);
                return Ok(outcomes);
            }
            Ok(Err(error)) => error,
            Err(_) => database.no_answer(PATIENCE),
        };
        tried += 1;
        let away = is_unavailable(&error);
        let chain = kit::chain(&error);
        if !away && !is_conflict(&error) {
            tracing::error!(error = chain, calls = calls.len(), "the database refuses what the ledger writes");
            metrics::counter!("ledger_batches_refused_total").increment(1);
            return Err(Broken::Wrong);
        }
        // That the database is away is said by whoever asks it, once.
        if tried == TRIES || first.elapsed() >= PATIENCE {
            tracing::debug!(error = chain, calls = calls.len(), tried, "the ledger's database does not answer");
            metrics::counter!("ledger_batches_given_up_total").increment(1);
            return Err(Broken::Away);
        }
        metrics::counter!("ledger_retries_total").increment(1);
        tracing::debug!(error = chain, calls = calls.len(), tried, "a batch of the ledger is tried again");
        sleep(pause).await;
        pause *= 2;
    }
}

/// One transaction. That the commit's answer was lost does no harm: tried again, each call finds itself done.
async fn transact(
    database: &Database,
    calls: &[(Call, Now)],
    repeated: bool,
    admitted: &mut [Option<Admitted>],
) -> Result<Vec<Result<Answer, Error>>, DbErr> {
    failpoint::here("ledger: before the transaction");
    let transaction = database.begin_write().await?;
    let asked: Vec<&Call> = calls.iter().map(|(call, _)| call).collect();
    let mut book = storage::read(&transaction, &asked).await?;
    book.repeated = repeated;
    failpoint::here("ledger: read");
    let mut ids = clock::new_id;
    let outcomes: Vec<_> =
        calls.iter().map(|(call, now)| book.carry_out(call, *now, &mut ids).map_err(Error::from)).collect();
    if book.changes.is_empty() {
        transaction.rollback().await?;
        return Ok(outcomes);
    }
    let statements = storage::writing(database.engine(), &book)?;
    for (outcome, admitted) in outcomes.iter().zip(admitted) {
        if let Ok(Answer::Reserved(reserved)) = outcome
            && let Some(told) = admitted.take()
        {
            // Who has left hears no more.
            let _ = told.send(reserved.clone());
        }
    }
    failpoint::here("ledger: admitted");
    transaction.commit_with(statements).await?;
    failpoint::here("ledger: committed");
    Ok(outcomes)
}
