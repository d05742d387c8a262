//! Incidents: what happened, when, to whom, and what is to be learned, written down while it happens. A pure reducer, as alerts are.
//!
//! An incident opens by itself when a P1 or P2 fires that nobody silenced and no maintenance explains, or by a person's word. Alerts
//! of the same cause join it: about the same subject, about what needs it or is needed by it, or of the same rule within a minute. Restarts,
//! deploys (those of the last half hour before it, too) and what people write stand in its timeline. It is resolved when its alerts are; what
//! begins again within ten minutes opens it again.
//!
//! # What always holds
//! 1. One alert is in one incident at a time; an incident with an alert that fires is open.
//! 2. Times are those of the events: began (first breach), detected (fired), recovered (well for the last time), resolved (alerts over).
//! 3. A timeline is in the order in which things were heard, and bounded: where it is full, its middle is counted rather than kept.
//! 4. Nothing in the texts is made up: what nobody counted or found out is said to be unknown. What people wrote for those who work on it
//!    stands in the post-mortem alone.
//!
//! # To add a kind of entry
//! A line in [`EntryKind`], its event in [`What`], and its word in `render.rs`.

mod event;
mod model;
mod render;
mod step;

pub use event::{Effect, Event, What};
pub use model::{
    Affected, AlertSeen, Done, Entry, EntryKind, FOLLOW_UPS, Incident, Incidents, MAX_ACTIONS, MAX_ENTRIES, MAX_KEPT,
    MAX_OPEN, MAX_TEXT, Refusal, Status,
};
pub use render::{announcement, post_mortem};

#[cfg(test)]
mod tests;
