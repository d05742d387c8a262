//! Every way an answer does not come about, with what the caller is told: one list for both protocols.

use std::time::Duration;

use axum::http::StatusCode;

use kit::{FieldError, Problem};

use crate::budgets::Whose;

/// Why there is no answer. Whoever gets one of these pays nothing, but for the one that says what it cost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the request is not valid")]
    Invalid(Vec<FieldError>),
    #[error("there is no such conversation")]
    NoConversation,
    #[error("not enough credits: this answer costs {price}")]
    OutOfCredits {
        /// What the answer would have cost.
        price: kit::Credits,
    },
    #[error(
        "this account is closed, so no model was called and nothing was charged; whoever runs this service can open it again"
    )]
    AccountClosed,
    #[error("the credits ledger does not answer, so no model was called and nothing was charged; try again shortly")]
    LedgerUnavailable,
    #[error("this {whose} may make {limit} requests a minute; try again in {} s", retry_after.as_secs())]
    TooMany {
        /// Whose limit it is.
        whose: Whose,
        /// The limit.
        limit: u64,
        /// When the next minute begins.
        retry_after: Duration,
    },
    #[error(
        "this {whose} may spend {limit} credits a day, and {price} more would go beyond; it begins anew at midnight UTC"
    )]
    BudgetSpent {
        /// Whose limit it is.
        whose: Whose,
        /// The limit.
        limit: kit::Credits,
        /// What would have been held back.
        price: kit::Credits,
    },
    #[error("this Idempotency-Key came with another body before; use a new key for another call")]
    KeyReused,
    #[error("the call of this Idempotency-Key is still under way; try again shortly")]
    InProgress,
    #[error(
        "the call of this Idempotency-Key was answered, but the answer has been deleted since; nothing was charged again"
    )]
    AnswerDeleted,
    #[error("the model gave no answer, so nothing was charged: {0}")]
    Model(ai::Error),
    #[error("the conversation was deleted while the model was answering; nothing was charged")]
    ConversationGone,
    #[error(
        "the conversation was deleted while the model was answering; what had been given of the answer cost {charged}, and nothing of it is kept"
    )]
    DeletedUnderway {
        /// What it cost.
        charged: kit::Credits,
    },
    #[error("the answer could not be stored, so nothing was charged; try again shortly")]
    Storage,
    #[error("the client left before the answer began; nothing was charged")]
    ClientGone,
    #[error("this instance of the service stops and could not wait for the answer; nothing was charged; ask again")]
    Stopping,
}

impl Failure {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoConversation => StatusCode::NOT_FOUND,
            Self::AccountClosed => StatusCode::FORBIDDEN,
            Self::OutOfCredits { .. } | Self::BudgetSpent { .. } => StatusCode::PAYMENT_REQUIRED,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::LedgerUnavailable | Self::Storage | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Model(error) => error.status(),
            Self::ConversationGone
            | Self::DeletedUnderway { .. }
            | Self::KeyReused
            | Self::InProgress
            | Self::AnswerDeleted => StatusCode::CONFLICT,
            // Nobody reads it; logs do. The number is the one proxies use for a client that closed the request.
            Self::ClientGone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }

    /// One word for machines: the last part of the problem's type, and, but for one, OpenAI's `code`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NoConversation => "not_found",
            Self::OutOfCredits { .. } => "out_of_credits",
            Self::AccountClosed => "account_disabled",
            Self::LedgerUnavailable => "ledger_unavailable",
            Self::TooMany { .. } => "rate_limit_exceeded",
            Self::BudgetSpent { .. } => "budget_spent",
            Self::KeyReused => "idempotency_key_reused",
            Self::InProgress => "idempotency_in_progress",
            Self::AnswerDeleted => "answer_deleted",
            Self::Model(error) => error.code(),
            Self::ConversationGone | Self::DeletedUnderway { .. } => "conversation_deleted",
            Self::Storage => "storage_unavailable",
            Self::ClientGone => "client_gone",
            Self::Stopping => "stopping",
        }
    }

    /// The answer of the native API.
    pub(crate) fn problem(&self) -> Problem {
        let title = match self {
            Self::Invalid(errors) => return Problem::invalid(errors.clone()),
            Self::NoConversation => return Problem::not_found("conversation"),
            Self::OutOfCredits { .. } => return Problem::out_of_credits(self.sentence()),
            Self::AccountClosed => "This account is closed",
            Self::BudgetSpent { .. } => "The day's budget is spent",
            Self::TooMany { .. } => "Too many requests",
            Self::LedgerUnavailable | Self::Storage | Self::Stopping => "Not available at the moment",
            Self::Model(_) => "The model gave no answer",
            Self::ConversationGone
            | Self::DeletedUnderway { .. }
            | Self::KeyReused
            | Self::InProgress
            | Self::AnswerDeleted => "Conflict",
            Self::ClientGone => "The client left",
        };
        let problem = Problem::new(self.status(), self.code(), title).detail(self.sentence());
        Problem { retry_after_seconds: self.retry_after().map(|after| after.as_secs()), ..problem }
    }

    /// What is told to people.
    fn sentence(&self) -> String {
        let text = self.to_string();
        let mut letters = text.chars();
        letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
    }

    /// When to try again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { retry_after, .. } => Some(*retry_after),
            Self::LedgerUnavailable | Self::InProgress | Self::Storage | Self::Stopping => Some(Duration::from_secs(1)),
            // A provider that limits our calls need not say for how long.
            Self::Model(error) => {
                let soon = (error.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1));
                error.retry_after().or(soon)
            }
            _ => None,
        }
    }

    /// Whether making the same call again is of any use; `None` leaves it to what the status says.
    pub(crate) fn should_retry(&self) -> Option<bool> {
        match self {
            // Clients take 409 for a lock that will be free, and 5xx for something that passes.
            Self::KeyReused
            | Self::AnswerDeleted
            | Self::ConversationGone
            | Self::DeletedUnderway { .. }
            | Self::BudgetSpent { .. }
            | Self::Model(ai::Error::Refused { .. }) => Some(false),
            Self::InProgress | Self::TooMany { .. } => Some(true),
            _ => None,
        }
    }
}
