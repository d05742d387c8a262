//! Which plans can be followed.

use thiserror::Error;

use super::{Plan, Stage};

/// More steps, checks or approvers than anyone needs are a mistake in the manifest.
pub const MOST_IN_A_LIST: usize = 32;

/// What no rollout can follow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// See the message.
    #[error(
        "the plan neither builds a release nor names the digest of one, so nothing could be delivered: add a build command or deploy a release that exists"
    )]
    NothingToDeliver,
    /// See the message.
    #[error(
        "canary step {step} sends {share} % to green: shares lie between 1 and 99 and grow from step to step (100 % is the cutover, which comes by itself)"
    )]
    Share {
        /// From 1.
        step: usize,
        /// What was asked for.
        share: u8,
    },
    /// See the message.
    #[error("{0} lasts no time at all: give it a length, such as `10m`")]
    Empty(&'static str),
    /// See the message.
    #[error(
        "the warm window is shorter than the windows its gate judges, so it could never pass: make `window` at least as long as `guard`"
    )]
    GuardTooLong,
    /// See the message.
    #[error(
        "a canary is judged by what the edge counts of it, and here it counts nothing by slot: take the canary away"
    )]
    Uncounted,
    /// See the message.
    #[error("there are {count} {what}, and at most {MOST_IN_A_LIST} are possible")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// See the message.
    #[error(
        "it cannot pause at `{0}`: a rollout pauses before one of the stages from `checking` to `cutting-over` that it has"
    )]
    NoPause(Stage),
    /// See the message.
    #[error("`{0}` is no stage that a plan adds: `stages` takes building, scanning, staging, smoking and migrating")]
    NotOptional(Stage),
}

impl Plan {
    /// Whether it can be followed.
    pub fn check(&self) -> Result<(), PlanError> {
        if !self.builds() && self.digest.is_none() {
            return Err(PlanError::NothingToDeliver);
        }
        let approvers = self.approval.as_ref().map_or(0, |approval| approval.approvers.len());
        let gates = self.gate.series.len();
        let lists = [
            ("checks", self.checks.len()),
            ("canary steps", self.canary.len()),
            ("approvers", approvers),
            ("gates", gates),
        ];
        if let Some((what, count)) = lists.into_iter().find(|(_, count)| *count > MOST_IN_A_LIST) {
            return Err(PlanError::TooMany { what, count });
        }
        let mut least = 1;
        for (index, step) in self.canary.iter().enumerate() {
            let share = step.share.get();
            if !(least..=99).contains(&share) {
                return Err(PlanError::Share { step: index + 1, share });
            }
            least = share + 1;
        }
        if self.canary.iter().any(|step| step.window.is_zero()) {
            return Err(PlanError::Empty("a canary step"));
        }
        if self.uncounted && !self.canary.is_empty() {
            return Err(PlanError::Uncounted);
        }
        if self.warm.guard.is_zero() && !self.warm.window.is_zero() {
            return Err(PlanError::Empty("the window that the gate judges after the cutover"));
        }
        if self.warm.guard > self.warm.window && !self.warm.window.is_zero() {
            return Err(PlanError::GuardTooLong);
        }
        let optional = [Stage::Building, Stage::Scanning, Stage::Staging, Stage::Smoking, Stage::Migrating];
        if let Some(stage) = self.stages.iter().find(|stage| !optional.contains(stage)) {
            return Err(PlanError::NotOptional(*stage));
        }
        match self.pause_at.iter().find(|stage| !stage.can_pause()) {
            Some(stage) => Err(PlanError::NoPause(*stage)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::super::{CanaryStep, Digest, Operator, Percent, Warm};
    use super::*;

    fn check(change: impl FnOnce(&mut Plan), message: &str) {
        let mut plan = Plan::new("v2", Digest("d".into()), Operator("ada".into()));
        assert_eq!(plan.check(), Ok(()));
        change(&mut plan);
        let error = plan.check().expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    }

    fn step(share: u8, seconds: u64) -> CanaryStep {
        CanaryStep { share: Percent::try_from(share).unwrap(), window: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_plan_that_could_not_be_followed_says_what_to_change() {
        check(|plan| plan.digest = None, "neither builds a release nor names the digest of one");
        check(|plan| plan.canary = vec![step(10, 60), step(10, 60)], "canary step 2 sends 10 % to green");
        check(|plan| plan.canary = vec![step(100, 60)], "100 % is the cutover, which comes by itself");
        check(|plan| plan.canary = vec![step(0, 60)], "canary step 1 sends 0 %");
        check(|plan| plan.canary = vec![step(5, 0)], "a canary step lasts no time at all");
        check(|plan| plan.uncounted = true, "take the canary away");
        check(|plan| plan.warm.guard = Duration::ZERO, "after the cutover lasts no time at all");
        let none = Warm { window: Duration::ZERO, ..Warm::default() };
        let plan = Plan { warm: none, ..Plan::new("v2", Digest("d".into()), Operator("ada".into())) };
        assert_eq!((plan.check(), plan.has(Stage::Window, true)), (Ok(()), false));
        check(|plan| plan.warm.window = Duration::from_mins(9), "make `window` at least as long as `guard`");
        check(|plan| plan.checks = vec![String::new(); 33], "there are 33 checks, and at most 32 are possible");
        check(|plan| plan.stages = BTreeSet::from([Stage::Canary]), "`canary` is no stage that a plan adds");
        check(|plan| plan.pause_at = BTreeSet::from([Stage::Window]), "it cannot pause at `window`");
    }
}
