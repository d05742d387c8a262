//! Carries a script out: the answer as OpenAI's JSON, whole or as a stream of events.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};

use super::calls::Call;
use super::script::{Course, Script};

/// When echo's answers claim to have been created: always the same, as everything of echo.
const CREATED: u64 = 1_700_000_000;

/// One answer to give.
pub(super) struct Speech {
    pub(super) number: u64,
    pub(super) model: String,
    pub(super) prompt_words: usize,
    pub(super) include_usage: bool,
    /// How often to say it.
    pub(super) choices: usize,
    /// The tools to call instead of saying it.
    pub(super) tools: Vec<String>,
    pub(super) script: Script,
    pub(super) call: Call,
}

impl Speech {
    fn usage(&self) -> Value {
        let completion = self.script.words.len() * self.choices;
        json!({
            "prompt_tokens": self.prompt_words,
            "completion_tokens": completion,
            "total_tokens": self.prompt_words + completion,
        })
    }

    fn finish(&self) -> &'static str {
        if self.tools.is_empty() { "stop" } else { "tool_calls" }
    }

    fn message(&self) -> Value {
        let text = self.script.words.concat();
        if self.tools.is_empty() {
            return json!({ "role": "assistant", "content": text });
        }
        let calls = self.tools.iter().enumerate().map(|(n, name)| {
            let function = json!({ "name": name, "arguments": as_json(&text) });
            json!({ "id": format!("call_{n}"), "type": "function", "function": function })
        });
        json!({ "role": "assistant", "content": null, "tool_calls": calls.collect::<Vec<_>>() })
    }

    /// The calls of tools as a stream has them: the name first, then the arguments in two pieces.
    fn calls(&self) -> Vec<io::Result<Bytes>> {
        let arguments = as_json(&self.script.words.concat());
        let (begin, rest) = arguments.split_at(5);
        let mut events = Vec::new();
        for (n, name) in self.tools.iter().enumerate() {
            let function = json!({ "name": name, "arguments": "" });
            events.push(json!({ "index": n, "id": format!("call_{n}"), "type": "function", "function": function }));
            for piece in [begin, rest] {
                events.push(json!({ "index": n, "function": { "arguments": piece } }));
            }
        }
        events.into_iter().flat_map(|call| self.chunks(&json!({ "tool_calls": [call] }), None)).collect()
    }

    fn id(&self) -> String {
        format!("chatcmpl-echo-{}", self.number)
    }

    /// The whole answer, after as long as its words take.
    pub(super) async fn plain(mut self) -> Response {
        let said = match self.script.course {
            Course::Whole | Course::Fail(_) => self.script.words.len(),
            Course::Abort(n) | Course::Stall(n) | Course::End(n) | Course::Garbage(n) => n.min(self.script.words.len()),
        };
        for _ in 0..said {
            self.pause().await;
        }
        let answer = json!({
            "id": self.id(), "object": "chat.completion", "created": CREATED, "model": self.model,
            "choices": (0..self.choices).map(|index| json!({
                "index": index,
                "message": self.message(),
                "finish_reason": self.finish(),
            })).collect::<Vec<_>>(),
            "usage": self.usage(),
        });
        let text = Bytes::from(answer.to_string());
        let half = text.slice(..text.len() / 2);
        match self.script.course {
            Course::Whole | Course::Fail(_) => {
                self.call.finish();
                json_body(Body::from(text))
            }
            Course::Garbage(_) | Course::End(_) => {
                self.call.finish();
                json_body(Body::from(half))
            }
            Course::Abort(_) => {
                self.call.finish();
                json_body(Body::from_stream(stream::iter([Ok(half), Err(broken())])))
            }
            Course::Stall(_) => std::future::pending::<Infallible>().await.into_response(),
        }
    }

    /// The answer word by word.
    pub(super) fn streamed(self) -> Response {
        (
            [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")],
            Body::from_stream(self.events()),
        )
            .into_response()
    }

    fn events(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold((self, 0), |(mut speech, step)| async move {
            let item = speech.step(step).await?;
            Some((item, (speech, step + 1)))
        })
        .flat_map(stream::iter)
    }

    /// What is sent at a step: 0 is the role, then a word each, then the ending; `None` when all is said.
    async fn step(&mut self, step: usize) -> Option<Vec<io::Result<Bytes>>> {
        if step == 0 {
            return Some(self.chunks(&json!({ "role": "assistant", "content": "" }), None));
        }
        let said = step - 1;
        match self.script.course {
            Course::Abort(n) if said == n => {
                // A server throws unsent bytes away when the body fails; one that waits sends them first.
                tokio::task::yield_now().await;
                self.call.finish();
                return Some(vec![Err(broken())]);
            }
            Course::Stall(n) if said == n => std::future::pending().await,
            Course::End(n) if said == n => {
                self.call.finish();
                return None;
            }
            Course::Garbage(n) if said == n => {
                self.call.finish();
                return Some(vec![Ok(Bytes::from_static(b"data: {\"choices\":[{\"ind\n\n"))]);
            }
            _ => {}
        }
        let words = if self.tools.is_empty() { self.script.words.len() } else { 0 };
        if let Some(word) = self.script.words.get(said).filter(|_| said < words).cloned() {
            self.pause().await;
            return Some(self.chunks(&json!({ "content": word }), None));
        }
        if said > words {
            return None;
        }
        let mut ending = self.calls();
        ending.extend(self.chunks(&json!({}), Some(self.finish())));
        if self.include_usage {
            let mut usage = self.frame();
            usage["choices"] = json!([]);
            usage["usage"] = self.usage();
            ending.push(event(&usage));
        }
        ending.push(Ok(Bytes::from_static(b"data: [DONE]\n\n")));
        self.call.finish();
        Some(ending)
    }

    fn frame(&self) -> Value {
        json!({ "id": self.id(), "object": "chat.completion.chunk", "created": CREATED, "model": self.model })
    }

    /// The same for each choice.
    fn chunks(&self, delta: &Value, finish: Option<&str>) -> Vec<io::Result<Bytes>> {
        (0..self.choices).map(|index| self.chunk(index, delta, finish)).collect()
    }

    fn chunk(&self, index: usize, delta: &Value, finish: Option<&str>) -> io::Result<Bytes> {
        let mut frame = self.frame();
        frame["choices"] = json!([{ "index": index, "delta": delta, "finish_reason": finish }]);
        if self.include_usage {
            frame["usage"] = Value::Null;
        }
        event(&frame)
    }

    async fn pause(&self) {
        if !self.script.delay.is_zero() {
            tokio::time::sleep(self.script.delay).await;
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "an item of a stream whose other items may be errors")]
fn event(data: &Value) -> io::Result<Bytes> {
    Ok(Bytes::from(format!("data: {data}\n\n")))
}

/// What was said, as an object: a tool is called with it, and so is who asks for JSON answered.
pub(super) fn as_json(text: &str) -> String {
    json!({ "said": text }).to_string()
}

fn json_body(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Makes the server break the connection off.
fn broken() -> io::Error {
    io::Error::other("echo breaks the answer off, as it was told")
}

/// An error in OpenAI's shape.
pub(super) fn error(status: u16, message: &str, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    let mut response = (status, axum::Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}
