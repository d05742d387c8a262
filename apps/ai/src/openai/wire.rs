//! OpenAI's JSON, as far as we read and write it.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::progress::filtered;
use crate::Error;
use crate::provider::{Completion, Ending, Finish, Request, Usage};

/// What no parameter can say: our own keys.
const OURS: [&str; 4] = ["model", "messages", "stream", "stream_options"];

/// The body of a call, written from what it is about without a copy of it.
pub(super) struct Body<'a> {
    pub(super) request: &'a Request,
    pub(super) stream: bool,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Request { model, messages, parameters, raw_messages, .. } = self.request;
        let mut body = serializer.serialize_map(None)?;
        for (name, value) in parameters.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
            body.serialize_entry(name, value)?;
        }
        body.serialize_entry("model", model)?;
        match raw_messages {
            Some(raw) => body.serialize_entry("messages", raw)?,
            None => body.serialize_entry("messages", messages)?,
        }
        body.serialize_entry("stream", &self.stream)?;
        if self.stream {
            // Always asked for upstream, whether or not our caller wants to see it: tokens are counted either way.
            body.serialize_entry("stream_options", &json!({ "include_usage": true }))?;
        }
        body.end()
    }
}

/// A plain answer. What is more than one text is kept as it came.
pub(super) fn completion(body: &[u8], provider: &str) -> Result<Completion, Error> {
    let bad = |reason: String| Error::BadAnswer { provider: provider.to_owned(), reason };
    let answer: Answer = serde_json::from_slice(body).map_err(|e| bad(format!("not JSON we know: {e}")))?;
    let usage = answer.usage.map(Into::into);
    let first = answer.choices.iter().find(|c| c["index"].as_u64().unwrap_or(0) == 0);
    let first = first.ok_or_else(|| bad("it has no choice".into()))?;
    let word = first["finish_reason"].as_str().ok_or_else(|| bad("it has no finish_reason".into()))?;
    let finish = Finish::parse(word).ok_or_else(|| bad(format!("unknown finish_reason {word:?}")))?;
    let message = &first["message"];
    let content = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        _ => return Err(bad("its content is no text".into())),
    };
    let more = answer.choices.len() > 1 || !first["logprobs"].is_null() || has_more(message);
    if content.is_empty() && !more && finish == Finish::ContentFilter {
        return Err(filtered(provider));
    }
    Ok(Completion { content, choices: more.then_some(answer.choices), ending: Ending { finish, usage } })
}

/// Whether a message, or a piece of one, holds anything but its role and its text.
pub(super) fn has_more(message: &Value) -> bool {
    let known = |name: &str| matches!(name, "role" | "content");
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    message.as_object().is_some_and(|fields| fields.iter().any(|(name, value)| !known(name) && !nothing(value)))
}

#[derive(Debug, Deserialize)]
struct Answer {
    choices: Vec<Value>,
    #[serde(default)]
    usage: Option<WireUsage>,
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
    fn an_empty_answer_that_says_why_it_ended_is_one() {
        let read = |finish: &str| {
            let body = json!({ "choices": [{ "index": 0, "message": { "content": "" }, "finish_reason": finish }] });
            completion(body.to_string().as_bytes(), "p").map(|it| (it.content, it.ending.finish)).map_err(|e| e.code())
        };
        assert_eq!(read("stop"), Ok((String::new(), Finish::Stop)));
        assert_eq!(read("length"), Ok((String::new(), Finish::Length)));
        assert_eq!(read("content_filter"), Err("model_refused"));
    }

    #[test]
    fn parameters_pass_through_but_cannot_replace_our_own_keys() {
        let mut request = Request { model: "m".into(), ..Request::default() };
        for (key, value) in [("temperature", json!(0.5)), ("stream", json!("x")), ("model", json!("other"))] {
            request.parameters.insert(key.into(), value);
        }
        request.parameters.insert("stream_options".into(), json!({ "include_usage": false }));

        let body = |stream| serde_json::to_value(Body { request: &request, stream }).unwrap();
        let plain = body(false);
        assert_eq!(plain["temperature"], json!(0.5));
        assert_eq!(plain["model"], json!("m"));
        assert_eq!(plain["stream"], json!(false));
        assert!(plain.get("stream_options").is_none());

        let streamed = body(true);
        assert_eq!(streamed["stream_options"], json!({ "include_usage": true }));
    }
}
