//! What the events of one stream mean, decided without I/O: a small machine that accepts exactly the streams that OpenAI's
//! protocol calls complete, and names what is wrong with every other.

use super::chunk::{self, Chunk};
use super::wire::ErrorBody;
use crate::Error;
use crate::limits::{MAX_ANSWER_BYTES, MAX_PIECES_BYTES, MAX_STREAM_BYTES};
use crate::provider::{Delta, Ending, Finish, Usage};

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Progress {
    provider: String,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// Of the stream as a whole, of its text, and of pieces that are more than that.
    content_bytes: usize,
    text_bytes: usize,
    pieces_bytes: usize,
    /// Whether there was anything but an ending.
    said: bool,
}

impl Progress {
    pub(super) fn new(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            finish: None,
            usage: None,
            content_bytes: 0,
            text_bytes: 0,
            pieces_bytes: 0,
            said: false,
        }
    }

    /// Takes the data of one event; gives the piece it carries, if it carries one.
    pub(super) fn event(&mut self, data: &[u8]) -> Result<Option<Delta>, Error> {
        if data == b"[DONE]" {
            return self.done().map(Some);
        }
        self.content_bytes += data.len();
        if self.content_bytes > MAX_STREAM_BYTES {
            return Err(self.too_long(MAX_STREAM_BYTES));
        }
        let Chunk { delta, finish, usage } = match chunk::read(data) {
            Ok(chunk) => chunk,
            Err(chunk::Wrong::Says(error)) => return Err(self.error_event(&error)),
            Err(chunk::Wrong::Unreadable(why)) => return Err(self.bad(why)),
        };
        if usage.is_some() {
            self.usage = usage;
        }
        if delta.is_some() && self.finish.is_some() && !chunk::is_of_further_choices(delta.as_ref()) {
            return Err(self.bad("text follows finish_reason".into()));
        }
        if finish.is_some() {
            self.finish = finish;
        }
        self.said |= delta.is_some();
        match &delta {
            Some(Delta::Content(text)) => self.text_bytes += text.len(),
            Some(Delta::Choices(_)) => self.pieces_bytes += data.len(),
            Some(Delta::End(_)) | None => {}
        }
        for (bytes, most) in [(self.text_bytes, MAX_ANSWER_BYTES), (self.pieces_bytes, MAX_PIECES_BYTES)] {
            if bytes > most {
                return Err(self.too_long(most));
            }
        }
        Ok(delta)
    }

    /// The connection ended: never in order, since `[DONE]` comes first.
    pub(super) fn end_of_connection(&self, mid_event: bool) -> Error {
        let reason = match (mid_event, self.finish) {
            (true, _) => "the connection ended in the middle of an event",
            (false, None) => "the connection ended before finish_reason and [DONE]",
            (false, Some(_)) => "the connection ended before [DONE]",
        };
        self.broken(reason.into())
    }

    pub(super) fn broken(&self, reason: String) -> Error {
        Error::Broken { provider: self.provider.clone(), reason }
    }

    pub(super) fn bad(&self, reason: String) -> Error {
        Error::BadAnswer { provider: self.provider.clone(), reason }
    }

    pub(super) fn too_long(&self, limit: usize) -> Error {
        Error::TooLong { provider: self.provider.clone(), limit }
    }

    fn done(&self) -> Result<Delta, Error> {
        let Some(finish) = self.finish else {
            return Err(self.broken("[DONE] came without finish_reason".into()));
        };
        if !self.said && finish == Finish::ContentFilter {
            return Err(filtered(&self.provider));
        }
        Ok(Delta::End(Ending { finish, usage: self.usage }))
    }

    fn error_event(&self, error: &ErrorBody) -> Error {
        self.broken(format!("it says: {}", super::client::shortened(error.message.as_deref().unwrap_or("no reason"))))
    }
}

/// An answer of which the content filter left nothing is none. One that is empty and says why it ended (a model may be asked to
/// say nothing, or for no token) is an answer like any other.
pub(super) fn filtered(provider: &str) -> Error {
    Error::Refused {
        provider: provider.to_owned(),
        status: 400,
        message: "the content filter left nothing of the answer".into(),
        code: Some("content_filter".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"{"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
    const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
    const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    const FILTERED: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}"#;
    const SECOND: &str = r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#;
    const CALL: &str =
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f"}}]}}]}"#;
    const CALLED: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;
    const DONE: &str = "[DONE]";

    /// Feeds events, then the end of the connection unless the stream ended by itself.
    fn check(events: &[&str], want: &str) {
        let mut progress = Progress::new("p");
        let mut got = String::new();
        for event in events {
            match progress.event(event.as_bytes()) {
                Ok(None) => {}
                Ok(Some(Delta::Content(text))) => got.extend([text.as_str(), ";"]),
                Ok(Some(Delta::Choices(choices))) => got.extend(vec!["choice;"; choices.len()]),
                Ok(Some(Delta::End(end))) => {
                    let tokens = end.usage.map_or(0, |u| u.total_tokens);
                    assert_eq!(format!("{got}end {} {tokens}", end.finish.as_str()), want);
                    return;
                }
                Err(error) => {
                    got += error.code();
                    assert_eq!(got, want);
                    return;
                }
            }
        }
        got += progress.end_of_connection(false).code();
        assert_eq!(got, want);
    }

    #[test]
    fn only_a_stream_with_finish_reason_and_done_is_complete() {
        check(&[ROLE, HELLO, HELLO, STOP, USAGE, DONE], "Hello;Hello;end stop 3");
        check(&[HELLO, STOP, DONE], "Hello;end stop 0");
        check(&[HELLO, DONE], "Hello;model_stream_broken");
        check(&[HELLO, STOP], "Hello;model_stream_broken");
        check(&[HELLO], "Hello;model_stream_broken");
        check(&[], "model_stream_broken");
        check(&[STOP, DONE], "end stop 0");
        check(&[ROLE, STOP, USAGE, DONE], "end stop 3");
        check(&[FILTERED, DONE], "model_refused");
        check(&[HELLO, STOP, HELLO, DONE], "Hello;model_bad_answer");
        check(&["{", DONE], "model_bad_answer");
        check(&[HELLO, SECOND, STOP, SECOND, DONE], "Hello;choice;choice;end stop 0");
        check(&[CALL, CALLED, DONE], "choice;end tool_calls 0");
        check(&[r#"{"choices":[{"index":0,"delta":{},"finish_reason":"bored"}]}"#], "model_bad_answer");
        check(&[HELLO, r#"{"error":{"message":"overloaded","code":503}}"#], "Hello;model_stream_broken");
    }

    #[test]
    fn an_endless_answer_is_refused() {
        let mut progress = Progress::new("p");
        let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(60_000));
        let refused = (0..=MAX_ANSWER_BYTES / 60_000).find_map(|_| progress.event(chunk.as_bytes()).err());
        let refused = refused.expect("it ends");
        assert_eq!((refused.code(), refused.is_fault()), ("model_answer_too_long", false));
    }

    #[test]
    fn pieces_that_are_more_than_text_end_at_a_limit_of_their_own() {
        let mut progress = Progress::new("p");
        let piece = format!(r#"{{"choices":[{{"index":1,"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(60_000));
        let taken = (0..1_000).take_while(|_| progress.event(piece.as_bytes()).is_ok()).count();
        assert_eq!(taken, MAX_PIECES_BYTES / piece.len());
        assert!(progress.event(piece.as_bytes()).is_err_and(|error| error.is_limit()));
    }
}
