//! OpenAI's JSON as its official clients read and write it.

use ai::Usage;
use kit::FieldError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::lifecycle::Answered;
use crate::validate::{Input, InputMessage};

/// Sampling parameters that every provider we know takes; handed through as they are.
const HANDED_THROUGH: [&str; 8] = [
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
];

/// Parameters that would change what the answer is. Ignoring them would give an answer to another question, so they are
/// refused; everything else that is unknown is ignored, since clients send much that only matters to OpenAI.
const REFUSED: [&str; 8] =
    ["tools", "tool_choice", "functions", "function_call", "response_format", "logprobs", "modalities", "audio"];

/// A call as it comes.
#[derive(Debug, Deserialize)]
pub(crate) struct Body {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    messages: Vec<BodyMessage>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct BodyMessage {
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

impl Body {
    /// Whether the usage is to be told at a stream's end.
    pub(super) fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|o| o.include_usage).unwrap_or(false)
    }

    /// What the lifecycle reads.
    pub(super) fn into_input(self) -> Result<Input, Refusal> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(Refusal::unsupported("n", "only one choice is written at a time"));
        }
        for name in REFUSED {
            match self.others.get(name) {
                None | Some(Value::Null | Value::Bool(false)) => {}
                Some(Value::Array(list)) if list.is_empty() => {}
                Some(format) if name == "response_format" && format["type"] == "text" => {}
                Some(_) => return Err(Refusal::unsupported(name, "is not supported by this service")),
            }
        }
        let mut messages = Vec::with_capacity(self.messages.len());
        for (n, message) in self.messages.into_iter().enumerate() {
            let content = match message.content {
                None => String::new(),
                Some(Content::Text(text)) => text,
                Some(Content::Parts(parts)) => {
                    if parts.iter().any(|part| part.kind != "text") {
                        let param = format!("messages[{n}].content");
                        return Err(Refusal::unsupported(&param, "only parts of type text are supported"));
                    }
                    parts.into_iter().map(|part| part.text).collect()
                }
            };
            messages.push(InputMessage { role: message.role, content });
        }
        let parameters = self.others.into_iter().filter(|(name, _)| HANDED_THROUGH.contains(&name.as_str())).collect();
        Ok(Input { messages, model: self.model, conversation_id: None, parameters })
    }
}

/// An error as OpenAI's clients expect it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
    pub(super) kind: &'static str,
    pub(super) param: Option<String>,
    pub(super) code: &'static str,
}

impl Refusal {
    fn unsupported(param: &str, why: &str) -> Self {
        Self {
            status: 400,
            message: format!("{param}: {why}"),
            kind: "invalid_request_error",
            param: Some(param.to_owned()),
            code: "unsupported_parameter",
        }
    }

    fn invalid(status: u16, message: String, code: &'static str) -> Self {
        Self { status, message, kind: "invalid_request_error", param: None, code }
    }

    /// A body that could not be read. What is no valid JSON of the right shape is 400 here, as OpenAI says it.
    pub(super) fn unreadable(status: u16, message: String) -> Self {
        match status {
            413 => Self::invalid(413, message, "body_too_large"),
            415 => Self::invalid(415, message, "unsupported_media_type"),
            _ => Self::invalid(400, message, "invalid_json"),
        }
    }

    /// Nothing of OpenAI's protocol that this service speaks.
    pub(super) fn unknown_url(method: &str, path: &str) -> Self {
        Self::invalid(404, format!("{method} {path}: this service does not offer that"), "unknown_url")
    }

    /// No key, or one that is not good.
    pub(super) fn unauthenticated() -> Self {
        Self {
            status: 401,
            message: "the API key is missing, expired or wrong; make one at /api/keys, or use an access token".into(),
            kind: "invalid_request_error",
            param: None,
            code: "invalid_api_key",
        }
    }

    /// A model that nobody offers.
    pub(super) fn no_model(id: &str) -> Self {
        Self {
            status: 404,
            message: format!("the model {id:?} does not exist"),
            kind: "invalid_request_error",
            param: Some("model".into()),
            code: "model_not_found",
        }
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> Value {
        json!({
            "error": { "message": self.message, "type": self.kind, "param": self.param, "code": self.code },
        })
    }
}

impl From<&Failure> for Refusal {
    /// - Out of credits is 402 `insufficient_quota`. OpenAI itself sends 429 for it, which its clients take for a rate limit
    ///   and retry; 402 they hand to the caller at once, with the same `code` to look at.
    /// - Invalid input is 400, as OpenAI says it, where the native API says 422; an unknown model is 404.
    /// - Faults of the model's provider have the type `provider_error`, so that nobody takes its limits for ours.
    fn from(failure: &Failure) -> Self {
        let status = failure.status().as_u16();
        let message = failure.to_string();
        match failure {
            Failure::Invalid(wrong) => invalid(wrong),
            Failure::OutOfCredits { .. } => {
                let quota = "insufficient_quota";
                Self { status, message, kind: quota, param: None, code: quota }
            }
            Failure::Model(error @ ai::Error::Refused { .. }) if status == 422 => {
                Self { status: 400, message, kind: "invalid_request_error", param: None, code: error.code() }
            }
            Failure::Model(error) => Self { status, message, kind: "provider_error", param: None, code: error.code() },
            _ if status < 500 => {
                Self { status, message, kind: "invalid_request_error", param: None, code: failure.code() }
            }
            _ => Self { status, message, kind: "server_error", param: None, code: failure.code() },
        }
    }
}

/// OpenAI's shape has room for one field, so the first is named there and all in the message.
fn invalid(wrong: &[FieldError]) -> Refusal {
    let message = wrong.iter().map(|w| format!("{}: {}", w.field, w.message)).collect::<Vec<_>>().join("; ");
    let param = wrong.first().map(|w| w.field.clone());
    let unknown_model = param.as_deref() == Some("model");
    Refusal {
        status: if unknown_model { 404 } else { 400 },
        message,
        kind: "invalid_request_error",
        code: if unknown_model { "model_not_found" } else { "invalid_value" },
        param,
    }
}

/// Usage as OpenAI says it.
pub(super) fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    })
}

/// A whole answer.
pub(super) fn completion(answered: &Answered) -> Value {
    json!({
        "id": format!("chatcmpl-{}", answered.message),
        "object": "chat.completion",
        "created": answered.created_at / 1000,
        "model": answered.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": answered.text, "refusal": null },
            "logprobs": null,
            "finish_reason": finish(answered.finish),
        }],
        "usage": usage(answered.usage.unwrap_or_default()),
    })
}

/// OpenAI knows no `cancelled`; only a client that left could get it.
pub(super) fn finish(finish: &str) -> &str {
    if finish == "cancelled" { "stop" } else { finish }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &Value, want: Result<&str, &str>) {
        let got = serde_json::from_value::<Body>(body.clone()).map_err(|e| e.to_string()).and_then(|body| {
            body.into_input().map(|input| input.messages[0].content.clone()).map_err(|refusal| refusal.message)
        });
        match (got, want) {
            (Ok(content), Ok(want)) => assert_eq!(content, want, "{body}"),
            (Err(message), Err(want)) => assert!(message.contains(want), "{body}: {message}"),
            (got, want) => panic!("{body}: {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn what_changes_the_question_is_refused_and_what_does_not_is_ignored() {
        let with = |name: &str, value: Value| {
            let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
            body[name] = value;
            body
        };
        check(&with("store", json!(true)), Ok("hi"));
        check(&with("n", json!(1)), Ok("hi"));
        check(&with("tools", json!([])), Ok("hi"));
        check(&with("logprobs", json!(false)), Ok("hi"));
        check(&with("response_format", json!({ "type": "text" })), Ok("hi"));
        check(&with("n", json!(2)), Err("one choice"));
        check(&with("tools", json!([{ "type": "function" }])), Err("tools"));
        check(&with("response_format", json!({ "type": "json_object" })), Err("response_format"));
        check(&json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a" }] }] }), Ok("a"));
        check(&json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }), Err("type text"));
        check(&json!({ "messages": [{ "content": "a" }] }), Err("role"));
    }

    #[test]
    fn only_known_sampling_parameters_reach_the_provider() {
        let body = json!({ "messages": [], "temperature": 0.5, "user": "u", "store": true, "stop": ["x"] });
        let input = serde_json::from_value::<Body>(body).unwrap().into_input().unwrap();
        assert_eq!(Value::Object(input.parameters), json!({ "temperature": 0.5, "stop": ["x"] }));
    }
}
