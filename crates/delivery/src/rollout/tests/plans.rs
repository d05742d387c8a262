//! Plans that the tests follow.

use std::{collections::BTreeSet, time::Duration};

use super::super::*;
use super::world::{GREEN, operator};

/// Everything there is: two checks, build, scan, staging, smoke, approval, migration, canary in two uneven steps.
pub(crate) fn full() -> Plan {
    let mut plan = Plan::new("v2", Digest(GREEN.into()), operator("bob"));
    plan.digest = None;
    plan.checks = vec!["lint".into(), "test".into()];
    plan.stages = BTreeSet::from([Stage::Building, Stage::Scanning, Stage::Staging, Stage::Smoking, Stage::Migrating]);
    plan.approval = Some(Approval { approvers: vec![operator("ada"), operator("bob")], ..Approval::default() });
    plan.on_call = vec![operator("ada")];
    plan.canary = [(10, 10), (33, 5)]
        .map(|(share, minutes)| CanaryStep {
            share: Percent::try_from(share).unwrap(),
            window: Duration::from_mins(minutes),
        })
        .to_vec();
    plan
}

/// The same with short windows, for what runs through it many times.
pub(crate) fn quick() -> Plan {
    let seconds = Duration::from_secs;
    let mut plan = full();
    plan.canary.iter_mut().for_each(|step| step.window = seconds(25));
    plan.warm = Warm { window: seconds(60), guard: seconds(20), ..Warm::default() };
    plan.gate.longest = seconds(60);
    plan
}

/// What a small service has.
pub(crate) fn short() -> Plan {
    Plan::new("v2", Digest(GREEN.into()), operator("bob"))
}

/// Where it paused by plan.
pub(crate) fn pausing(stage: Stage) -> Plan {
    Plan { pause_at: BTreeSet::from([stage]), ..quick() }
}
