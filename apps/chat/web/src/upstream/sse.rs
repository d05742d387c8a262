//! Server-sent events out of bytes, cut anywhere. Pure.

use crate::limits::MAX_EVENT_BYTES;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// The stream is none of ours: an event without an end, or not in UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a stream of events as chat-backend writes them")]
pub(super) struct Malformed;

/// Reads one stream: give it each chunk, then take the events that are complete.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pending: Vec<u8>,
}

impl Reader {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.pending.extend(chunk.iter().filter(|byte| **byte != b'\r'));
    }

    /// The next complete event; comments, which only keep the line open, are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Malformed> {
        while let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.pending.drain(..end + 2).collect();
            if let Some(event) = parse(std::str::from_utf8(&block).map_err(|_| Malformed)?) {
                return Ok(Some(event));
            }
        }
        if self.pending.len() > MAX_EVENT_BYTES { Err(Malformed) } else { Ok(None) }
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut name = "message";
    let mut data = Vec::new();
    for (field, value) in block.lines().filter_map(|line| line.split_once(':')) {
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => data.push(value),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| Event { name: name.to_owned(), data: data.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let stream =
            ": alive\n\nevent: delta\ndata: {\"content\":\"Grüße 👋\"}\n\ndata: a\r\ndata:b\r\n\r\n".as_bytes();
        let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
        let expected = [event("delta", "{\"content\":\"Grüße 👋\"}"), event("message", "a\nb")];
        for cut in 0..=stream.len() {
            let (mut reader, mut events) = (Reader::default(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                reader.push(part);
                while let Some(event) = reader.next().unwrap() {
                    events.push(event);
                }
            }
            assert_eq!(events, expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_never_ends_or_is_no_text_is_refused() {
        let mut reader = Reader::default();
        reader.push(&vec![b'x'; MAX_EVENT_BYTES + 1]);
        assert_eq!(reader.next(), Err(Malformed));
        let mut reader = Reader::default();
        reader.push(b"data: \xff\n\n");
        assert_eq!(reader.next(), Err(Malformed));
    }
}
