//! The limit on everything a provider may send us.

/// Longest answer, plain or streamed. The longest output of today's models (128 k tokens) is about half of it.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// All pieces of a stream that are more than text (calls of tools, further choices, probabilities), which are held until it ends: some
/// thousand tokens with twenty probabilities each.
pub const MAX_PIECES_BYTES: usize = 4 * MAX_ANSWER_BYTES;

/// Longest stream, with all that is around its text: at a hundred bytes for each of the text's, no answer comes near it.
pub const MAX_STREAM_BYTES: usize = 64 * MAX_ANSWER_BYTES;

/// Longest single event of a stream. A chunk carries a few tokens; 64 KiB leaves room for providers that add metadata.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// How much of a provider's error text is kept for logs and callers: enough for a sentence, not for a page of HTML.
pub const MAX_ERROR_CHARS: usize = 300;

/// Longest error body read at all before giving up on its text.
pub const MAX_ERROR_BYTES: usize = 16 * 1024;
