//! A rollout as a pure reducer.

mod canary;
mod clock;
mod command;
mod effect;
mod event;
mod facts;
mod forward;
mod key;
mod look;
mod names;
mod open;
mod outcome;
mod phase;
mod plan;
mod reply;
mod retreat;
mod stage;
mod state;
mod step;
mod tick;
mod traffic;
mod window;

#[cfg(test)]
mod tests;

pub use canary::{LOST_WINDOWS, RENEW_EVERY};
pub use clock::{Clock, Elapsed, Time};
pub use effect::{Effect, EffectKind, Headline, Intent, LEASE, News, Since};
pub use event::{Command, Event, Facts, Health, Outcome, TrafficFacts, What};
pub use key::{Key, NoKey};
pub use look::{LOOKS_KEPT, Look};
pub use names::{Digest, Generation, NoPercent, Operator, Percent, Release, RolloutId, Slot};
pub use open::{Open, RETRY_BASE, TRIES};
pub use phase::{Canary, Held, Phase, Point, Stuck, Window};
pub use plan::{Approval, CanaryStep, MOST_IN_A_LIST, OnBreach, Plan, PlanError, Warm};
pub use reply::{Refusal, Reply};
pub use retreat::REVIVALS;
pub use stage::Stage;
pub use state::{Approved, Ending, Evidence, Retreat, State, Traffic};
pub use step::{Step, in_order};
