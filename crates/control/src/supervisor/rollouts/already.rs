//! What is asked for and there already: that which serves, or is under way.

use mana_delivery::rollout::lane::Lane;
use mana_delivery::rollout::{Plan, Release, RolloutId, Stage};

use super::effects::recorded;
use super::plan;
use crate::api::Problem;
use crate::releases;
use crate::secrets::Secrets;
use crate::supervisor::Supervisor;
use crate::supervisor::calls::internal;

impl Supervisor {
    /// The rollout that brings this already, or has brought it and what it brought serves, as the manifest would have it now. `supersede`:
    /// those before it are to end.
    pub(super) fn already(&self, service: &str, plan: &Plan, supersede: bool) -> Result<Option<RolloutId>, Problem> {
        let serves = self.serves_this(service, plan);
        let lane = self.rollouts.lanes.get(service);
        let (active, waiting) = (lane.and_then(Lane::active), lane.and_then(|lane| lane.waiting().last()));
        let Some(newest) = waiting.or(active) else {
            return if serves { self.brought(service, plan) } else { Ok(None) };
        };
        let Some(rollout) = self.rollouts.known.get(&newest) else { return Ok(None) };
        let state = &rollout.state;
        // On its way back, or stuck, it is not what is asked for.
        let goes_on = state.stage().is_forward() || matches!(state.stage(), Stage::Queued | Stage::Held);
        let alone = waiting.is_none() || !supersede;
        let same = plan::is_the_same(state.plan(), plan) || (serves && state.stage() == Stage::Window);
        Ok((goes_on && alone && same).then_some(newest))
    }

    /// Whether what serves is this release, and would be no other version if it were deployed anew.
    fn serves_this(&self, service: &str, plan: &Plan) -> bool {
        let Some((slot, live)) = self.live(service) else { return false };
        let is_plain = plan.overrides.is_empty() && plan.pause_at.is_empty();
        if !is_plain || live.version != plan.version || !self.is_of(service, &live, plan) || self.is_down(service, slot)
        {
            return false;
        }
        let Some(desired) = &self.desired else { return false };
        Secrets::load(&self.data).is_ok_and(|secrets| !desired.would_change(service, slot, &secrets))
    }

    /// Whether a release is the one that a plan names, or of the commit that it would build.
    fn is_of(&self, service: &str, live: &Release, plan: &Plan) -> bool {
        if let Some(digest) = &plan.digest {
            return *digest == live.digest;
        }
        let (Some(commit), Some(desired)) = (&plan.commit, &self.desired) else { return false };
        let record = recorded(&releases::store(&desired.plan, service), live);
        record.is_ok_and(|record| !record.dirty && record.commit == *commit)
    }

    /// The last rollout that brought this and got through.
    fn brought(&self, service: &str, plan: &Plan) -> Result<Option<RolloutId>, Problem> {
        let rows = self.store.rollouts(Some(service)).map_err(|error| internal(&error))?;
        let brought = rows
            .iter()
            .find(|row| row.ended.as_deref() == Some(Stage::Done.name()) && row.plan.version == plan.version);
        Ok(brought.map(|row| row.id))
    }
}
