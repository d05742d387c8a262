//! The limit on everything a caller may send or hold, each with its reason.

use std::time::Duration;

/// Messages in one call: a long conversation, not an archive.
pub(crate) const MAX_MESSAGES: usize = 200;

/// Characters in one message: about eight thousand tokens, which every model on offer takes.
pub(crate) const MAX_CONTENT_CHARS: usize = 32_000;

/// Characters of one call in all: about the context of the smallest model on offer (128 k tokens).
pub(crate) const MAX_CALL_CHARS: usize = 400_000;

/// Bytes of one request: the characters above at four bytes each would not fit the models anyway.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Bytes of one request at `/v1`, where pictures may come in the body: a few of the size that models look at.
pub(crate) const MAX_OPENAI_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Answers that one call may ask for: each is paid for.
pub(crate) const MAX_CHOICES: u32 = 8;

/// Stored messages that are put before a single new one; what is older has left the model's attention.
pub(crate) const MAX_HISTORY_MESSAGES: u64 = 40;

/// Characters of stored messages that are put before a new one, so that the answer still fits.
pub(crate) const MAX_HISTORY_CHARS: usize = 100_000;

/// Characters of a conversation's name.
pub(crate) const MAX_TITLE_CHARS: usize = 200;

/// Characters that a name made from the first question keeps: one line of a list.
pub(crate) const MADE_TITLE_CHARS: usize = 60;

/// Versions of one question or answer: each is one press of a button; whoever needs more begins a new conversation.
pub(crate) const MAX_BRANCHES: u64 = 50;

/// Messages from a conversation's beginning to the end of one branch that are looked at: an export of it holds their ids.
pub(crate) const MAX_PATH: u64 = 10_000;

/// Texts that come with one question.
pub(crate) const MAX_ATTACHMENTS: usize = 4;

/// Characters of one of them: with the others and the question it stays below what the smallest model on offer reads.
pub(crate) const MAX_ATTACHMENT_CHARS: usize = 50_000;

/// Characters of an attachment's name.
pub(crate) const MAX_ATTACHMENT_NAME_CHARS: usize = 120;

/// Characters of the instructions for the model.
pub(crate) const MAX_SYSTEM_PROMPT_CHARS: usize = 8_000;

/// Links to one conversation.
pub(crate) const MAX_SHARES: u64 = 20;

/// Characters of a search.
pub(crate) const MAX_SEARCH_CHARS: usize = 200;

/// Words of a search that count: more narrow nothing down.
pub(crate) const MAX_SEARCH_WORDS: usize = 10;

/// How long the model may take to name a conversation. Nobody waits for it; the first words are there meanwhile.
pub(crate) const TITLE_PATIENCE: Duration = Duration::from_secs(15);

/// Conversations named at once. One more keeps its first words.
pub(crate) const TITLE_PLACES: usize = 8;

/// Characters of question and answer that the model reads to name a conversation: it costs us, not the person.
pub(crate) const TITLE_READS_CHARS: usize = 1_000;

/// Messages that an export reads at a time.
pub(crate) const EXPORT_PAGE: u64 = 100;

/// Pieces of an export on their way to a client that reads slowly.
pub(crate) const EXPORT_IN_FLIGHT: usize = 4;

/// How long an export waits for a client that takes nothing.
pub(crate) const EXPORT_STALL: Duration = Duration::from_secs(30);

/// Entries of a page, when the caller does not say.
pub(crate) const PAGE_DEFAULT: u64 = 50;

/// Entries of a page, at most.
pub(crate) const PAGE_MAX: u64 = 100;

/// How long the ledger may take. It answers in milliseconds; two seconds covers a restart of the instance behind the edge.
pub(crate) const LEDGER_PATIENCE: Duration = Duration::from_secs(2);

/// How long credits stay held back when nobody resolves the reservation. A settle that waits in the outbox for longer is
/// reserved anew, which the balance may no longer cover: so this is the longest outage that certainly costs nobody anything.
pub(crate) const RESERVATION_TTL: Duration = Duration::from_hours(1);

/// How long the list of models is believed.
pub(crate) const MODELS_TTL: Duration = Duration::from_hours(1);
