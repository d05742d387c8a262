//! OpenAI's shapes for the description of `/v1`, and for nothing else: what is read and written is in `openai_wire`, so that fields
//! which nobody here knows pass through.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A call. Fields that are not listed are handed to the model's provider as they are.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiRequest {
    /// One of `/v1/models`; absent: the default.
    model: Option<String>,
    /// The conversation so far, the question last.
    #[schema(example = json!([{ "role": "user", "content": "Are you there?" }]))]
    messages: Vec<OpenAiRequestMessage>,
    /// Answers to give; each is paid for.
    #[schema(minimum = 1, maximum = 8)]
    n: Option<u32>,
    /// Whether the answer is to be a stream of events.
    stream: Option<bool>,
    stream_options: Option<OpenAiStreamOptions>,
}

#[derive(Serialize, ToSchema)]
struct OpenAiStreamOptions {
    /// Whether a stream ends with a chunk that has the usage.
    include_usage: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct OpenAiRequestMessage {
    /// `user`, `assistant`, `system`, `developer`, `tool` or `function`.
    #[schema(pattern = "^(user|assistant|system|developer|tool|function)$")]
    role: String,
    /// A text, or a list of parts with a `type`.
    content: Option<Value>,
}

/// An answer: `chat.completion`.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiCompletion {
    #[schema(pattern = "^chatcmpl-")]
    id: String,
    #[schema(pattern = "^chat\\.completion$")]
    object: String,
    /// Seconds since 1970.
    created: i64,
    /// Who answered.
    model: String,
    #[schema(min_items = 1)]
    choices: Vec<OpenAiChoice>,
    usage: OpenAiUsage,
}

#[derive(Serialize, ToSchema)]
struct OpenAiChoice {
    index: u32,
    message: OpenAiMessage,
    /// `stop`, `length`, `tool_calls` or `content_filter`.
    finish_reason: String,
}

#[derive(Serialize, ToSchema)]
struct OpenAiMessage {
    #[schema(pattern = "^assistant$")]
    role: String,
    /// `null` where tools are called instead.
    #[schema(required = true)]
    content: Option<String>,
    tool_calls: Option<Vec<Value>>,
}

#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of OpenAI's protocol")]
struct OpenAiUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// All models on offer.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiModels {
    #[schema(pattern = "^list$")]
    object: String,
    data: Vec<OpenAiModel>,
}

/// A model.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiModel {
    id: String,
    #[schema(pattern = "^model$")]
    object: String,
    /// Always 0: nobody tells when a model was made.
    created: i64,
    /// The provider.
    owned_by: String,
}

/// A failure.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiError {
    error: OpenAiErrorDetail,
}

#[derive(Serialize, ToSchema)]
struct OpenAiErrorDetail {
    message: String,
    #[serde(rename = "type")]
    kind: String,
    /// The field at fault.
    #[schema(required = true)]
    param: Option<String>,
    /// A stable word for machines.
    code: String,
    /// Where a model's provider is at fault: its name, and what it answered itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Value>,
}
