//! OpenAI's JSON as its official clients read and write it.

use ai::Usage;
use kit::FieldError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::lifecycle::Answered;
use crate::limits::MAX_CHOICES;
use crate::validate::{Input, InputMessage};

/// Parameters that this service answers for itself; everything else of a call is handed to the provider as it is.
const OURS: [&str; 5] = ["model", "messages", "n", "stream", "stream_options"];

/// A call as it comes.
#[derive(Debug, Deserialize)]
pub(crate) struct Body {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    messages: Vec<Map<String, Value>>,
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
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

impl Body {
    /// Whether the usage is to be told at a stream's end.
    pub(super) fn include_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|o| o.include_usage).unwrap_or(false)
    }

    /// What the lifecycle reads: the texts, for checking, counting and storing, and all of it, for the provider.
    pub(super) fn into_input(self) -> Result<Input, Refusal> {
        let choices = self.n.unwrap_or(1);
        if !(1..=MAX_CHOICES).contains(&choices) {
            return Err(Refusal::unsupported("n", &format!("must be 1 to {MAX_CHOICES}")));
        }
        let mut messages = Vec::with_capacity(self.messages.len());
        for (n, message) in self.messages.iter().enumerate() {
            let role = message.get("role").and_then(Value::as_str);
            let role = role.ok_or_else(|| Refusal::missing(&format!("messages[{n}].role")))?;
            let content = text(message.get("content").unwrap_or(&Value::Null));
            let content = content.ok_or_else(|| Refusal::wrong_content(&format!("messages[{n}].content")))?;
            messages.push(InputMessage { role: role.to_owned(), content });
        }
        let mut parameters = self.others;
        parameters.retain(|name, _| !OURS.contains(&name.as_str()));
        if choices > 1 {
            parameters.insert("n".into(), choices.into());
        }
        let raw_messages = Some(self.messages.into_iter().map(Value::Object).collect());
        Ok(Input { messages, model: self.model, conversation_id: None, parameters, raw_messages, choices })
    }
}

/// The words of a message; of parts that are no text, their type in brackets.
fn text(content: &Value) -> Option<String> {
    let part = |part: &Value| {
        let kind = part.get("type")?.as_str()?;
        if kind == "text" { part.get("text")?.as_str().map(str::to_owned) } else { Some(format!("[{kind}]")) }
    };
    match content {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect::<Option<String>>(),
        _ => None,
    }
}

/// An error as OpenAI's clients expect it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
    pub(super) kind: &'static str,
    pub(super) param: Option<String>,
    pub(super) code: &'static str,
    /// What clients are told about trying again, beyond what the status says.
    pub(super) should_retry: Option<bool>,
    /// Where a model's provider is at fault: who, and what it answered itself.
    pub(super) provider: Option<Value>,
}

impl Refusal {
    fn missing(param: &str) -> Self {
        let param = Some(param.to_owned());
        let message = format!("{} is missing", param.as_deref().unwrap_or_default());
        Self { param, ..Self::invalid(400, message, "invalid_value") }
    }

    fn wrong_content(param: &str) -> Self {
        let message =
            format!("{param} must be a text, or a list of parts with a type, of which those of type text have a text");
        Self { param: Some(param.to_owned()), ..Self::invalid(400, message, "invalid_value") }
    }

    fn unsupported(param: &str, why: &str) -> Self {
        Self {
            status: 400,
            message: format!("{param}: {why}"),
            kind: "invalid_request_error",
            param: Some(param.to_owned()),
            code: "unsupported_parameter",
            ..Self::default()
        }
    }

    fn invalid(status: u16, message: String, code: &'static str) -> Self {
        Self { status, message, kind: "invalid_request_error", code, ..Self::default() }
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
            ..Self::default()
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
            ..Self::default()
        }
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> Value {
        let mut error = json!({ "message": self.message, "type": self.kind, "param": self.param, "code": self.code });
        if let Some(provider) = &self.provider {
            error["provider"] = provider.clone();
        }
        json!({ "error": error })
    }
}

impl From<&Failure> for Refusal {
    /// - Out of credits is 402 `insufficient_quota`. OpenAI itself sends 429 for it, which its clients take for a rate limit
    ///   and retry; 402 they hand to the caller at once, with the same `code` to look at.
    /// - Invalid input is 400, as OpenAI says it, where the native API says 422; an unknown model is 404.
    /// - Faults of the model's provider have the type `provider_error`, so that nobody takes its limits for ours.
    fn from(failure: &Failure) -> Self {
        let status = failure.status().as_u16();
        let plain = |kind, code| Self {
            status,
            message: failure.to_string(),
            kind,
            code,
            should_retry: failure.should_retry(),
            ..Self::default()
        };
        match failure {
            Failure::Invalid(wrong) => invalid(wrong),
            Failure::OutOfCredits { .. } => plain("insufficient_quota", "insufficient_quota"),
            Failure::BudgetSpent { .. } => plain("insufficient_quota", failure.code()),
            // The type that OpenAI gives to a limit of requests; the provider's own has `provider_error`.
            Failure::TooMany { .. } => plain("requests", failure.code()),
            Failure::Model(error @ (ai::Error::Busy { .. } | ai::Error::Suspended { .. })) => {
                plain("server_error", error.code())
            }
            Failure::Model(error) => {
                let (cause, code) = error.cause();
                let provider = json!({ "name": error.provider(), "status": cause, "code": code });
                let refused = matches!(error, ai::Error::Refused { .. }) && status == 422;
                let kind = if refused { "invalid_request_error" } else { "provider_error" };
                let status = if refused { 400 } else { status };
                Self { status, provider: Some(provider), ..plain(kind, error.code()) }
            }
            _ if status < 500 => plain("invalid_request_error", failure.code()),
            _ => plain("server_error", failure.code()),
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
        ..Refusal::default()
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
    let one = || {
        json!([{
            "index": 0,
            "message": { "role": "assistant", "content": answered.text, "refusal": null },
            "logprobs": null,
            "finish_reason": finish(&answered.finish),
        }])
    };
    let choices = answered.choices.as_ref().map_or_else(one, |choices| json!(choices));
    json!({
        "id": format!("chatcmpl-{}", answered.message),
        "object": "chat.completion",
        "created": answered.created_at / 1000,
        "model": answered.model,
        "choices": choices,
        "usage": usage(answered.usage.unwrap_or_default()),
    })
}

/// OpenAI knows no `cancelled`: who left in the middle and comes again with the same key is given what was cut off.
pub(super) fn finish(finish: &str) -> &str {
    if finish == "cancelled" { "length" } else { finish }
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
    fn texts_are_read_and_what_has_none_is_refused() {
        let with = |name: &str, value: Value| {
            let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
            body[name] = value;
            body
        };
        check(&with("n", json!(2)), Ok("hi"));
        check(&with("n", json!(0)), Err("must be 1 to 8"));
        check(&with("n", json!(9)), Err("must be 1 to 8"));
        let message = |content: Value| json!({ "messages": [{ "role": "user", "content": content }] });
        check(&message(json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }])), Ok("ab"));
        check(
            &message(json!([{ "type": "text", "text": "a" }, { "type": "image_url", "image_url": {} }])),
            Ok("a[image_url]"),
        );
        check(&message(json!(7)), Err("content must be"));
        check(&message(json!([{ "type": "text" }])), Err("content must be"));
        check(&message(json!(["a"])), Err("content must be"));
        check(&json!({ "messages": [{ "content": "a" }] }), Err("role is missing"));
    }

    #[test]
    fn all_that_is_not_ours_reaches_the_provider_as_it_came() {
        let messages = json!([{ "role": "user", "name": "ada", "content": [{ "type": "image_url", "image_url": { "url": "u" } }] }]);
        let body = json!({ "messages": messages, "stream": true, "stream_options": {}, "n": 3, "tools": [1], "seed": 7, "new": { "x": null } });
        let input = serde_json::from_value::<Body>(body).unwrap().into_input().unwrap();
        assert_eq!(Value::Object(input.parameters), json!({ "n": 3, "tools": [1], "seed": 7, "new": { "x": null } }));
        assert_eq!((Value::Array(input.raw_messages.unwrap()), input.choices), (messages, 3));
    }
}
