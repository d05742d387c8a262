//! From the manifest to what one rollout goes through. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mana_delivery::gate;
use mana_delivery::rollout::{Approval, CanaryStep, Digest, OnBreach, Operator, Percent, Plan, Release, Stage, Warm};
use mana_manifest::plan::{Gate, Limit, Rollout, Run, Service};

use super::target::Target;
use crate::desired::Version;

/// What the digest of the manifest's own folder is called: what runs before anything was released.
const FOLDER: &str = "folder";

/// What runs from the manifest's own folder, as if it were a release.
pub(super) fn folder(version: &Version) -> Release {
    Release { version: version.to_string(), digest: Digest(FOLDER.to_owned()) }
}

/// The release that is meant, where it is one.
pub(super) fn released(release: &Release) -> Option<Release> {
    (release.digest.0 != FOLDER).then(|| release.clone())
}

/// What a release of a service goes through.
pub(super) fn plan(service: &Service, target: Target, by: &Operator) -> Plan {
    let rollout = &service.rollout;
    let mut stages = BTreeSet::from([Stage::Scanning]);
    if target.release.is_none() {
        stages.insert(Stage::Building);
    }
    if matches!(&service.run, Run::Command(command) if !command.migrate.is_empty()) {
        stages.insert(Stage::Migrating);
    }
    if rollout.staging {
        stages.insert(Stage::Staging);
        if !service.smoke.is_empty() {
            stages.insert(Stage::Smoking);
        }
    }
    let digest = target.release.map(|release| release.digest);
    // A page and what it loads come from one version: no share of a folder's requests goes elsewhere.
    let uncounted = matches!(service.run, Run::Static { .. });
    let canary = rollout
        .canary
        .iter()
        .filter(|_| !uncounted)
        .filter_map(|step| Some(CanaryStep { share: Percent::try_from(step.percent).ok()?, window: step.window }));
    Plan {
        canary: canary.collect(),
        stages,
        checks: target.checks,
        commit: target.commit,
        uncounted,
        smoke_traffic: service.smoke.iter().any(|test| test.only_asks(service)),
        deadlines: deadlines(service),
        gate: policy(rollout),
        approval: rollout.approval.as_ref().map(|approval| Approval {
            approvers: approval.approvers.iter().cloned().map(Operator).collect(),
            starter_may_approve: approval.starter_may_approve,
            expiry: approval.expiry,
        }),
        warm: Warm {
            window: rollout.warm,
            guard: rollout.guard,
            on_breach: if rollout.asks_on_breach { OnBreach::Ask } else { OnBreach::SwitchBack },
        },
        drain: service.limits.drain,
        digest,
        ..Plan::new(target.version, Digest(String::new()), by.clone())
    }
}

/// A release that has served here before comes back without what it has passed.
pub(super) fn back(service: &Service, release: &Release, by: &Operator) -> Plan {
    let target =
        Target { version: release.version.clone(), release: Some(release.clone()), ..Target::default() };
    Plan { canary: Vec::new(), stages: BTreeSet::new(), approval: None, backwards: true, ..plan(service, target, by) }
}

/// What the manifest gives builds and checks is what they have, with time for the checkout and for those before them.
fn deadlines(service: &Service) -> BTreeMap<Stage, Duration> {
    const BESIDE: Duration = Duration::from_mins(30);
    let times = service
        .build
        .iter()
        .flat_map(|build| [(Stage::Building, build.timeout + BESIDE), (Stage::Checking, build.check_timeout + BESIDE)]);
    times.collect()
}

fn policy(rollout: &Rollout) -> gate::Policy {
    let share = |hundredths: u16| f64::from(hundredths) / 10_000.0;
    gate::Policy {
        error_share: share(rollout.errors),
        slow_after: rollout.slow,
        slow_share: share(rollout.slow_share),
        least_requests: rollout.requests,
        longest: rollout.longest.max(longest_window(rollout)),
        series: rollout.gates.iter().map(limit).collect(),
        strict: rollout.strict,
    }
}

fn limit(of: &Gate) -> gate::SeriesLimit {
    let (max, min) = (of.max.map(Limit::get), of.min.map(Limit::get));
    gate::SeriesLimit { name: of.name.clone(), query: of.query.clone(), max, min }
}

/// A verdict cannot come before the window is over.
fn longest_window(rollout: &Rollout) -> Duration {
    let windows = rollout.canary.iter().map(|step| step.window).chain([rollout.guard]);
    windows.max().unwrap_or_default()
}
