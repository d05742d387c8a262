//! OpenAI's JSON, as far as we read and write it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::provider::{Request, Usage};

/// The body of a call. Our own keys are written last, so that no parameter can replace them.
pub(super) fn body(request: &Request, stream: bool) -> Value {
    let mut body = request.parameters.clone();
    body.remove("stream_options");
    body.insert("model".into(), json!(request.model));
    body.insert("messages".into(), json!(request.messages));
    body.insert("stream".into(), json!(stream));
    if stream {
        // Always asked for upstream, whether or not our caller wants to see it: tokens are counted either way.
        body.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    Value::Object(body)
}

#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) choices: Vec<AnswerChoice>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AnswerChoice {
    pub(super) message: AnswerMessage,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AnswerMessage {
    pub(super) content: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    /// An error that comes in the middle of a stream, after the 200.
    #[serde(default)]
    pub(super) error: Option<ErrorBody>,
    #[serde(default)]
    pub(super) choices: Vec<ChunkChoice>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChunkChoice {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(default)]
    pub(super) delta: ChunkDelta,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ChunkDelta {
    #[serde(default)]
    pub(super) content: Option<String>,
}

/// Usage with whatever further counters a provider adds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
pub(super) struct WireUsage {
    #[serde(default)]
    pub(super) prompt_tokens: u32,
    #[serde(default)]
    pub(super) completion_tokens: u32,
    #[serde(default)]
    pub(super) total_tokens: u32,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        Self {
            prompt_tokens: wire.prompt_tokens,
            completion_tokens: wire.completion_tokens,
            total_tokens: wire.total_tokens,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Models {
    pub(super) data: Vec<ModelEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModelEntry {
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) error: ErrorBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorBody {
    pub(super) message: Option<String>,
    /// A string at OpenAI, a number at some others.
    pub(super) code: Option<Value>,
}

impl ErrorBody {
    pub(super) fn code(&self) -> Option<String> {
        match self.code.as_ref()? {
            Value::String(code) => Some(code.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_pass_through_but_cannot_replace_our_own_keys() {
        let mut request = Request { model: "m".into(), ..Request::default() };
        for (key, value) in [("temperature", json!(0.5)), ("stream", json!("x")), ("model", json!("other"))] {
            request.parameters.insert(key.into(), value);
        }
        request.parameters.insert("stream_options".into(), json!({ "include_usage": false }));

        let plain = body(&request, false);
        assert_eq!(plain["temperature"], json!(0.5));
        assert_eq!(plain["model"], json!("m"));
        assert_eq!(plain["stream"], json!(false));
        assert!(plain.get("stream_options").is_none());

        let streamed = body(&request, true);
        assert_eq!(streamed["stream_options"], json!({ "include_usage": true }));
    }
}
