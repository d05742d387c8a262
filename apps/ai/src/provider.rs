//! What an app asks a model, and what it gets back: the types of the boundary, independent of any provider's wire format.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Who said a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions of the app or the person to the model.
    System,
    /// What the person says.
    User,
    /// What the model said.
    Assistant,
}

impl Role {
    /// The word of the wire and of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
}

/// One call of a model.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which model; one the provider serves.
    pub model: String,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// Sampling parameters handed through as they are (`temperature`, `max_tokens`, …). The client's own keys (`model`,
    /// `messages`, `stream`, `stream_options`) win over entries of the same name.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// The messages as the caller's own protocol had them (pictures, tool results, fields we do not know): sent instead of
    /// `messages` where the provider speaks that protocol.
    pub raw_messages: Option<Vec<serde_json::Value>>,
    /// Sent on as `x-request-id`, so that one id links our logs with the provider's.
    pub request_id: Option<String>,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It had said everything.
    Stop,
    /// It reached the token limit.
    Length,
    /// The provider's content filter cut it off.
    ContentFilter,
    /// It wants tools to be called.
    ToolCalls,
    /// The same by the name that came before it.
    FunctionCall,
}

impl Finish {
    /// The word of OpenAI's protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::ToolCalls => "tool_calls",
            Self::FunctionCall => "function_call",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "stop" => Some(Self::Stop),
            "length" => Some(Self::Length),
            "content_filter" => Some(Self::ContentFilter),
            "tool_calls" => Some(Self::ToolCalls),
            "function_call" => Some(Self::FunctionCall),
            _ => None,
        }
    }
}

/// Tokens as the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// Both together.
    pub total_tokens: u32,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Why it ended.
    pub finish: Finish,
    /// Its tokens, when the provider told.
    pub usage: Option<Usage>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The text of the first choice; empty where `choices` says more, or where the model said nothing.
    pub content: String,
    /// The choices as the provider's protocol has them, where there is more to them than one text: tool calls, several
    /// choices, `logprobs`.
    pub choices: Option<Vec<serde_json::Value>>,
    /// How it ended.
    pub ending: Ending,
}

/// One piece of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// More text of the first choice; never empty.
    Content(String),
    /// More of the answer that is not just that: choices as a chunk of the provider's protocol has them, without the
    /// first one's `finish_reason`.
    Choices(Vec<serde_json::Value>),
    /// The end; exactly one, and nothing follows it.
    End(Ending),
}

/// A streamed answer: texts, then one [`Delta::End`]; or an error, after which nothing follows. Dropping it cancels the call.
pub type Deltas = Pin<Box<dyn Stream<Item = Result<Delta, Error>> + Send>>;

/// A place that answers for models.
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// Its name in configuration, logs and metrics.
    fn name(&self) -> &str;

    /// The models it serves at this moment, of those it is configured for.
    fn models(&self) -> BoxFuture<'_, Result<Vec<String>, Error>>;

    /// The whole answer at once.
    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Completion, Error>>;

    /// The answer as it is written. Resolves when the provider has accepted the call.
    fn stream<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Deltas, Error>>;
}
