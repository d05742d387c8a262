//! `echo`: a model for development and tests that speaks OpenAI's protocol over HTTP and is as predictable as a clock.
//!
//! It answers `You said: …` with the words of the last user message, word by word when streaming. It accepts any key,
//! and answers under OpenAI's paths (`/v1/models`, `/v1/chat/completions`) and Azure's
//! (`/openai/deployments/NAME/chat/completions`, which insists on `api-version` and `api-key` as Azure does).
//!
//! How to make it misbehave, from the widest to the narrowest:
//!
//! | what | where | effect |
//! |---|---|---|
//! | `ECHO_DELAY_MS` | environment | pause before every word |
//! | `ECHO_FAILURE_RATE` | environment | that share of calls answers 500, spread evenly: at 0.25 every fourth |
//! | `ECHO_ABORT_AFTER` | environment | every answer breaks off after that many words |
//! | `echo-slow` | model | 120 ms before every word, for people to watch |
//! | `echo-fail` | model | answers 500 |
//! | `echo-abort` | model | breaks the connection after 3 words |
//! | `[delay=MS]` | in the last user message | pause before every word |
//! | `[fail=STATUS]` | in the last user message | answers that status (400–599) |
//! | `[abort=N]` | in the last user message | breaks the connection after N words |
//! | `[stall=N]` | in the last user message | says N words, then nothing, keeping the line open |
//! | `[end=N]` | in the last user message | ends the stream after N words in good order, but without `finish_reason` and `[DONE]` |
//! | `[garbage=N]` | in the last user message | sends something that is not JSON after N words |
//! | `[call=N]` | in the last user message | calls the first N of the offered tools with `{"said": …}` instead of speaking |
//! | `[choices=N]` | in the last user message | answers no more than N times, whatever `n` says |
//! | `[nul=N]` | in the last user message | says U+0000, which not every database can keep, N times |
//! | `[words=N]` | in the last user message | answers with N numbered words, whatever was said; with none at all for 0 |
//!
//! `n` answers are the same answer n times; with a `response_format` of JSON it is `{"said": …}`; a part of a message that is no text is heard as its type in brackets.
//!
//! A narrower one wins over a wider one. `GET /echo/calls` says how many calls came, how many are under way, and how
//! many were finished or cancelled by their caller: tests read there that a refused request made no model call.
//!
//! There is no chance in it: the same calls in the same order get the same answers.

mod calls;
mod chat;
mod script;
mod speak;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use calls::{Calls, Count};
pub use script::MODELS;

/// How echo behaves unless a call says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Settings {
    /// Pause before every word.
    pub delay: Duration,
    /// The share of calls that fail, 0 to 1.
    pub failure_rate: f64,
    /// Break every answer off after so many words.
    pub abort_after: Option<usize>,
}

#[derive(Debug)]
struct Echo {
    settings: Settings,
    calls: Arc<Calls>,
}

/// The routes of echo, their OpenAPI, and the count of its calls.
pub fn service(settings: Settings) -> (Router, utoipa::openapi::OpenApi, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let echo = Arc::new(Echo { settings, calls: calls.clone() });
    let (router, openapi) = OpenApiRouter::new()
        .routes(routes!(chat::models))
        .routes(routes!(chat::openai))
        .routes(routes!(chat::azure))
        .routes(routes!(chat::azure_models))
        .routes(routes!(chat::calls))
        .with_state(echo)
        .split_for_parts();
    (router, openapi, calls)
}
