//! The rollout: how a release gets into an environment and back out of it, as a pure reducer. [`State::step`] takes an
//! [`Event`] in and says what has to be done; there is no I/O in it, no clock and no chance.
//!
//! ```text
//!  queued → checking → building → scanning → staging → smoking → awaiting-approval      → the end
//!         → migrating → green-starting → verifying                                      → clearing → the end
//!         → canary (step, window) ⇄ held → cutting-over → window → decommissioning      → reviving → returning → clearing → the end
//!         → done                                                                          └─ the way back, from each line ─┘
//! ```
//!
//! # How it is driven
//! One transaction holds the event and the effects that [`State::step`] gave; then the effects are carried out, and the outcome
//! of each comes back as an event with its [`Key`]. A `Tick` is due when [`State::next_wake`] says. An event whose [`Reply`] is
//! not `Taken` has changed nothing and may be left out of the journal. What is not [outstanding](State::outstanding) any more
//! is cancelled. Events that arrive together go through [`in_order`], and rollouts of one service through a [`lane`].
//!
//! After a restart: [`State::fold`] the journal, ask edge and runtime, and send [`What::Restarted`]; its effects are all that has
//! no outcome. Whether the crash came before an effect, after it, or between it and its outcome makes no difference.
//!
//! # What always holds
//! The invariants below are looked at after every step of the property tests, in a world that fails, crashes, repeats and comes
//! late (`tests/`).
//! 1. Weights sum to 100, and whoever gets weight was last said to be ready.
//! 2. Nothing is stopped that has weight in the last acknowledged generation; stopping drains first.
//! 3. Blue is stopped in [`Stage::Decommissioning`] and nowhere else: after its window, when green has passed the gate, or when
//!    a newer rollout is to replace green.
//! 4. Green gets weight only when scan, smoke test, approval and verification of this attempt are for its digest.
//! 5. Abort and rollback are taken in every state that is not final and lead onto the way back at once.
//! 6. Only a pass ends a canary step or the window; a person can promote what is held or asks, and a newer rollout ends a window
//!    in which green serves well.
//! 7. Generations only grow; one rollout per service and environment is active ([`lane`]).
//! 8. The journal leads to the state; what is late, twice or refused changes nothing, not even the time.
//! 9. What is not final has an open effect, a timer, or a named person whom it waits for ([`State::waits_for`]).
//! 10. The way back never migrates, and never leads to what is not ready: that is started first, and somebody is paged.
//! 11. Green is started once an attempt: what was the canary is what takes over.
//!
//! # Where this differs from the first design, and why
//! - The way back is three stages of its own, *reviving*, *returning* and *clearing*, the same from everywhere: each has effects
//!   that can fail, a deadline and a restart, and a state named `aborted` from the beginning would hide where it is.
//! - A question in the window waits for as long as *held* does; then blue gets everything back. Green was never shown to be good.
//! - *Held* has green at 0 %, also when it was told to pause after a canary: nobody judges meanwhile. After a day without a
//!   decision it goes back.
//! - A blue that is lost while green is the canary ends the rollout (revived first): there is nothing left to compare with. In
//!   the window it is started again beside the green that serves.
//! - The window is judged in windows of its own length ([`Warm::guard`]), and ends with the first that passes after its time.
//! - A rollout that is superseded in its window ends as done, its blue stopped early: what goes back first shows users the old version
//!   once more, and leaves them with it when the newer one fails. Switched back, or with a question open, it goes back.
//! - *Migrating* comes before green starts: a service is not ready on a schema that is behind its own. Whether blue bears the new
//!   one is looked at in *verifying*, as in the design.
//! - A first release has no canary, window or decommissioning: there is no blue.
//! - `promote` gets a rollout out of *stuck* where it can: a person says that the process is gone, or that green takes over
//!   because blue cannot be revived. Without that the service could never be delivered again.
//! - Time is counted from the time since boot, so that no jump of the wall clock opens or closes anything ([`Clock`]).
//!
//! # To add a stage
//! Its name in [`Stage`], its phase, what it asks for in `forward.rs`, its outcome in `outcome.rs`, and its rows in [`table`]: the
//! test that compares table and step says what is missing. New names of events and effects are added, none is changed.
//!
//! # The table
//! What makes it move: `good`, `failed` and `unknown` are outcomes of effects (unknown: after five tries), `pass` to
//! `environment` are verdicts, `time` is a tick, `lost` is a slot that was ready, the rest are commands by their names.
//! Drawn by [`graph`]; a test holds it and [`State::step`] to each other.
//!
#![doc = include_str!("table.md")]

mod approval;
mod canary;
mod clock;
mod command;
mod effect;
mod event;
mod evidence;
mod facts;
mod forward;
mod graph;
mod key;
pub mod lane;
mod look;
mod names;
mod news;
mod open;
mod outcome;
mod phase;
mod plan;
mod plan_check;
mod reply;
mod retreat;
mod stage;
mod state;
mod step;
pub mod table;
mod tick;
mod traffic;
mod window;

#[cfg(test)]
mod tests;

pub use canary::{LOST_WINDOWS, RENEW_EVERY};
pub use clock::{Clock, Elapsed, Time};
pub use effect::{Effect, EffectKind, Intent, LEASE, Since};
pub use event::{Command, Event, Facts, Health, Outcome, TrafficFacts, What};
pub use evidence::{Approved, Evidence};
pub use graph::{Graph, graph};
pub use key::{Key, NoKey};
pub use look::{LOOK_EVERY, LOOK_EVERY_ASKED, LOOKS_KEPT, Look};
pub use names::{Digest, Generation, NoPercent, Operator, Percent, Release, RolloutId, Slot};
pub use news::{Headline, News};
pub use open::{Open, RETRY_BASE, TRIES};
pub use phase::{Canary, Held, Phase, Point, Stuck, Window};
pub use plan::{Approval, CanaryStep, OnBreach, Plan, Warm};
pub use plan_check::{MOST_IN_A_LIST, PlanError};
pub use reply::{Refusal, Reply};
pub use retreat::{Ending, REVIVALS, Retreat};
pub use stage::Stage;
pub use state::State;
pub use step::{Step, in_order};
pub use traffic::Traffic;
