//! Alerts: rules, the life of what they find, and who is told of it, as a pure reducer. [`State::step`] takes an [`Event`] in and says what
//! is to be done; there is no I/O in it, no clock and no chance, and no query engine: whoever evaluates a rule's expression says what
//! came out.
//!
//! ```text
//!             in breach              for `for`            well                    for `keep_firing_for`
//!  inactive ────────────→ pending ────────────→ firing ⇄ well again, firing still ───────────────────────→ resolved
//!      ↑                     │ well                         └─ in breach
//!      └─────────────────────┘
//! ```
//! A rule whose expression finds no series, fails, or is not evaluated, is in a state of its own; after a while that is an alert of its
//! own kind. Meanwhile what was pending or fired stays as it was: without an answer nothing is well, and nothing is worse.
//!
//! # How it is driven
//! Evaluate each rule every ten seconds at least, tell the time every second ([`What::Tick`]), and before that, and whenever it changes, what is watched
//! ([`What::RulesChanged`]). Where [`Step::save`] says so, the state has to be on disk before the effects are carried out. After a restart,
//! read it, send what is [outstanding](State::outstanding), and go on. A message is sent when whatever delivers it has it in its keeping:
//! delivery is tried again there, not here.
//!
//! # Who is told
//! 1. What fires is [muted](Muted) by a silence, by maintenance, or by a cause: what is dead, and is needed by what this is about. Then nobody is
//!    told unless it outlives that.
//! 2. What is not muted joins a [group](Group): of alerts that share what their rules are grouped by, or that have to do with each other and
//!    begin within the same moment. A group is told when five seconds and an evaluation brought nothing new, and nothing that belongs to it or is its
//!    cause is about to fire, at most [`Policy::gather`] after it began (twice that where its cause is about to fire). Many groups at once are one.
//! 3. Until somebody acknowledges a group, or it is over, it is told again, and by its [`Urgency`] further steps of its path are told.
//!
//! # What always holds
//! Looked at after every step of the property tests.
//! 1. Nothing fires before it was in breach for its `for` (but for half a second), in answers that followed each other.
//! 2. Each time that an alert fires is told once, in one message; or it was muted when it ended.
//! 3. What is held back is held back by something that fires, and never in a circle.
//! 4. No two messages have the same key; nothing is said of a group after its end.
//! 5. Decisions use time that was watched, which never goes back and never leaps further than [`LONGEST_GAP`]: a clock that is set fires and
//!    resolves nothing. Only what people gave a time on the calendar (silences, maintenance, acknowledgements) ends by the clock on the wall.
//! 6. The state comes back from its text as it was, and goes on as it would have.
//! 7. Everything is bounded: rules, alerts of each and of all, silences, messages on their way, lines of a message.
//!
//! # Where this differs from Prometheus and its Alertmanager, and why
//! - An expression that reads no series is not well: it has *no data*. There it is silently inactive.
//! - Time while nobody watched does not count for `for`.
//! - Groups are told as soon as nothing more is coming, rather than after a fixed wait: a single alert is told within six seconds.
//! - Inhibition follows from what needs what, rather than from rules of its own.
//!
//! # To add a rule that everybody has
//! A table in `builtin.toml`, and what it reads in [`builtin::METRICS`].

pub mod builtin;
mod evaluate;
mod event;
mod group;
mod instance;
mod mute;
mod needs;
mod policy;
mod reach;
mod rule;
mod silence;
pub mod slo;
mod span;
mod state;
mod tell;
mod template;
mod text;
mod view;
mod wire;

pub use event::{Became, Book, Change, Effect, Event, Outcome, Step, Tell, TellKind, What};
pub use group::{Acknowledged, Group, MAX_LINES};
pub use instance::{Alert, AlertId, Clear, Fired, Kind, Muted};
pub use needs::Needs;
pub use policy::{Policy, Urgencies, Urgency};
pub use reach::{CannotFire, can_fire, meant};
pub use rule::{Absence, DEFAULT_PATH, MAX_EXPRESSION, MAX_LIST, MAX_NAME, Problem, Role, Rule, Severity};
pub use silence::{
    Comparison, Condition, Covers, LONGEST as LONGEST_SILENCE, MAX_CONDITIONS, MAX_REASON, MAX_SERVICES, MAX_VALUE,
    NoCondition, Quiet, Refusal, Selector,
};
pub use span::{NoSpan, Span};
pub use state::{LONGEST_GAP, MAX_ALERTS, MAX_OUTSTANDING, MAX_PER_RULE, MAX_QUIETS, MAX_RULES, State};
pub use template::{MAX_TEMPLATE, NoTemplate, Template};
pub use text::utc;
pub use view::{RuleState, RuleView};
pub use wire::Value;

#[cfg(test)]
mod tests;
