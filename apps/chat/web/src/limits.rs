//! The limit on everything a browser may send or hold, and on every wait, each with its reason.

use std::time::Duration;

/// Bytes of one form: above the most that chat-backend takes in one call (1 MiB), half of it written as `%XX`.
pub(crate) const MAX_FORM_BYTES: usize = 2 * 1024 * 1024;

/// Bytes of one answer of another service: a page of messages, each of the longest kind, stays far below.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How long a sign-in lasts at the most. The refresh token ends it earlier when unused for a week.
pub(crate) const SESSION_AGE: Duration = Duration::from_hours(30 * 24);

/// How often what is too old is removed; so long it outlives its time at the most.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// An access token is exchanged this long before it expires, so that none expires on its way.
pub(crate) const FRESH_FOR: Duration = Duration::from_mins(1);

/// How long one instance alone may take to exchange tokens; longer than the call to mana-core-auth can take.
pub(crate) const REFRESH_LEASE: Duration = Duration::from_secs(15);

/// How long a request waits for another one's exchange; as long as that one may take.
pub(crate) const REFRESH_PATIENCE: Duration = REFRESH_LEASE;

/// How often a waiting request looks whether the exchange is done: a quarter of what the exchange takes as a rule.
pub(crate) const REFRESH_LOOK: Duration = Duration::from_millis(25);

/// How long mana-core-auth may take for one call. Hashing a password under load takes the longest.
pub(crate) const AUTH_PATIENCE: Duration = Duration::from_secs(10);

/// How long the download of a whole history may take: a million lines on a slow line.
pub(crate) const EXPORT_PATIENCE: Duration = Duration::from_mins(5);

/// How long the sign-in page waits to be told of a provider; without it the page is complete all the same.
pub(crate) const PROVIDER_PATIENCE: Duration = Duration::from_secs(1);

/// How long chat-backend may take for one call that asks no model.
pub(crate) const BACKEND_PATIENCE: Duration = Duration::from_secs(10);

/// How long a page whose question came to nothing waits to be told whether its conversation is gone: less than it waits for the
/// end of an answer that has not begun.
pub(crate) const REMOVAL_PATIENCE: Duration = Duration::from_secs(2);

/// How long the first word may take; above what chat-backend itself allows its models.
pub(crate) const FIRST_WORD_PATIENCE: Duration = Duration::from_secs(110);

/// Silence after which a stream counts as broken: chat-backend sends a sign of life every ten seconds.
pub(crate) const STREAM_SILENCE: Duration = Duration::from_secs(30);

/// Bytes of one unfinished event of a stream: the `done` event repeats the whole answer.
pub(crate) const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// Conversations of one page of the list: what fits a tall screen.
pub(crate) const CONVERSATIONS_A_PAGE: usize = 30;

/// How often a page is told what was written: more often than anybody can see only costs.
pub(crate) const FRAME: Duration = Duration::from_millis(50);

/// How long an answer goes on that nobody reads along with. A page that is loaded again is back within seconds, a phone that
/// was in a tunnel within a minute.
pub(crate) const LEFT_ALONE: Duration = Duration::from_mins(2);

/// How long an answer is known here after its end, to who comes back for it; afterwards chat-backend is asked.
pub(crate) const WRITING_KEPT: Duration = Duration::from_mins(1);

/// Answers under way or just ended, beyond which no notice is taken of stops for answers that are not known.
pub(crate) const MAX_WRITINGS: usize = 100_000;

/// How often an instance that writes answers looks for stops that have reached another one: soon enough for whoever has pressed *Stop*, and
/// one small query for each instance.
pub(crate) const STOP_LOOK: Duration = Duration::from_secs(1);

/// Stops that such a look sees: far more than people send in [`WRITING_KEPT`].
pub(crate) const MAX_STOPS_SEEN: u64 = 10_000;

/// Characters of the key that a page gives a question: twice as long as ours.
pub(crate) const MAX_KEY_CHARS: usize = 64;

/// How often chat-backend is asked for an answer that another instance is being given. It waits for a minute by itself each time.
pub(crate) const IN_PROGRESS_TRIES: usize = 5;

/// The pause in between.
pub(crate) const IN_PROGRESS_PAUSE: Duration = Duration::from_secs(1);
