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

/// Whether two rollouts that the same person asked for would bring the same in the same way: asked again, as after an answer that got
/// lost, it is the one that is under way.
pub(super) fn is_the_same(one: &Plan, other: &Plan) -> bool {
    let digests = match (&one.digest, &other.digest) {
        (Some(one), Some(other)) => one == other,
        // What was built since, or is being built: of the same commit it is the same.
        _ => one.commit.is_some(),
    };
    let asked = (&one.started_by, &one.pause_at, &one.overrides, one.backwards)
        == (&other.started_by, &other.pause_at, &other.overrides, other.backwards);
    asked && digests && (&one.version, &one.commit) == (&other.version, &other.commit)
}

/// A release that has served here before comes back without what it has passed.
pub(super) fn back(service: &Service, release: &Release, by: &Operator) -> Plan {
    let target = Target { version: release.version.clone(), release: Some(release.clone()), ..Target::default() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_twice_is_the_same_only_in_every_respect() {
        let of = |version: &str, digest: Option<&str>, commit: Option<&str>| Plan {
            digest: digest.map(|digest| Digest(digest.into())),
            commit: commit.map(str::to_owned),
            ..Plan::new(version, Digest(String::new()), Operator("ada".into()))
        };
        let built = of("v1", Some("d1"), Some("c1"));
        let same = |other: Plan| is_the_same(&built, &other) && is_the_same(&other, &built);
        assert!(same(built.clone()));
        assert!(same(of("v1", None, Some("c1"))), "as it was asked for before it was built");
        assert!(same(Plan { behind: vec!["ada@example.org".into()], ..built.clone() }));
        assert!(!same(of("v1", Some("d2"), Some("c1"))));
        assert!(!same(of("v2", Some("d1"), Some("c1"))));
        assert!(!same(of("v1", None, Some("c2"))));
        assert!(!same(of("v1", None, None)));
        assert!(!same(Plan { started_by: Operator("bob".into()), ..built.clone() }));
        assert!(!same(Plan { pause_at: BTreeSet::from([Stage::Canary]), ..built.clone() }));
        assert!(!same(Plan { backwards: true, ..built.clone() }));
        let folder = of("v1", None, None);
        assert!(!is_the_same(&folder, &folder), "what lies in the folder may have become another");
    }
}
