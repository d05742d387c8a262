//! How a model call fails, and what a caller's caller should see of it.

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;

/// The part of a call that a time limit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Making the connection.
    Connect,
    /// Waiting for the first token.
    FirstByte,
    /// Waiting for the next token.
    BetweenTokens,
    /// The call as a whole.
    Total,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::FirstByte => "first-byte",
            Self::BetweenTokens => "between-tokens",
            Self::Total => "total",
        })
    }
}

/// A model call that brought no answer. Nothing of it may be charged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The provider understood the call and declined it.
    #[error("{provider} refused the call with status {status}: {message}")]
    Refused {
        /// Which provider.
        provider: String,
        /// Its HTTP status.
        status: u16,
        /// Its reason, shortened; withheld when it is about our credentials.
        message: String,
        /// Its machine-readable code, when it gave one.
        code: Option<String>,
    },
    /// The provider wants fewer calls.
    #[error("{provider} limits the rate of our calls: {message}")]
    RateLimited {
        /// Which provider.
        provider: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// What it said, shortened.
        message: String,
        /// Its machine-readable code, when it gave one.
        code: Option<String>,
    },
    /// Too many failures lately: nobody was asked.
    #[error("{provider} is not asked for {model} at the moment, since it failed too often; it is tried again soon")]
    Suspended {
        /// Which provider.
        provider: String,
        /// Which model.
        model: String,
        /// When the next call is let through.
        retry_after: Duration,
    },
    /// As many calls as this model may have are under way, and as many as may wait are waiting.
    #[error("too many answers of {model} are being written at the moment; try again shortly")]
    Busy {
        /// Which provider.
        provider: String,
        /// Which model.
        model: String,
    },
    /// The provider has a fault of its own.
    #[error("{provider} failed with status {status}: {message}")]
    Failed {
        /// Which provider.
        provider: String,
        /// Its HTTP status.
        status: u16,
        /// Its reason, shortened.
        message: String,
    },
    /// No connection could be made.
    #[error("{provider} could not be reached: {reason}")]
    Unreachable {
        /// Which provider.
        provider: String,
        /// What the network said.
        reason: String,
    },
    /// A time limit passed.
    #[error("{provider} let the {phase} limit of {} ms pass", limit.as_millis())]
    TimedOut {
        /// Which provider.
        provider: String,
        /// Which limit.
        phase: Phase,
        /// How long it was.
        limit: Duration,
    },
    /// The answer began and broke off.
    #[error("the answer of {provider} broke off: {reason}")]
    Broken {
        /// Which provider.
        provider: String,
        /// Where it broke.
        reason: String,
    },
    /// The answer is longer than we take, whoever asked for so much.
    #[error("the answer of {provider}, or one piece of it, is longer than {limit} bytes")]
    TooLong {
        /// Which provider.
        provider: String,
        /// How long it may be.
        limit: usize,
    },
    /// The answer does not follow the protocol.
    #[error("the answer of {provider} makes no sense: {reason}")]
    BadAnswer {
        /// Which provider.
        provider: String,
        /// What was wrong.
        reason: String,
    },
}

impl Error {
    /// One word for metrics and machine-readable answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "model_refused",
            Self::RateLimited { .. } => "model_rate_limited",
            Self::Suspended { .. } => "model_suspended",
            Self::Busy { .. } => "busy",
            Self::Failed { .. } => "model_failed",
            Self::Unreachable { .. } => "model_unreachable",
            Self::TimedOut { .. } => "model_timed_out",
            Self::Broken { .. } => "model_stream_broken",
            Self::TooLong { .. } => "model_answer_too_long",
            Self::BadAnswer { .. } => "model_bad_answer",
        }
    }

    /// What an HTTP caller of ours should get.
    ///
    /// A provider's 429 becomes 503, so that nobody takes the provider's limit for our own. A refusal becomes 422 only
    /// when it speaks about the caller's input; one about our key, deployment or quota is our fault, so 502.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused { status: 400 | 413 | 422, .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited { .. } | Self::Suspended { .. } | Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TooLong { .. }
            | Self::BadAnswer { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// When asking again makes sense, as far as the provider said.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => *retry_after,
            Self::Suspended { retry_after, .. } => Some(*retry_after),
            Self::Busy { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// What the provider itself answered: its status and its code.
    pub fn cause(&self) -> (Option<u16>, Option<&str>) {
        match self {
            Self::Refused { status, code, .. } => (Some(*status), code.as_deref()),
            Self::RateLimited { code, .. } => (Some(429), code.as_deref()),
            Self::Failed { status, .. } => (Some(*status), None),
            _ => (None, None),
        }
    }

    /// Whether the same call may succeed a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::TooLong { .. }
            | Self::BadAnswer { .. }
            | Self::Suspended { .. }
            | Self::Busy { .. } => false,
            Self::TimedOut { phase, .. } => *phase != Phase::Total,
            _ => true,
        }
    }

    /// Whether another provider may do better: all but what is wrong with the call itself.
    pub fn is_ours_alone(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 413 | 422, .. } | Self::TooLong { .. })
    }

    /// Whether a limit of ours ended the answer. Whoever asks for much reaches one at will.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TimedOut { phase: Phase::Total, .. } | Self::TooLong { .. })
    }

    /// Whether it speaks against the provider's health. Nothing does that a caller brings about by what they ask for: it would
    /// suspend the model for everybody.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::TooLong { .. } | Self::Suspended { .. } | Self::Busy { .. })
    }

    /// Which provider it was.
    pub fn provider(&self) -> &str {
        match self {
            Self::Refused { provider, .. }
            | Self::RateLimited { provider, .. }
            | Self::Suspended { provider, .. }
            | Self::Busy { provider, .. }
            | Self::Failed { provider, .. }
            | Self::Unreachable { provider, .. }
            | Self::TimedOut { provider, .. }
            | Self::Broken { provider, .. }
            | Self::TooLong { provider, .. }
            | Self::BadAnswer { provider, .. } => provider,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Error {
        Error::Refused { provider: "p".into(), status, message: "m".into(), code: None }
    }

    #[test]
    fn a_callers_mistake_is_422_and_ours_is_502() {
        for (error, want) in [
            (refused(400), 422),
            (refused(413), 422),
            (refused(401), 502),
            (refused(404), 502),
            (Error::RateLimited { provider: "p".into(), retry_after: None, message: "m".into(), code: None }, 503),
            (Error::Failed { provider: "p".into(), status: 500, message: "m".into() }, 502),
            (Error::TimedOut { provider: "p".into(), phase: Phase::BetweenTokens, limit: Duration::from_secs(1) }, 504),
            (Error::Broken { provider: "p".into(), reason: "r".into() }, 502),
            (Error::TooLong { provider: "p".into(), limit: 1 }, 502),
        ] {
            assert_eq!(error.status().as_u16(), want, "{error}");
        }
    }
}
