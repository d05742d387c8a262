//! Checks and builds of a rollout.

use std::collections::BTreeMap;

use mana_delivery::rollout::{Digest, Effect, Intent, Outcome, RolloutId};
use mana_release::event::Events;
use tokio::sync::mpsc;

use super::target::Source;
use super::{Found, Rollout, output};
use crate::releases;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Where releases of a service come from.
    pub(super) fn source(&self, service: &str) -> Option<Source> {
        let plan = self.desired.as_ref()?.plan.clone();
        let applied = self.store.applied().ok()??;
        Some(Source { manifest: applied.request.manifest, plan, service: service.to_owned() })
    }

    /// All checks of a rollout that nobody runs yet, in one checkout beside each other.
    pub(super) fn run_checks(&mut self, id: RolloutId) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let wanted: BTreeMap<String, u64> = rollout
            .state
            .outstanding()
            .filter(|intent| !rollout.working.contains_key(&intent.key.n))
            .filter_map(|intent| match intent.effect {
                Effect::RunCheck { name } => Some((name, intent.key.n)),
                _ => None,
            })
            .collect();
        let (source, commit, version, events) = self.made_of(rollout)?;
        let numbers: Vec<u64> = wanted.values().copied().collect();
        self.work_on(id, &numbers, async move |tell| {
            let checked = checks(&source, commit.as_deref(), &version, &wanted, &events, &tell).await;
            if let Err(reason) = checked {
                // Those that have an outcome already do not hear it.
                for n in wanted.into_values() {
                    tell.found(n, Found::Outcome(Outcome::Failed { reason: reason.clone() })).await;
                }
            }
        });
        None
    }

    pub(super) fn build(&mut self, id: RolloutId, intent: &Intent) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let (source, commit, version, events) = self.made_of(rollout)?;
        self.work(id, intent.key.n, async move {
            let built = build(&source, commit.as_deref(), &version, &events).await;
            Found::Outcome(match built {
                Ok(digest) => Outcome::Built { digest },
                Err(reason) => Outcome::Failed { reason },
            })
        });
        None
    }

    fn made_of(&self, rollout: &Rollout) -> Option<(Source, Option<String>, String, Events)> {
        let plan = rollout.state.plan();
        let events = output::events(&self.data, rollout.state.id());
        Some((self.source(&rollout.service)?, plan.commit.clone(), plan.version.clone(), events))
    }
}

/// Whoever carries out several effects at once tells the outcome of each.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    pub(super) rollout: RolloutId,
    pub(super) mailbox: mpsc::Sender<crate::supervisor::Message>,
}

impl Teller {
    pub(super) async fn found(&self, n: u64, found: Found) {
        let told = super::Told { rollout: self.rollout, n, found };
        // The owner is gone only when the process ends.
        let _ = self.mailbox.send(crate::supervisor::Message::Rollout(told)).await;
    }
}

async fn checks(
    source: &Source,
    commit: Option<&str>,
    version: &str,
    wanted: &BTreeMap<String, u64>,
    events: &Events,
    tell: &Teller,
) -> Result<(), String> {
    let store = releases::store(&source.plan, &source.service);
    let passed = match commit {
        Some(commit) => store.passed(commit).map_err(|error| error.to_string())?,
        None => BTreeMap::new(),
    };
    let mut open = wanted.clone();
    open.retain(|name, _| !passed.contains_key(name));
    for (name, n) in wanted.iter().filter(|(name, _)| passed.contains_key(*name)) {
        events.note(format!("check {name}: {version} passed it before")).await;
        tell.found(*n, Found::Outcome(Outcome::Done)).await;
    }
    if open.is_empty() {
        return Ok(());
    }
    let found = source.again(commit, version).await?;
    let prepared = releases::prepare_commit(&source.order(commit), found, events).await;
    let prepared = prepared.map_err(|error| error.in_full())?;
    if let Some(missing) = open.keys().find(|name| !prepared.recipe.checks.contains_key(*name)) {
        return Err(format!("{version} has no check {missing}"));
    }
    let (ended, mut each) = mpsc::unbounded_channel();
    let telling = async {
        while let Some((n, outcome)) = each.recv().await {
            tell.found(n, Found::Outcome(outcome)).await;
        }
    };
    let checking = async {
        let checked = prepared.check(
            &store,
            |name| open.contains_key(name),
            events,
            |check| {
                let outcome = if check.end.success() {
                    Outcome::Done
                } else {
                    Outcome::Failed { reason: format!("{} ({})", check.end, check.log.display()) }
                };
                // There are as many as checks, and the reader lives as long.
                if let Some(n) = open.get(&check.name) {
                    let _ = ended.send((*n, outcome));
                }
            },
        );
        let checked = checked.await.map_err(|error| error.in_full());
        drop(ended);
        checked
    };
    let (checked, ()) = tokio::join!(checking, telling);
    checked.map(drop)
}

async fn build(source: &Source, commit: Option<&str>, version: &str, events: &Events) -> Result<Digest, String> {
    let full = |error: releases::Error| error.in_full();
    let order = source.order(commit);
    let found = source.again(commit, version).await?;
    if let Some(release) = releases::built(&order, &found).map_err(full)? {
        events.note(format!("{} was built before", release.id())).await;
        return Ok(Digest(release.digest.to_string()));
    }
    let store = releases::store(&source.plan, &source.service);
    let prepared = releases::prepare_commit(&order, found, events).await.map_err(full)?;
    let release = prepared.build(&store, events).await.map_err(full)?;
    Ok(Digest(release.digest.to_string()))
}
