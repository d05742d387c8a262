//! Server-sent events, reading side: bytes in, whole events out, bounded.
//!
//! Pure and push-driven: the caller owns the connection and its time limits. Follows the WHATWG rules for line ends
//! (LF, CRLF, CR), comments and multi-line data. An event that the connection's end cuts off is not delivered, as the
//! rules say; the caller sees that something was left with [`Decoder::is_mid_event`].

use memchr::memchr2;

use crate::limits::MAX_EVENT_BYTES;

/// An event was longer than [`MAX_EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Collects bytes until they make events. Only the data of an event is kept: providers use no other field.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
}

impl Decoder {
    /// Takes the next bytes and gives the data of every event they complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut events = Vec::new();
        if std::mem::take(&mut self.after_cr) {
            self.after_cr = bytes.is_empty();
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = memchr2(b'\n', b'\r', bytes) {
            self.keep(&bytes[..end])?;
            events.extend(self.end_line());
            let rest = &bytes[end + 1..];
            bytes = match bytes[end] {
                b'\r' if rest.is_empty() => {
                    self.after_cr = true;
                    rest
                }
                b'\r' => rest.strip_prefix(b"\n").unwrap_or(rest),
                _ => rest,
            };
        }
        self.keep(bytes)?;
        Ok(events)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() + part.len() > MAX_EVENT_BYTES {
            return Err(TooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Whether bytes are left that no blank line has turned into an event.
    pub(crate) fn is_mid_event(&self) -> bool {
        self.has_data || !self.line.is_empty()
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        if self.line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        if let Some(value) = self.line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.has_data = true;
        }
        self.line.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, want: &[&str], mid_event: bool) {
        let want: Vec<Vec<u8>> = want.iter().map(|s| s.as_bytes().to_vec()).collect();
        let mut whole = Decoder::default();
        assert_eq!(whole.push(input.as_bytes()).as_ref(), Ok(&want), "{input:?}");
        assert_eq!(whole.is_mid_event(), mid_event, "{input:?}");
        // However the network cuts the bytes, the events are the same.
        let mut bytewise = Decoder::default();
        let got: Vec<Vec<u8>> = input.bytes().flat_map(|b| bytewise.push(&[b]).unwrap()).collect();
        assert_eq!(got, want, "byte by byte: {input:?}");
    }

    #[test]
    fn events_are_the_same_however_lines_end_and_bytes_are_cut() {
        check("data: a\n\ndata: b\n\n", &["a", "b"], false);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"], false);
        check("data: a\r\rdata: b\r\r", &["a", "b"], false);
        check("data:a\n\n", &["a"], false);
        check("data: a\ndata: b\n\n", &["a\nb"], false);
        check("data:\n\n", &[""], false);
    }

    #[test]
    fn comments_and_other_fields_make_no_event() {
        check(": keep-alive\n\nevent: x\nid: 1\n\n", &[], false);
        check(": c\ndata: a\nretry: 5\n\n", &["a"], false);
    }

    #[test]
    fn an_event_cut_off_by_the_end_is_not_delivered() {
        check("data: a\n\ndata: [DONE]\n", &["a"], true);
        check("data: a\n\ndata: [DO", &["a"], true);
    }

    #[test]
    fn an_endless_event_is_refused_not_buffered() {
        let mut decoder = Decoder::default();
        let line = [b"data: ".as_slice(), &[b'x'; 1000], b"\n"].concat();
        assert!((0..=MAX_EVENT_BYTES / 1000).any(|_| decoder.push(&line) == Err(TooLong)));
    }
}
