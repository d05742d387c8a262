//! What is counted: one place for the names, so that alerts and dashboards can be written against them.
//!
//! | metric | labels | what |
//! |---|---|---|
//! | `chat_answers_total` | `outcome` | answers by how they ended: `ok`, `cancelled`, or the failure's code |
//! | `chat_answers_limited_total` | `code` | answers that a limit of ours ended, by what it would have been as a failure |
//! | `chat_answer_seconds` | | the whole lifecycle, successful answers only |
//! | `chat_added_seconds` | `part` (`before`, `after`) | what the platform adds: until the model is asked, and after its last word; successful answers only |
//! | `chat_limited_total` | `limit` (`requests`, `credits`) | calls beyond a budget of a person or a key |
//! | `chat_replays_total` | | answers given again to the same `Idempotency-Key` |
//! | `chat_price_capped_total` | | answers by tokens that would have cost more than was held back |
//! | `ai_breaker_open` | `model`, `provider` | 1 while a model is not asked, or only by a probe |
//! | `ai_retries_total`, `ai_fallbacks_total` | `model` | further calls to the same model, and calls to the next of a chain |
//! | `chat_model_seconds` | `model`, `provider`, `outcome` | the call to the provider alone |
//! | `chat_model_failures_total` | `model`, `provider`, `code` | calls that brought no answer |
//! | `chat_model_tokens_total` | `model`, `kind` (`prompt`, `completion`) | tokens as the provider counted them |
//! | `chat_ledger_seconds` | `call`, `outcome` | calls to the ledger |
//! | `chat_credits_charged_total` | | credits taken, in the ledger's smallest unit |
//! | `chat_balance_reads_total` | `source` (`cache`, `ledger`) | where balances came from |
//! | `chat_outbox_depth` | | instructions the ledger has not acknowledged |
//! | `chat_outbox_refused_total` | `action` | instructions the ledger refused for good |
//! | `chat_settles_left_total` | | settles for which there was no room behind their answers; the outbox has them |
//! | `chat_settles_late_total` | | answers whose reservation was given back before the ledger could be told, reserved anew |
//! | `requests_throttled_total` | | requests without a token beyond what their client address may make |
//! | `chat_settles_owed_total` | | times that the balance did not cover one of these: it is looked again each hour for thirty days |
//! | `chat_settles_lost_total` | | those that it did not cover then, or whose account is closed: delivered and not paid for |
//! | `chat_keys_refused_total` | | API keys that are unknown or revoked |
//! | `chat_reserves_lost_total` | | reserves without an answer of which it was not found out whether they were carried out |
//! | `chat_outbox_errors_total`, `chat_release_lost_total` | | what went wrong without anyone being told |

use std::time::{Duration, Instant};

use ai::Offer;

use crate::failure::Failure;
use crate::lifecycle::Answered;
use crate::speech::Said;

/// Counts a finished lifecycle and writes its one log line.
pub(crate) fn answered(outcome: &Result<Answered, Failure>, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let label = match outcome {
        Ok(answered) => {
            metrics::histogram!("chat_answer_seconds").record(took);
            let (conversation, message) = (answered.conversation, answered.message);
            tracing::info!(%conversation, %message, model = answered.model, finish = answered.finish, took_ms, "answered");
            if answered.finish == "cancelled" { "cancelled" } else { "ok" }
        }
        Err(failure) => {
            let code = failure.code();
            // An outage is said once, by whoever finds that something does not answer.
            let is_outage = matches!(failure, Failure::LedgerUnavailable | Failure::Storage);
            if failure.status().is_server_error() && !is_outage {
                tracing::warn!(error = %failure, code, took_ms, "not answered");
            } else {
                tracing::info!(error = %failure, code, took_ms, "not answered");
            }
            code
        }
    };
    metrics::counter!("chat_answers_total", "outcome" => label).increment(1);
}

/// Counts what the platform added to an answer: before the model was asked, and after its last word.
pub(crate) fn added(before: Duration, after: Duration) {
    metrics::histogram!("chat_added_seconds", "part" => "before").record(before);
    metrics::histogram!("chat_added_seconds", "part" => "after").record(after);
}

/// One call to a provider, measured from its beginning.
pub(crate) struct ModelCall {
    model: String,
    provider: String,
    started: Instant,
}

impl ModelCall {
    pub(crate) fn begin(offer: &Offer) -> Self {
        // Of the model that is asked first; the time of its fallbacks is part of it.
        Self { model: offer.model.clone(), provider: offer.provider.name().to_owned(), started: Instant::now() }
    }

    pub(crate) fn end(self, said: &Result<Said, Failure>) {
        let Self { model, provider, started } = self;
        let outcome = match said {
            Ok(said) => {
                if let Some(usage) = said.usage {
                    let tokens = |kind: &'static str, count: u32| {
                        metrics::counter!("chat_model_tokens_total", "model" => model.clone(), "kind" => kind)
                            .increment(count.into());
                    };
                    tokens("prompt", usage.prompt_tokens);
                    tokens("completion", usage.completion_tokens);
                }
                said.finish
            }
            Err(failure) => {
                if matches!(failure, Failure::Model(_)) {
                    let (model, provider) = (model.clone(), provider.clone());
                    metrics::counter!("chat_model_failures_total", "model" => model, "provider" => provider, "code" => failure.code())
                        .increment(1);
                }
                failure.code()
            }
        };
        metrics::histogram!("chat_model_seconds", "model" => model, "provider" => provider, "outcome" => outcome)
            .record(started.elapsed());
    }
}
