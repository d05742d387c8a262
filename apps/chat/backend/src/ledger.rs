//! The credits ledger as this service sees it: four calls to mana-core-auth, each bounded, none ever answered "yes" by
//! default. What cannot be understood counts as no answer.
//!
//! Reserves and settles that come together go in one call (`…/many`), in which each has its own outcome. The ledger says of a reserve that it is admitted as soon as
//! that is decided, and what came of it once that is durable ([`Holding`]): a model can be asked meanwhile.

use std::sync::Arc;
use std::time::Instant;

use kit::auth::SERVICE_TOKEN_HEADER;
use kit::client::InContext;
use kit::{Credits, Outage, ProblemBody, trace};
use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::failure::Failure;
use crate::holding::{Holding, LINES};
use crate::ids::ReservationId;
use crate::limits::{LEDGER_PATIENCE, RESERVATION_TTL};
use crate::outbox::{Action, Instruction};

/// Why the ledger did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The balance does not cover it.
    #[error("the balance does not cover it")]
    OutOfCredits,
    /// An operator has closed the account.
    #[error("the account is closed")]
    AccountClosed,
    /// Nothing is held back by the reservation: its time was over, or the ledger died before what it had decided was durable.
    #[error("nothing is held back any more: {0}")]
    GivenBack(String),
    /// It understood and will never do it: asking again is useless.
    #[error("the ledger refuses: {0}")]
    Refused(String),
    /// No answer, or none that can be understood: asking again may help.
    #[error("the ledger does not answer: {0}")]
    Unavailable(String),
}

impl LedgerError {
    /// One word for the metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::OutOfCredits => "out_of_credits",
            Self::AccountClosed => "account_closed",
            Self::GivenBack(_) => "given_back",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Credits held back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    pub(crate) id: ReservationId,
    /// What is left beside them.
    pub(crate) left: Credits,
    /// Of what is left; see [`Standing::version`].
    pub(crate) version: Option<i64>,
}

/// Credits to hold back, under a key that makes it the same call when it comes again.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) user: Uuid,
    pub(crate) amount: Credits,
    pub(crate) key: String,
}

/// Calls of one kind that go together at most: as many as the ledger takes.
pub(crate) const MOST_TOGETHER: usize = 128;

/// The client of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    http: reqwest::Client,
    base: Url,
    service_token: SecretString,
    outage: Arc<Outage>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReserveBody<'a> {
    user_id: Uuid,
    amount: Credits,
    idempotency_key: &'a str,
    reason: &'static str,
    ttl_seconds: u64,
}

impl<'a> From<&'a Hold> for ReserveBody<'a> {
    fn from(hold: &'a Hold) -> Self {
        Self {
            user_id: hold.user,
            amount: hold.amount,
            idempotency_key: &hold.key,
            reason: "an answer in chat",
            ttl_seconds: RESERVATION_TTL.as_secs(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReserveAnswer {
    reservation_id: Uuid,
    balance: Credits,
    #[serde(default)]
    version: Option<i64>,
}

impl From<ReserveAnswer> for Reserved {
    fn from(answer: ReserveAnswer) -> Self {
        Self { id: ReservationId(answer.reservation_id), left: answer.balance, version: answer.version }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResolveBody {
    user_id: Uuid,
    reservation_id: Uuid,
    /// For settling.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Credits>,
}

impl From<&Instruction> for ResolveBody {
    fn from(instruction: &Instruction) -> Self {
        Self {
            user_id: instruction.user,
            reservation_id: instruction.reservation.0,
            amount: (instruction.action == Action::Settle).then_some(instruction.amount),
        }
    }
}

#[derive(Serialize)]
struct ManyBody<T> {
    calls: Vec<T>,
}

#[derive(Deserialize)]
pub(crate) struct ManyAnswer<T> {
    pub(crate) outcomes: Vec<OneOutcome<T>>,
}

/// What came of one of several calls.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OneOutcome<T> {
    Done(T),
    Problem(ProblemBody),
}

/// What a user has, as the ledger says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Standing {
    pub(crate) balance: Credits,
    /// Rises with each change; absent where an answer is repeated.
    #[serde(default)]
    pub(crate) version: Option<i64>,
}

impl Ledger {
    /// A client of the ledger at `base`.
    pub(crate) fn new(base: Url, service_token: SecretString) -> Self {
        let outage = Arc::new(Outage::new("mana-core-auth"));
        Self { http: kit::client::internal(), base, service_token, outage }
    }

    /// What the user has.
    pub(crate) async fn balance(&self, user: Uuid) -> Result<Standing, Failure> {
        let mut url = self.url("/api/internal/credits/balance");
        url.query_pairs_mut().append_pair("userId", &user.to_string());
        let call = self.internal(self.http.get(url));
        self.call("balance", call).await.map_err(|error| unavailable(&error))
    }

    /// Holds credits back under a key. Asked again with it, it says the same again.
    pub(crate) async fn hold(&self, hold: &Hold) -> Result<Reserved, LedgerError> {
        let call = self.post("/api/internal/credits/reserve", &ReserveBody::from(hold));
        self.call::<ReserveAnswer>("reserve", call).await.map(Reserved::from)
    }

    /// As [`Ledger::hold`], for several at once: at most [`MOST_TOGETHER`]. What is said of each comes as it is said.
    pub(crate) async fn hold_early(&self, holds: &[Hold]) -> Holding {
        let calls: Vec<ReserveBody<'_>> = holds.iter().map(ReserveBody::from).collect();
        let call = self.post("/api/internal/credits/reserve/many", &ManyBody { calls });
        let call = call.header(ACCEPT, LINES).in_context().timeout(LEDGER_PATIENCE);
        Holding::begin(call, holds.len(), self.outage.clone()).await
    }

    /// Settles or releases a reservation. Asked again it says the same again. Gives what is left.
    pub(crate) async fn resolve(&self, instruction: &Instruction) -> Result<Standing, LedgerError> {
        let (name, path) = match instruction.action {
            Action::Settle => ("settle", "/api/internal/credits/settle"),
            Action::Release => ("release", "/api/internal/credits/release"),
        };
        self.call(name, self.post(path, &ResolveBody::from(instruction))).await
    }

    /// Settles several reservations at once: at most [`MOST_TOGETHER`]. Each has its own outcome, in their order.
    pub(crate) async fn settle_many(&self, settles: &[Instruction]) -> Vec<Result<Standing, LedgerError>> {
        if let [one] = settles {
            return vec![self.resolve(one).await];
        }
        let calls: Vec<ResolveBody> = settles.iter().map(ResolveBody::from).collect();
        let call = self.post("/api/internal/credits/settle/many", &ManyBody { calls });
        self.many("settle_many", settles.len(), call).await
    }

    /// Whether the session of an access token goes on. The token alone is believed until it expires; what outlives it must
    /// not be made with the token of a session that has ended.
    pub(crate) async fn session_lives(&self, token: &SecretString) -> Result<bool, Failure> {
        let call = self.http.get(self.url("/api/auth/me")).bearer_auth(token.expose_secret());
        let answer = call.in_context().timeout(LEDGER_PATIENCE).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(true),
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => Ok(false),
            Ok(answer) => Err(unavailable(&LedgerError::Unavailable(format!("it answers {}", answer.status())))),
            Err(error) => Err(unavailable(&LedgerError::Unavailable(reason(&error)))),
        }
    }

    /// Whether it lives.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        let answer = self.http.get(self.url("/api/health/ready")).timeout(LEDGER_PATIENCE).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status())),
            Err(error) => Err(reason(&error)),
        }
    }

    fn post(&self, path: &str, body: &impl Serialize) -> RequestBuilder {
        self.internal(self.http.post(self.url(path))).json(body)
    }

    /// A call that only services may make.
    fn internal(&self, call: RequestBuilder) -> RequestBuilder {
        call.header(SERVICE_TOKEN_HEADER, self.service_token.expose_secret())
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// Makes a call that is several, and tells what came of each: all have no answer where the whole has none.
    async fn many<T: DeserializeOwned>(
        &self,
        name: &'static str,
        calls: usize,
        call: RequestBuilder,
    ) -> Vec<Result<T, LedgerError>> {
        if calls == 0 {
            return Vec::new();
        }
        let wrong = match self.call::<ManyAnswer<T>>(name, call).await {
            Ok(answer) if answer.outcomes.len() == calls => {
                return answer.outcomes.into_iter().map(OneOutcome::into_result).collect();
            }
            Ok(answer) => format!("it answers {} of {calls} calls", answer.outcomes.len()),
            // What is said of the whole is about the way it was asked, and nothing about any of them.
            Err(error) => error.to_string(),
        };
        (0..calls).map(|_| Err(LedgerError::Unavailable(wrong.clone()))).collect()
    }

    /// Makes a call and reads its answer, within [`LEDGER_PATIENCE`].
    async fn call<T: DeserializeOwned>(&self, name: &'static str, call: RequestBuilder) -> Result<T, LedgerError> {
        let started = Instant::now();
        let outcome = trace::call(name, async { read(call.in_context().timeout(LEDGER_PATIENCE)).await }).await;
        let label = outcome.as_ref().map_or_else(LedgerError::label, |_| "ok");
        metrics::histogram!("chat_ledger_seconds", "call" => name, "outcome" => label).record(started.elapsed());
        match &outcome {
            Err(error @ LedgerError::Unavailable(_)) => self.outage.failed(error),
            _ => self.outage.answered(),
        }
        outcome
    }
}

/// Sends a call.
pub(crate) async fn send(call: RequestBuilder) -> Result<Response, LedgerError> {
    let again = call.try_clone();
    let answer = match (call.send().await, again) {
        // A connection that broke is tried once more: an instance that was replaced is the usual reason, and every call
        // carries a key that makes it the same call. One that timed out is not: its time is up.
        (Err(error), Some(again)) if !error.is_timeout() => again.send().await,
        (answer, _) => answer,
    };
    answer.map_err(|error| LedgerError::Unavailable(reason(&error)))
}

async fn read<T: DeserializeOwned>(call: RequestBuilder) -> Result<T, LedgerError> {
    let answer = send(call).await?;
    let status = answer.status();
    if status.is_success() {
        let senseless = |error| LedgerError::Unavailable(format!("its answer makes no sense: {}", reason(&error)));
        return answer.json().await.map_err(senseless);
    }
    Err(refused(answer).await)
}

/// What an answer means that is no success.
pub(crate) async fn refused(answer: Response) -> LedgerError {
    let status = answer.status();
    refusal(status, &answer.json().await.map_err(|error| reason(&error)), false)
}

impl<T> OneOutcome<T> {
    pub(crate) fn into_result(self) -> Result<T, LedgerError> {
        let problem = match self {
            Self::Done(done) => return Ok(done),
            Self::Problem(problem) => problem,
        };
        match StatusCode::from_u16(problem.status) {
            Ok(status) => Err(refusal(status, &Ok(problem), true)),
            Err(_) => Err(LedgerError::Unavailable(format!("it answers {}", problem.status))),
        }
    }
}

/// What an answer that is no success means; with the problem it comes with, or why there is none. `of_ledger`: it is part of an answer
/// that a ledger alone gives.
fn refusal(status: StatusCode, problem: &Result<ProblemBody, String>, of_ledger: bool) -> LedgerError {
    let is = |code: &str| problem.as_ref().is_ok_and(|problem| problem.code == code);
    let says = || match problem {
        Ok(body) => format!("{status}, {}: {}", body.code, body.detail.as_deref().unwrap_or_default()),
        Err(why) => format!("{status}, without a problem that can be read ({why})"),
    };
    match status {
        StatusCode::PAYMENT_REQUIRED => LedgerError::OutOfCredits,
        StatusCode::CONFLICT if is("reservation_released") => LedgerError::GivenBack(says()),
        // It keeps them all, but for those that it died over.
        StatusCode::NOT_FOUND if is("unknown_reservation") => LedgerError::GivenBack(says()),
        StatusCode::CONFLICT if is("conflict") => LedgerError::Refused(says()),
        StatusCode::NOT_FOUND if is("unknown_account") => LedgerError::Refused(says()),
        StatusCode::UNPROCESSABLE_ENTITY if of_ledger => LedgerError::Refused(says()),
        StatusCode::FORBIDDEN if is("account_disabled") => LedgerError::AccountClosed,
        // 401 is here on purpose, and so is any other 403: a wrong service token is put right by an operator, not by giving up. So are
        // answers that a ledger does not give to such a call: another service at its address, or one of another version.
        _ => LedgerError::Unavailable(format!("it answers {}", says())),
    }
}

/// An admission that was not given for want of an answer. Told to the caller in general; that the ledger is away is logged once.
pub(crate) fn unavailable(error: &LedgerError) -> Failure {
    tracing::debug!(%error, "no admission without the ledger");
    Failure::LedgerUnavailable
}

/// The innermost cause, without the URL.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: &str, want: &str) {
        let outcome: OneOutcome<Standing> = serde_json::from_str(outcome).unwrap();
        let told = match outcome.into_result() {
            Ok(standing) => format!("{} {:?}", standing.balance, standing.version),
            Err(error) => error.to_string(),
        };
        assert!(told.starts_with(want), "{told}");
    }

    #[test]
    fn one_of_several_outcomes_means_what_it_would_alone() {
        let problem = |status: u16, code: &str| {
            format!(
                r#"{{"problem":{{"type":"urn:mana:problem:{code}","title":"t","status":{status},"code":"{code}"}}}}"#
            )
        };
        check(r#"{"done":{"balance":0.5,"version":7}}"#, "0.5 Some(7)");
        check(r#"{"done":{"balance":3}}"#, "3 None");
        check(&problem(402, "out_of_credits"), "the balance does not cover it");
        check(&problem(403, "account_disabled"), "the account is closed");
        check(&problem(403, "forbidden"), "the ledger does not answer");
        check(&problem(409, "reservation_released"), "nothing is held back any more");
        check(&problem(409, "conflict"), "the ledger refuses");
        check(&problem(404, "unknown_reservation"), "nothing is held back any more");
        check(&problem(404, "unknown_account"), "the ledger refuses");
        check(&problem(404, "not_found"), "the ledger does not answer");
        check(&problem(422, "invalid"), "the ledger refuses");
        check(&problem(503, "ledger_busy"), "the ledger does not answer");
        check(&problem(1, "what"), "the ledger does not answer");
    }

    #[test]
    fn what_another_service_would_answer_is_no_refusal() {
        let problem = |code: &str| {
            let body = format!(r#"{{"type":"urn:mana:problem:{code}","title":"t","status":404,"code":"{code}"}}"#);
            Ok(serde_json::from_str(&body).unwrap())
        };
        let unreadable = || Err("it is HTML".to_owned());
        for (status, problem) in [
            (StatusCode::NOT_FOUND, problem("not_found")),
            (StatusCode::NOT_FOUND, unreadable()),
            (StatusCode::CONFLICT, unreadable()),
            (StatusCode::GONE, unreadable()),
            (StatusCode::UNPROCESSABLE_ENTITY, problem("invalid")),
        ] {
            let told = refusal(status, &problem, false);
            assert!(matches!(told, LedgerError::Unavailable(_)), "{told}");
        }
        let told = refusal(StatusCode::NOT_FOUND, &problem("unknown_account"), false);
        assert!(matches!(told, LedgerError::Refused(_)), "{told}");
    }
}
