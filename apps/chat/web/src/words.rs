//! What a person is told when something does not work: what happened, whether it cost anything, and what to do next.
//!
//! To add a case: a line in [`of`], by the code that the other service answers with.

use axum::http::StatusCode;

use crate::upstream::{Failure, Refusal};

/// Status, code for scripts, and words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) text: String,
}

impl Words {
    pub(crate) fn new(status: StatusCode, code: &str, text: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), text: text.into() }
    }
}

/// The words for a failed call.
pub(crate) fn of(failure: &Failure) -> Words {
    match failure {
        Failure::Away { service: "mana-core-auth", .. } => auth_away(),
        Failure::Away { .. } => Words::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "backend_away",
            "Chat cannot be reached at the moment. Try again shortly; only answers you received are charged.",
        ),
        Failure::Refused { refusal, .. } => refused(refusal),
    }
}

/// The words for a sign-in service that does not answer.
pub(crate) fn auth_away() -> Words {
    let text = "The sign-in service cannot be reached at the moment. Your account is safe; try again shortly.";
    Words::new(StatusCode::SERVICE_UNAVAILABLE, "auth_away", text)
}

/// The words for what this service itself needs and cannot reach, such as its database.
pub(crate) fn away(code: &str) -> Words {
    let text = "This site cannot look up what it needs at the moment. You stay signed in; try again shortly.";
    Words::new(StatusCode::SERVICE_UNAVAILABLE, code, text)
}

/// The words for an answer that its reader ended.
pub(crate) fn stopped() -> Words {
    Words::new(StatusCode::CONFLICT, "stopped", "This answer was stopped.")
}

/// The words for an answer that ended without a word of its own.
pub(crate) fn broken_off() -> Words {
    let text = "The answer broke off on our side. It has been noted; reload the page to see what was kept.";
    Words::new(StatusCode::INTERNAL_SERVER_ERROR, "broken_off", text)
}

/// The words for a form that no page of ours sends.
pub(crate) fn unreadable() -> Words {
    let text = "This form cannot be read. Nothing was charged; reload the page and send it again.";
    Words::new(StatusCode::UNPROCESSABLE_ENTITY, "unreadable", text)
}

fn refused(refusal: &Refusal) -> Words {
    let text = match refusal.code.as_str() {
        "out_of_credits" => "You do not have enough credits for this message. Nothing was charged.".to_owned(),
        "ledger_unavailable" => {
            "Credits cannot be checked at the moment, so nothing was asked and nothing charged. Try again shortly."
                .to_owned()
        }
        "busy" => "Many people are asking at the moment. Nothing was charged; try again in a few seconds.".to_owned(),
        "conversation_deleted" => {
            "This conversation was deleted meanwhile. Only what had been shown of an answer is charged.".to_owned()
        }
        "idempotency_key_reused" => {
            "This question was asked already, and its answer is kept: look for it among your conversations. Nothing was charged again."
                .to_owned()
        }
        "answer_deleted" => "The answer to this question was deleted meanwhile. Nothing was charged again.".to_owned(),
        "idempotency_in_progress" => {
            "The answer to this question is still being written. Reload the page in a while to see it.".to_owned()
        }
        "storage_unavailable" => "The answer could not be kept, so nothing was charged. Try again shortly.".to_owned(),
        "wrong_password" => "The password is wrong. Nothing was changed.".to_owned(),
        "account_disabled" => "This account is closed. Whoever runs this service can open it again.".to_owned(),
        "sign_in_again" => "Sign out and in again first: this needs a sign-in of the last ten minutes.".to_owned(),
        "mail_unavailable" => "This service cannot send letters. Ask whoever runs it.".to_owned(),
        "provider_unavailable" => "The provider cannot be reached at the moment. Try again shortly.".to_owned(),
        "email_not_vouched_for" => "The provider does not vouch for your e-mail address.".to_owned(),
        "not_found" => "This conversation does not exist, or it is not yours.".to_owned(),
        "budget_spent" => {
            "The credits that may be spent in a day are spent. Nothing was charged; it begins anew at midnight UTC.".to_owned()
        }
        "throttled" | "rate_limit_exceeded" => throttled(refusal.retry_after_seconds),
        "invalid" => fields(refusal),
        _ if refusal.status.is_server_error() => {
            "The model gave no answer. Nothing was charged; try again, or choose another model.".to_owned()
        }
        _ => "This did not work. Reload the page and try again.".to_owned(),
    };
    Words::new(refusal.status, &refusal.code, text)
}

fn throttled(retry_after_seconds: Option<u64>) -> String {
    let when = match retry_after_seconds {
        Some(seconds @ 0..=90) => format!("in {seconds} seconds"),
        Some(seconds) => format!("in {} minutes", seconds.div_ceil(60)),
        None => "later".to_owned(),
    };
    format!("There were too many attempts. Try again {when}.")
}

fn fields(refusal: &Refusal) -> String {
    let said = refusal.errors.iter().map(|error| {
        let what = if error.field.starts_with("messages") { "The message" } else { &error.field };
        format!("{what} {}.", error.message)
    });
    said.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use kit::FieldError;

    use super::*;

    #[test]
    fn every_failure_says_what_happened_and_what_to_do() {
        let check = |status: u16, code: &str, retry_after_seconds: Option<u64>, expected: &str| {
            let errors = vec![FieldError::new("messages[0].content", "must have at most 32000 characters")];
            let status = StatusCode::from_u16(status).unwrap();
            let refusal = Refusal { status, code: code.into(), errors, retry_after_seconds };
            let words = of(&Failure::Refused { service: "chat-backend", refusal });
            assert!(words.text.contains(expected), "{code}: {}", words.text);
            assert_eq!((words.status, words.code.as_str()), (status, code));
        };
        check(402, "out_of_credits", None, "not have enough credits");
        check(429, "throttled", Some(30), "in 30 seconds");
        check(429, "throttled", Some(900), "in 15 minutes");
        check(429, "rate_limit_exceeded", Some(30), "in 30 seconds");
        check(409, "idempotency_key_reused", None, "Nothing was charged again");
        check(422, "invalid", None, "The message must have at most 32000 characters.");
        check(502, "model_failed", None, "Nothing was charged");
        check(404, "not_found", None, "not yours");
        let away = Failure::Away { service: "chat-backend", reason: "secret details".into() };
        assert!(!of(&away).text.contains("secret"));
    }
}
