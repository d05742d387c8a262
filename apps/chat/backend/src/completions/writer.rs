//! Server-sent events, writing side.

use axum::body::Bytes;
use serde::Serialize;

/// Events that are sent together. Their data is JSON, which has no ends of lines in it.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// An event without a name.
    pub(super) fn data(&mut self, data: &impl Serialize) {
        self.0.extend_from_slice(b"data: ");
        self.json(data);
        self.0.extend_from_slice(b"\n\n");
    }

    /// An event with a name.
    pub(super) fn named(&mut self, name: &str, data: &impl Serialize) {
        self.0.extend_from_slice(b"event: ");
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.data(data);
    }

    /// An event whose data is written but for one value of it.
    pub(super) fn around(&mut self, before: &str, value: &impl Serialize, after: &str) {
        self.0.extend_from_slice(b"data: ");
        self.0.extend_from_slice(before.as_bytes());
        self.json(value);
        self.0.extend_from_slice(after.as_bytes());
        self.0.extend_from_slice(b"\n\n");
    }

    /// The word that ends OpenAI's streams.
    pub(super) fn done(&mut self) {
        self.0.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// A comment, which clients pass over.
    pub(super) fn keep_alive(&mut self) {
        self.0.extend_from_slice(b":\n\n");
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    fn json(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.0, value).expect("strings, ids, amounts and JSON become JSON");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_lines_in_a_text_end_no_event() {
        let mut writer = Writer::default();
        writer.data(&"a\nb");
        writer.named("delta", &"c\r\n\r\nd");
        writer.around("{\"text\":", &"e\u{2028}\n", "}");
        writer.keep_alive();
        writer.done();
        let want = "data: \"a\\nb\"\n\nevent: delta\ndata: \"c\\r\\n\\r\\nd\"\n\ndata: {\"text\":\"e\u{2028}\\n\"}\n\n:\n\ndata: [DONE]\n\n";
        assert_eq!(writer.into_bytes(), want);
    }
}
