//! The credits ledger as this service sees it: four calls to mana-core-auth, each bounded, none ever answered "yes" by
//! default. What cannot be understood counts as no answer.

use std::sync::Arc;
use std::time::Instant;

use kit::auth::SERVICE_TOKEN_HEADER;
use kit::client::InContext;
use kit::{Credits, Outage, failpoint, trace};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::failure::Failure;
use crate::ids::ReservationId;
use crate::limits::{LEDGER_PATIENCE, RESERVATION_TTL};
use crate::outbox::{Action, Instruction};

/// Why the ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The balance does not cover it.
    #[error("the balance does not cover it")]
    OutOfCredits,
    /// An operator has closed the account.
    #[error("the account is closed")]
    AccountClosed,
    /// The reservation was given back before: its time was over.
    #[error("the reservation was given back before: {0}")]
    GivenBack(String),
    /// It understood and will never do it: asking again is useless.
    #[error("the ledger refuses: {0}")]
    Refused(String),
    /// No answer, or none that can be understood: asking again may help.
    #[error("the ledger does not answer: {0}")]
    Unavailable(String),
}

/// Credits held back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    pub(crate) id: ReservationId,
    /// What is left beside them.
    pub(crate) left: Credits,
}

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
struct ReserveBody {
    user_id: Uuid,
    amount: Credits,
    idempotency_key: String,
    reason: &'static str,
    ttl_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReserveAnswer {
    reservation_id: Uuid,
    balance: Credits,
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

    /// Holds `price` back for one answer, or refuses: the one place where an answer is admitted.
    pub(crate) async fn reserve(&self, user: Uuid, price: Credits, key: Uuid) -> Result<Reserved, Failure> {
        failpoint::here("chat: before reserving");
        let answer = self.hold(user, price, key.to_string()).await;
        failpoint::here("chat: reserved");
        match answer {
            Ok(reserved) => Ok(reserved),
            Err(LedgerError::OutOfCredits) => Err(Failure::OutOfCredits { price }),
            Err(LedgerError::AccountClosed) => Err(Failure::AccountClosed),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Holds credits back under a key. Asked again with it, it says the same again.
    pub(crate) async fn hold(&self, user: Uuid, amount: Credits, key: String) -> Result<Reserved, LedgerError> {
        let body = ReserveBody {
            user_id: user,
            amount,
            idempotency_key: key,
            reason: "an answer in chat",
            ttl_seconds: RESERVATION_TTL.as_secs(),
        };
        let call = self.internal(self.http.post(self.url("/api/internal/credits/reserve"))).json(&body);
        let answer = self.call::<ReserveAnswer>("reserve", call).await?;
        Ok(Reserved { id: ReservationId(answer.reservation_id), left: answer.balance })
    }

    /// Settles or releases a reservation. Asked again it says the same again. Gives what is left.
    pub(crate) async fn resolve(&self, instruction: &Instruction) -> Result<Standing, LedgerError> {
        let (name, path) = match instruction.action {
            Action::Settle => ("settle", "/api/internal/credits/settle"),
            Action::Release => ("release", "/api/internal/credits/release"),
        };
        let body = ResolveBody {
            user_id: instruction.user,
            reservation_id: instruction.reservation.0,
            amount: (instruction.action == Action::Settle).then_some(instruction.amount),
        };
        self.call(name, self.internal(self.http.post(self.url(path))).json(&body)).await
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

    /// A call that only services may make.
    fn internal(&self, call: RequestBuilder) -> RequestBuilder {
        call.header(SERVICE_TOKEN_HEADER, self.service_token.expose_secret())
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// Makes a call and reads its answer, within [`LEDGER_PATIENCE`].
    async fn call<T: DeserializeOwned>(&self, name: &'static str, call: RequestBuilder) -> Result<T, LedgerError> {
        let started = Instant::now();
        let outcome = trace::call(name, async { read(call.in_context().timeout(LEDGER_PATIENCE)).await }).await;
        let label = match &outcome {
            Ok(_) => "ok",
            Err(LedgerError::OutOfCredits) => "out_of_credits",
            Err(LedgerError::AccountClosed) => "account_closed",
            Err(LedgerError::GivenBack(_)) => "given_back",
            Err(LedgerError::Refused(_)) => "refused",
            Err(LedgerError::Unavailable(_)) => "unavailable",
        };
        metrics::histogram!("chat_ledger_seconds", "call" => name, "outcome" => label).record(started.elapsed());
        match &outcome {
            Err(error @ LedgerError::Unavailable(_)) => self.outage.failed(error),
            _ => self.outage.answered(),
        }
        outcome
    }
}

async fn read<T: DeserializeOwned>(call: RequestBuilder) -> Result<T, LedgerError> {
    let again = call.try_clone();
    let answer = match (call.send().await, again) {
        // A connection that broke is tried once more: an instance that was replaced is the usual reason, and every call
        // carries a key that makes it the same call. One that timed out is not: its time is up.
        (Err(error), Some(again)) if !error.is_timeout() => again.send().await,
        (answer, _) => answer,
    };
    let answer = answer.map_err(|error| LedgerError::Unavailable(reason(&error)))?;
    match answer.status() {
        status if status.is_success() => answer
            .json()
            .await
            .map_err(|error| LedgerError::Unavailable(format!("its answer makes no sense: {}", reason(&error)))),
        StatusCode::PAYMENT_REQUIRED => Err(LedgerError::OutOfCredits),
        status @ (StatusCode::NOT_FOUND
        | StatusCode::CONFLICT
        | StatusCode::GONE
        | StatusCode::UNPROCESSABLE_ENTITY) => {
            let said = detail(answer).await;
            let given_back = said.starts_with("reservation_released:");
            let says = format!("{status}, {said}");
            Err(if given_back { LedgerError::GivenBack(says) } else { LedgerError::Refused(says) })
        }
        StatusCode::FORBIDDEN => {
            let said = detail(answer).await;
            let closed = said.starts_with("account_disabled:");
            Err(if closed {
                LedgerError::AccountClosed
            } else {
                LedgerError::Unavailable(format!("it answers 403, {said}"))
            })
        }
        // 401 is here on purpose, and so is any other 403: a wrong service token is put right by an operator, not by giving up.
        status => Err(LedgerError::Unavailable(format!("it answers {status}"))),
    }
}

/// The `detail` of a problem, for the log.
async fn detail(answer: reqwest::Response) -> String {
    let body: kit::ProblemBody = match answer.json().await {
        Ok(body) => body,
        Err(error) => return format!("without a problem that can be read ({})", reason(&error)),
    };
    format!("{}: {}", body.code, body.detail.unwrap_or_default())
}

/// An admission that was not given for want of an answer. Told to the caller in general; that the ledger is away is logged once.
fn unavailable(error: &LedgerError) -> Failure {
    tracing::debug!(%error, "no admission without the ledger");
    Failure::LedgerUnavailable
}

/// The innermost cause, without the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() }
}
