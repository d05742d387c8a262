//! What a rollout asks for, carried out. Each is asked again until it has an outcome, so that it needs no memory of its own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mana_delivery::rollout::{
    self as delivery, Effect, Generation, Intent, News, Outcome, Percent, Release, RolloutId,
};
use mana_edge::admin::{Client, ClientError};
use mana_release::store::Store;

use super::making::Teller;
use super::{Found, Rollout, Working, plan};
use crate::desired::Wanted;
use crate::guard::{self, Seen, Serves};
use crate::secrets::Secrets;
use crate::supervisor::Supervisor;
use crate::supervisor::place::Place;
use crate::{paths, releases};

/// Longest time one answer of the edge may take.
pub(super) const EDGE_TIMEOUT: Duration = Duration::from_secs(5);

impl Supervisor {
    /// How an effect went, where that can be seen now. What takes time is begun.
    pub(super) fn pursue(&mut self, id: RolloutId, intent: &Intent) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        if rollout.working.contains_key(&intent.key.n) {
            return None;
        }
        match &intent.effect {
            Effect::Scan { digest } => self.scan(id, intent, digest),
            Effect::AskApproval { release } => {
                let service = rollout.service.clone();
                if !self.ask_people(id, intent.key.n) {
                    return None;
                }
                let asked = format!("{id}: {} waits for an approval: `mana rollout approve {id}`", release.version);
                self.note(Some(&service), None, "approval", &asked);
                Some(Outcome::Done)
            }
            Effect::EnsureRunning { slot, release } => self.ensure_running(id, intent, *slot, release),
            Effect::Verify { slot, digest } => self.verify(id, intent, *slot, digest),
            Effect::EnsureWeights { green, generation, .. } => {
                self.ensure_weights(id, Some(*green), *generation, intent.key.n)
            }
            Effect::EnsureUnrouted { generation } => self.ensure_weights(id, None, *generation, intent.key.n),
            Effect::RenewLease { .. } => self.renew_lease(id, intent),
            Effect::Measure { since, window } => self.measure(id, intent, *since, *window),
            Effect::EnsureStopped { slot, .. } => self.ensure_stopped(id, *slot),
            Effect::Notify(news) => {
                let (service, text) = (rollout.service.clone(), told(id, news));
                if !self.tell_news(id, intent.key.n, news) {
                    return None;
                }
                if news.what.pages() {
                    tracing::error!(service, rollout = id.0, text, "a person is needed");
                }
                self.note(Some(&service), None, "rollout", &text);
                Some(Outcome::Done)
            }
            Effect::RetireRelease { .. } => self.retire(id, intent),
            Effect::RunCheck { .. } => self.run_checks(id),
            Effect::Build { .. } => self.build(id, intent),
            Effect::DeployStaging { release } => self.deploy_staging(id, intent, release),
            Effect::Smoke { digest } => self.smoke(id, intent, digest),
            Effect::SmokeTraffic { requests } => self.smoke_traffic(id, intent, *requests),
            Effect::EnsureMigrated { release } => self.ensure_migrated(id, intent, release),
        }
    }

    /// Begins what takes time.
    pub(super) fn work(&mut self, id: RolloutId, n: u64, work: impl Future<Output = Found> + Send + 'static) {
        self.work_on(id, &[n], async move |tell| {
            let found = work.await;
            tell.found(n, found).await;
        });
    }

    /// Begins what carries several effects out; it ends when the last of them is not wanted any more.
    pub(super) fn work_on<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        id: RolloutId,
        numbers: &[u64],
        work: impl FnOnce(Teller) -> F,
    ) {
        let task = tokio::spawn(work(Teller { rollout: id, mailbox: self.mailbox() }));
        let working = Arc::new(Working(task.abort_handle()));
        if let Some(rollout) = self.rollouts.known.get_mut(&id) {
            rollout.working.extend(numbers.iter().map(|n| (*n, Arc::clone(&working))));
        }
    }

    pub(super) fn edge_client(&self) -> Client {
        Client::new(paths::edge_socket(&self.data)).timeout(EDGE_TIMEOUT)
    }

    fn scan(&mut self, id: RolloutId, intent: &Intent, digest: &delivery::Digest) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let (plan, service) = (self.desired.as_ref()?.plan.clone(), rollout.service.clone());
        let release = Release { version: rollout.state.plan().version.clone(), digest: digest.clone() };
        self.work(id, intent.key.n, async move {
            for failed in releases::refresh(&plan).await {
                tracing::warn!(service, failed, "the scan goes by what is here");
            }
            let scanned = tokio::task::spawn_blocking(move || {
                let release = recorded(&releases::store(&plan, &service), &release)?;
                let report = releases::scan(&plan, &release).map_err(|error| error.to_string())?;
                if report.stops {
                    return Err(format!("`mana scan {service} {}` says what was found", release.id()));
                }
                Ok(delivery::Digest(release.digest.to_string()))
            });
            Found::Outcome(match scanned.await {
                Ok(Ok(digest)) => Outcome::Passed { digest },
                Ok(Err(reason)) => Outcome::Failed { reason },
                Err(error) => Outcome::Unknown { reason: error.to_string() },
            })
        });
        None
    }

    fn ensure_running(
        &mut self,
        id: RolloutId,
        intent: &Intent,
        part: delivery::Slot,
        release: &Release,
    ) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let slot = rollout.slot(part);
        let wanted = self.desired.as_ref()?.find(&rollout.service, slot).filter(|wanted| runs(wanted, release));
        let Some(wanted) = wanted else { return self.bring(id, intent, part, release) };
        if wanted.folder().is_some()
            && let delivery::Health::Lost(reason) = self.health(rollout, part)
        {
            return Some(Outcome::Failed { reason });
        }
        let own = self.places.values().filter(|place| place.is_of(wanted) && place.version == wanted.version);
        let ready = own.filter(|place| place.life.ready() && !place.retiring).count();
        if ready >= usize::from(wanted.count) {
            return Some(Outcome::Passed { digest: release.digest.clone() });
        }
        self.hopeless(wanted)
    }

    /// The new version's program migrates in the slot in which it will run, and is not started yet.
    fn ensure_migrated(&mut self, id: RolloutId, intent: &Intent, release: &Release) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let part = delivery::Slot::Green;
        let slot = rollout.slot(part);
        let wanted = self.desired.as_ref()?.find(&rollout.service, slot).filter(|wanted| runs(wanted, release));
        match wanted {
            None => self.bring(id, intent, part, release),
            Some(wanted) if !wanted.migration_pending() => Some(Outcome::Done),
            Some(wanted) => self.hopeless(wanted),
        }
    }

    /// Why nothing is to be expected of a slot, if so.
    fn hopeless(&self, wanted: &Wanted) -> Option<Outcome> {
        let mut own = self.places.values().filter(|place| place.is_of(wanted) && place.version == wanted.version);
        let hopeless = own.find(|place| place.life.failing() || is_blocked(place));
        hopeless.map(|place| Outcome::Failed { reason: why(place, self.clock.now()) })
    }

    /// A slot that runs something else is to run this release: what it is and what it migrates is looked at first.
    fn bring(&mut self, id: RolloutId, intent: &Intent, part: delivery::Slot, release: &Release) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let desired = self.desired.as_ref()?;
        let slot = rollout.slot(part);
        if let Some(wanted) = desired.find(&rollout.service, slot).filter(|wanted| wanted.weight > 0) {
            let reason = format!("{slot} gets {} % of the requests and runs something else", wanted.weight);
            return Some(Outcome::Failed { reason });
        }
        let Some(released) = plan::released(release) else {
            self.deploy(id, intent, release);
            return None;
        };
        let (plan, service) = (desired.plan.clone(), rollout.service.clone());
        let guarded = migrates(rollout, part).then(|| self.serves(&service));
        let (overrides, number) = (rollout.state.plan().overrides.clone(), id.0);
        self.work(id, intent.key.n, async move {
            let release = released.clone();
            let verified = tokio::task::spawn_blocking(move || {
                let store = releases::store(&plan, &service);
                let release = recorded(&store, &release)?;
                store.verified_root(&release).map_err(|error| error.to_string())?;
                let planned = plan.services.iter().find(|planned| planned.name == service);
                let (Some(serves), Some(planned)) = (guarded, planned) else { return Ok(Seen::default()) };
                guard::look(&plan, planned, &release, &serves?, &overrides, number)
            });
            match verified.await {
                Ok(Ok(seen)) => Found::Verified(released, seen),
                Ok(Err(reason)) => Found::Outcome(Outcome::Failed { reason }),
                Err(error) => Found::Outcome(Outcome::Unknown { reason: error.to_string() }),
            }
        });
        None
    }

    /// What the migrations of a new version must not trip up.
    fn serves(&self, service: &str) -> Result<Serves, String> {
        let desired = self.desired.as_ref().ok_or("nothing is applied")?;
        match self.live(service) {
            None => Ok(Serves::Nothing),
            Some((_, live)) => match plan::released(&live) {
                None => Ok(Serves::Folder),
                Some(release) => {
                    let record = recorded(&releases::store(&desired.plan, service), &release)?;
                    Ok(Serves::Release(Box::new(record)))
                }
            },
        }
    }

    /// A slot runs that release from now on: reconciliation brings it up.
    pub(super) fn deploy(&mut self, id: RolloutId, intent: &Intent, release: &Release) {
        let part = match &intent.effect {
            Effect::EnsureRunning { slot, .. } => *slot,
            Effect::EnsureMigrated { .. } => delivery::Slot::Green,
            _ => return,
        };
        let Some(rollout) = self.rollouts.known.get(&id) else { return };
        let (service, slot, migrates) = (rollout.service.clone(), rollout.slot(part), migrates(rollout, part));
        let deployed = Secrets::load(&self.data).map_err(|error| error.to_string()).and_then(|secrets| {
            let desired = self.desired.as_mut().ok_or("nothing is applied")?;
            let deployed = desired.deploy(&service, slot, plan::released(release), &secrets);
            if !migrates && let Some(wanted) = desired.find_mut(&service, slot) {
                wanted.migrated = Some(wanted.version.spec.clone());
            }
            deployed.ok_or_else(|| format!("the manifest names no program for {service}"))
        });
        match deployed {
            Ok(()) => self.remember_slots(),
            Err(reason) => {
                let outcome = Outcome::Failed { reason };
                self.take(id, delivery::What::Outcome { key: intent.key, outcome });
            }
        }
    }

    /// Writes down what the slots should run. Where that fails it is tried again, and nothing that rests on it is done.
    pub(in crate::supervisor) fn remember_slots(&mut self) {
        self.changed = true;
        let Some(desired) = &self.desired else { return };
        let written = self.store.set_slots(&desired.rows());
        self.rollouts.unsaved = written.is_err();
        Self::complain(written);
    }

    /// `green`: its share; `None`: the service has no slot that serves.
    fn ensure_weights(
        &mut self,
        id: RolloutId,
        green: Option<Percent>,
        generation: Generation,
        n: u64,
    ) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let newest = rollout.state.traffic().generation;
        if generation < newest {
            return Some(Outcome::Stale { current: newest });
        }
        let (service, slots) = (rollout.service.clone(), [delivery::Slot::Blue, delivery::Slot::Green]);
        let share = |part| match (green, part) {
            (None, _) => 0,
            (Some(green), delivery::Slot::Green) => green.get(),
            (Some(green), delivery::Slot::Blue) => green.rest().get(),
        };
        // At the moment of applying nobody gets weight who is not ready. Whoever was adopted a moment ago has yet to be asked.
        for part in slots.into_iter().filter(|part| share(*part) > 0) {
            match self.health(rollout, part) {
                delivery::Health::Ready => {}
                delivery::Health::Unknown => return None,
                delivery::Health::Lost(why) => {
                    return Some(Outcome::Failed { reason: format!("{part} is not ready: {why}") });
                }
            }
        }
        let weights = slots.map(|part| (rollout.slot(part), share(part)));
        let begins = rollout.weights_for != Some(n);
        let desired = self.desired.as_mut()?;
        let mut changed = false;
        for (slot, weight) in weights {
            if let Some(wanted) = desired.find_mut(&service, slot) {
                changed |= std::mem::replace(&mut wanted.weight, weight) != weight;
            }
        }
        if changed {
            self.remember_slots();
        }
        if begins && let Some(rollout) = self.rollouts.known.get_mut(&id) {
            rollout.weights_for = Some(n);
            rollout.weights_since = None;
            // Even where it serves them already: counts, and a lease, begin with the generation in which it takes them again.
            self.edge.doubt();
        }
        if self.rollouts.unsaved {
            return None;
        }
        let wanted = self.snapshot()?;
        if !self.edge.is_served(&wanted) {
            return None;
        }
        let served = self.edge.served_generation();
        self.rollouts.known.get_mut(&id)?.weights_since = served;
        Some(Outcome::Done)
    }

    fn renew_lease(&mut self, id: RolloutId, intent: &Intent) -> Option<Outcome> {
        let (client, service) = (self.edge_client(), self.rollouts.known.get(&id)?.service.clone());
        self.work(id, intent.key.n, async move {
            Found::Outcome(match client.renew(&service).await {
                Ok(_renewed) => Outcome::Done,
                Err(ClientError::Refused(refusal)) => Outcome::Failed { reason: refusal.detail },
                Err(error) => Outcome::Unknown { reason: error.to_string() },
            })
        });
        None
    }

    /// Removes the releases beyond what is kept; none that something runs, that a rollout brings, or that may be gone back to.
    fn retire(&mut self, id: RolloutId, intent: &Intent) -> Option<Outcome> {
        let service = self.rollouts.known.get(&id)?.service.clone();
        let plan = self.desired.as_ref()?.plan.clone();
        let in_use = match self.store.releases_in_use() {
            Ok(in_use) => in_use,
            Err(error) => return Some(Outcome::Failed { reason: error.to_string() }),
        };
        self.work(id, intent.key.n, async move {
            let removed = tokio::task::spawn_blocking(move || releases::collect(&plan, &service, &in_use)).await;
            Found::Outcome(match removed {
                Ok(Ok(removed)) => {
                    tracing::info!(rollout = id.0, ?removed, "old releases");
                    Outcome::Done
                }
                Ok(Err(error)) => Outcome::Failed { reason: error.in_full() },
                Err(error) => Outcome::Failed { reason: error.to_string() },
            })
        });
        None
    }

    fn ensure_stopped(&mut self, id: RolloutId, part: delivery::Slot) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let (service, slot) = (rollout.service.clone(), rollout.slot(part));
        if let Some(wanted) = self.desired.as_ref()?.find(&service, slot) {
            if wanted.weight > 0 {
                return Some(Outcome::Failed {
                    reason: format!("{part} still gets {} % of the requests", wanted.weight),
                });
            }
            self.desired.as_mut()?.vacate(&service, slot);
            self.remember_slots();
        }
        if self.rollouts.unsaved {
            return None;
        }
        let gone = !self.places.values().any(|place| place.service == service && place.slot == slot);
        gone.then_some(Outcome::Done)
    }
}

/// The record of exactly this release: two commits may have given the same files.
pub(super) fn recorded(store: &Store, release: &Release) -> Result<mana_release::record::Release, String> {
    let all = store.all().map_err(|error| error.to_string())?;
    let same = |other: &&mana_release::record::Release| other.digest.as_str() == release.digest.0;
    let exactly = all.iter().filter(same).find(|other| other.version == release.version);
    let found = exactly.or_else(|| all.iter().find(same)).cloned();
    found.ok_or_else(|| format!("the release {} ({}) is not there any more", release.version, release.digest))
}

/// The way back never migrates: the schema is that of the newer version, which the older one bears.
fn migrates(rollout: &Rollout, part: delivery::Slot) -> bool {
    part == delivery::Slot::Green && !rollout.state.plan().backwards
}

fn runs(wanted: &Wanted, release: &Release) -> bool {
    wanted.release == plan::released(release)
}

fn is_blocked(place: &Place) -> bool {
    matches!(place.life.phase(), mana_runtime::lifecycle::Phase::Blocked { .. })
}

fn why(place: &Place, now: mana_runtime::lifecycle::Time) -> String {
    place.reason(now, &[]).unwrap_or_else(|| format!("it is {}", place.life.phase().name()))
}

fn told(id: RolloutId, news: &News) -> String {
    let why = news.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let figures = news.figures.as_ref().map(|look| {
        let figure = |finding: &mana_delivery::gate::Finding| {
            format!(
                "{} {:.4} against {:.4}{}",
                finding.figure,
                finding.value,
                finding.limit,
                if finding.met { "" } else { " (!)" }
            )
        };
        format!(" [{}]", look.judgement.findings.iter().map(figure).collect::<Vec<_>>().join(", "))
    });
    format!("{id} {:?}{why}{}", news.what, figures.unwrap_or_default())
}
