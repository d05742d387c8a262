//! What a step did, in the words of the table.

use std::collections::BTreeSet;

use super::super::{table::On, *};
use crate::gate::Verdict;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Transition {
    pub(crate) from: Stage,
    pub(crate) on: On,
    pub(crate) to: Stage,
    /// What was asked for that was not asked for already.
    pub(crate) asks: BTreeSet<EffectKind>,
}

impl Transition {
    /// `None` when nothing moved.
    pub(crate) fn observed(before: &State, event: &Event, after: &State, effects: &[Intent]) -> Option<Self> {
        // What is tried again is not asked for anew.
        let anew = effects.iter().filter(|intent| !before.open.iter().any(|open| open.key == intent.key));
        let mut asks: BTreeSet<_> = anew.map(|intent| intent.effect.kind()).collect();
        let (from, to) = (before.stage(), after.stage());
        if from == to {
            asks.retain(|kind| !before.waits_for_effect(*kind));
        }
        let moved = from != to || !asks.is_empty();
        moved.then(|| Self { from, on: on(event, after).expect("it moves nothing"), to, asks })
    }
}

fn on(event: &Event, after: &State) -> Option<On> {
    Some(match &event.what {
        What::Start { .. } => On::Start,
        What::Tick => On::Tick,
        What::Seen { health: Health::Ready, .. } => return None,
        What::Seen { .. } => On::Lost,
        What::Restarted { .. } => On::Restarted,
        What::Outcome { outcome, .. } => match outcome {
            Outcome::Done | Outcome::Built { .. } | Outcome::Passed { .. } => On::Good,
            Outcome::Failed { .. } => On::Bad,
            Outcome::Unknown { .. } => On::Unknown,
            Outcome::Stale { .. } => On::Stale,
            Outcome::Measured { .. } => match after.looks().last().unwrap().judgement.verdict {
                Verdict::Pass => On::Pass,
                Verdict::Fail => On::Fail,
                Verdict::Environment => On::Environment,
                Verdict::NoData | Verdict::Inconclusive => On::NoVerdict,
            },
        },
        What::Command { command, .. } => match command {
            Command::Approve { .. } => On::Approve,
            Command::Reject { .. } => On::Reject,
            Command::PauseAt { .. } => return None,
            Command::Promote => On::Promote,
            Command::Abort => On::Abort,
            Command::Retry => On::Retry,
            Command::Rollback => On::Rollback,
            Command::Switch { .. } => On::Switch,
            Command::Supersede { .. } => On::Supersede,
        },
    })
}
