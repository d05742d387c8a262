//! What a new control plane finds: instances that run are adopted, ended ones noted, and nothing is restarted for it.

use std::collections::BTreeSet;
use std::time::Duration;

use mana_edge::admin;
use mana_edge::snapshot::Snapshot;
use mana_runtime::driver::{AdoptError, Identity};
use mana_runtime::lifecycle::State;

use super::edge_link;
use super::place::{Place, Running};
use super::{Past, Supervisor, upkeep};
use crate::desired::{Desired, EDGE, Program, Wanted};
use crate::secrets::Secrets;
use crate::snapshot::routed;
use crate::store::{InstanceRow, StoreError};
use crate::{manifest, paths, rehearsal};

/// A process that was started in the very moment its control plane died may not show its environment yet: it is looked
/// for once more after this.
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// Longest wait for a running edge to say what it serves; then its file on disk is believed (it writes that first).
const EDGE_ANSWER: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Takes over what an earlier control plane left. To be called once, before [`Supervisor::run`].
    pub(crate) async fn resume(&mut self) -> Result<(), StoreError> {
        let mut rows = self.store.instances()?;
        self.find_intended(&mut rows).await;
        self.recall()?;
        let mut routed_ids = BTreeSet::new();
        // The edge first: what it serves says which of the others take traffic.
        rows.sort_by_key(|row| row.service != EDGE);
        for row in rows {
            let edge = row.service == EDGE;
            let adopted = self.adopt(row, &routed_ids);
            if edge && adopted {
                let snapshot = self.served().await;
                routed_ids = snapshot.iter().flat_map(routed).map(str::to_owned).collect();
                if let Some(snapshot) = snapshot {
                    self.edge.found(snapshot);
                }
            }
        }
        self.recall_notifications()?;
        self.recall_rollouts()?;
        if let Some(desired) = &self.desired {
            let plan = desired.plan.clone();
            tokio::task::spawn_blocking(move || rehearsal::forget_left(&plan));
        }
        self.go_on_with_rollouts();
        self.next_sample = self.clock.now().after(upkeep::FIRST_SAMPLE);
        Ok(())
    }

    /// Finds processes whose start was intended and not recorded.
    async fn find_intended(&mut self, rows: &mut [InstanceRow]) {
        for look in 0..2 {
            let wanted: BTreeSet<String> =
                rows.iter().filter(|row| row.identity.is_none()).map(|row| row.id.clone()).collect();
            if wanted.is_empty() {
                return;
            }
            if look > 0 {
                tokio::time::sleep(SECOND_LOOK).await;
            }
            match self.driver.find(&wanted) {
                Ok(mut found) => {
                    for row in rows.iter_mut() {
                        let Some(identity) = found.remove(&row.id) else { continue };
                        tracing::info!(instance = row.id, pid = identity.pid, "found a process that was not recorded");
                        Self::complain(self.store.record(&row.id, &identity));
                        row.identity = Some(identity);
                    }
                }
                Err(error) => tracing::error!(%error, "cannot look for processes that were not recorded"),
            }
        }
    }

    /// Reads what should run, as it was applied.
    fn recall(&mut self) -> Result<(), StoreError> {
        let Some(applied) = self.store.applied()? else { return Ok(()) };
        let rows = self.store.slots()?;
        self.running = self.store.running()?;
        let plan = match manifest::recall(&applied.manifest, &applied.request) {
            Ok(plan) => plan,
            Err(problems) => {
                let why = problems.join("; ");
                tracing::error!(why, "the manifest that was applied last is not understood any more");
                self.lost = Some(format!("the manifest applied last is not understood by this version of mana: {why}"));
                return Ok(());
            }
        };
        // The versions are those of the apply, whatever files and secrets have become since: only an apply changes them.
        let desired = Desired::new(plan, self.remembered_edge(&rows), &Secrets::default(), &rows, true);
        self.set_ports(&desired.plan);
        self.desired = Some(desired);
        Ok(())
    }

    /// Takes over one instance; whether it runs.
    fn adopt(&mut self, row: InstanceRow, routed_ids: &BTreeSet<String>) -> bool {
        let Some(identity) = &row.identity else {
            tracing::info!(instance = row.id, "its start was intended and never happened");
            Self::complain(self.store.ended(&row.id, None, false));
            return false;
        };
        let handle = match self.driver.adopt(&row.id, identity) {
            Ok(handle) => handle,
            Err(error) => {
                self.was_gone(&row, identity, &error);
                return false;
            }
        };
        let wanted = self.desired.as_ref().and_then(|desired| desired.find(&row.service, row.slot));
        let current = wanted.filter(|wanted| wanted.version == row.version);
        let facts = current.map_or_else(|| row.facts.clone(), |wanted| wanted.facts.clone());
        let (policy, now) = (facts.policy(), self.clock.now());
        let ready = row.service == EDGE || routed_ids.contains(&row.id);
        let life = if row.migration {
            State::adopted_migrating(policy, now)
        } else {
            State::adopted(policy, row.restarts, row.last_exit.clone(), ready, now)
        };
        // Only its name and version matter here; what it runs was decided when it was started.
        let as_wanted = Wanted {
            name: row.service.clone(),
            slot: row.slot,
            weight: 0,
            version: row.version.clone(),
            count: 1,
            facts,
            program: Program::Edge(Vec::new()),
            migrated: None,
            release: current.and_then(|wanted| wanted.release.clone()),
        };
        let log_file = paths::instance_log(&self.data, &row.service, row.slot.log_name(), row.ordinal);
        let mut place = Place::new(self.next_key, &as_wanted, row.ordinal, log_file);
        self.next_key += 1;
        place.life = life;
        let run = place.life.run();
        tracing::info!(service = row.service, instance = row.id, pid = identity.pid, ready, "adopted");
        self.note(Some(&row.service), Some(&row.id), "adopted", &format!("process {}", identity.pid));
        place.instance = Some(Running {
            id: row.id,
            run,
            migration: row.migration,
            port: row.port,
            started_at: row.started_at,
            adopted: true,
            over_memory: false,
            handle: Some(handle),
            prober: None,
        });
        let key = place.key;
        self.endings.begin(&place.service, place.slot, place.ordinal);
        self.places.insert(key, place);
        self.look_after(key);
        true
    }

    fn was_gone(&mut self, row: &InstanceRow, identity: &Identity, error: &AdoptError) {
        let reason = format!("ended while no control plane ran ({error})");
        tracing::info!(instance = row.id, pid = identity.pid, reason, "not adopted");
        self.note(Some(&row.service), Some(&row.id), "exited", &reason);
        Self::complain(self.store.ended(&row.id, Some(&reason), false));
        if !row.migration {
            let last_exit = Some("ended while no control plane ran".to_owned());
            let past = Past { restarts: row.restarts, last_exit, port: row.port };
            self.past.insert((row.service.clone(), row.slot, row.ordinal), past);
        }
    }

    /// What the running edge serves.
    async fn served(&self) -> Option<Snapshot> {
        let client = admin::Client::new(paths::edge_socket(&self.data)).timeout(EDGE_ANSWER);
        match client.get().await {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                tracing::warn!(%error, "the edge does not say what it serves; its file on disk is believed");
                let path = paths::edge_snapshot(&self.data);
                edge_link::read(&path)
                    .inspect_err(|error| tracing::error!(%error, path = %path.display(), "cannot read it"))
                    .ok()
                    .flatten()
            }
        }
    }
}
