//! From "start it" to a process, and to its end.
//!
//! The order is what makes a crash of the control plane harmless: secrets are checked, then the intent is written down,
//! then the process is started, then its identity is recorded. Killed in between, the next control plane finds the
//! intent and looks for the process by the id in its environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use mana_manifest::plan::{Command, Value};
use mana_runtime::driver::{Exit, Handle, Spec, StartError};
use mana_runtime::lifecycle::What;
use secrecy::{ExposeSecret, SecretString};

use super::endings::{Before, Reason};
use super::place::{Place, Running};
use super::probing::{self, Target};
use super::{Message, Supervisor};
use crate::clock;
use crate::desired::{EDGE, Program};
use crate::guard;
use crate::paths;
use crate::reconcile::Key;
use crate::secrets::Secrets;
use crate::slot::Slot;
use crate::store::InstanceRow;
use crate::traces;

/// Why an instance is not started.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// A person has to do something.
    Refused(String),
    /// Trying again may help.
    Later(String),
}

/// The port a one-off command gets: none that anything could listen on by accident.
const NO_PORT: u16 = 0;

impl Supervisor {
    pub(super) fn start(&mut self, key: Key, run: u64, migration: bool) {
        let prepared = self.prepare(key, run, migration);
        let (spec, row) = match prepared {
            Ok(prepared) => prepared,
            Err(NotStarted::Refused(reason)) => return self.step(key, What::Refused { run, reason }),
            Err(NotStarted::Later(reason)) => return self.step(key, What::NotSpawned { run, reason }),
        };
        if let Err(error) = self.store.intend(&row) {
            let reason = format!("its start cannot be written down: {error}");
            return self.step(key, What::NotSpawned { run, reason });
        }
        let now = self.clock.now();
        let Some(place) = self.places.get_mut(&key) else { return };
        // The wait of a backoff is not part of how long a start takes, a migration before it is.
        place.start_asked = place.start_asked.or(Some(now));
        place.instance = Some(Running {
            id: row.id,
            run,
            migration,
            port: row.port,
            started_at: row.started_at,
            adopted: false,
            over_memory: false,
            handle: None,
            prober: None,
        });
        let (driver, mailbox) = (Arc::clone(&self.driver), self.mailbox());
        tokio::spawn(async move {
            let result = driver.start(&spec).await;
            // The owner is gone only when the process ends.
            let _ = mailbox.send(Message::Spawned { key, run, result }).await;
        });
    }

    /// Checks everything that is needed, and says what to start.
    fn prepare(&mut self, key: Key, run: u64, migration: bool) -> Result<(Spec, InstanceRow), NotStarted> {
        let place = self.places.get(&key).ok_or_else(|| NotStarted::Later("its place is gone".into()))?;
        let wanted = self
            .desired
            .as_ref()
            .and_then(|desired| desired.find(&place.service, place.slot))
            .filter(|wanted| wanted.version == place.version)
            .ok_or_else(|| NotStarted::Refused("the manifest says nothing about it any more; run `mana up`".into()))?;
        let id = clock::instance_id(&place.service);
        let log_file = place.log_file.clone();
        let (spec, port) = match &wanted.program {
            Program::Folder(_) => return Err(NotStarted::Refused("it is a folder; there is nothing to start".into())),
            Program::Edge(argv) => {
                let mut argv = argv.clone();
                let (config, socket) = (paths::edge_snapshot(&self.data), paths::edge_socket(&self.data));
                let requests = paths::access_log(&self.data);
                make_private(&requests).map_err(|error| {
                    NotStarted::Refused(format!("its log of requests cannot be made ({}): {error}", requests.display()))
                })?;
                for (flag, path) in [("--config", config), ("--admin", socket), ("--access-log", requests)] {
                    argv.extend([flag.to_owned(), path.to_string_lossy().into_owned()]);
                }
                if let Some(old) = self.other_edge(key) {
                    if !old.life.ready() {
                        return Err(NotStarted::Later("the edge before it neither serves nor has ended".to_owned()));
                    }
                    argv.push("--replace".to_owned());
                }
                let spec = Spec { instance: id.clone(), argv, cwd: self.data.clone(), env: BTreeMap::new(), log_file };
                (spec, None)
            }
            Program::Service { command, secrets } => {
                let port = if migration { NO_PORT } else { self.port(place)? };
                let mut env = self.environment(command, secrets, port)?;
                let elsewhere = self.desired.as_ref().and_then(|desired| desired.plan.traces.as_deref());
                let told =
                    traces::variables(self.traces.as_ref(), elsewhere, &place.service, |name| env.contains_key(name));
                env.extend(told.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
                let argv = if migration { one_off(command, &command.migrate) } else { command.argv.clone() };
                let spec = Spec { instance: id.clone(), argv, cwd: command.cwd.clone(), env, log_file };
                (spec, (!migration).then_some(port))
            }
        };
        let row = InstanceRow {
            id,
            service: place.service.clone(),
            slot: place.slot,
            ordinal: place.ordinal,
            version: place.version.clone(),
            migration,
            port,
            facts: place.facts.clone(),
            restarts: place.life.restarts() + u32::from(run > 1 && !migration),
            last_exit: place.life.last_exit().map(str::to_owned),
            started_at: clock::timestamp().to_string(),
            identity: None,
        };
        // One that takes over begins with what the other serves, which is on disk.
        if row.service == EDGE
            && self.other_edge(key).is_none()
            && let Some(snapshot) = self.snapshot()
        {
            let path = paths::edge_snapshot(&self.data);
            let written = self.edge.write_first(snapshot, &path);
            written.map_err(|error| NotStarted::Later(format!("cannot write {}: {error}", path.display())))?;
        }
        Ok((spec, row))
    }

    /// Another edge that has a process.
    fn other_edge(&self, key: Key) -> Option<&Place> {
        self.places.values().find(|place| place.service == EDGE && place.key != key && place.instance.is_some())
    }

    fn port(&self, place: &Place) -> Result<u16, NotStarted> {
        let taken: BTreeSet<u16> = self
            .places
            .values()
            .filter_map(|other| other.instance.as_ref().and_then(|instance| instance.port))
            .collect();
        let ports = self.ports.as_ref().ok_or_else(|| NotStarted::Later("no range of ports is known".into()))?;
        self.claims.keep_only(&taken);
        let picked = ports.pick(place.last_port, &taken, |port| self.claims.claim(port));
        picked.map_err(|error| NotStarted::Later(error.to_string()))
    }

    /// The whole environment of a process of this service, secrets revealed. Checked before every start.
    pub(super) fn environment(
        &self,
        command: &Command,
        required: &[String],
        port: u16,
    ) -> Result<BTreeMap<String, SecretString>, NotStarted> {
        let secrets = Secrets::load(&self.data).map_err(|error| NotStarted::Refused(error.to_string()))?;
        if let Some(missing) = required.iter().find(|name| secrets.get(name).is_none()) {
            return Err(NotStarted::Refused(self.missing_secret(missing)));
        }
        let reveal = |value: &Value| {
            value
                .reveal(|name| secrets.get(name).map(|value| value.expose_secret().to_owned()))
                .map(SecretString::from)
                .map_err(|missing| NotStarted::Refused(self.missing_secret(missing)))
        };
        let mut environment = command
            .env
            .iter()
            .map(|(name, value)| Ok((name.clone(), reveal(value)?)))
            .collect::<Result<BTreeMap<_, _>, NotStarted>>()?;
        environment.insert("PORT".to_owned(), port.to_string().into());
        Ok(environment)
    }

    fn missing_secret(&self, name: &str) -> String {
        let rule = self.desired.as_ref().and_then(|desired| desired.plan.secrets.get(name));
        let about = rule.and_then(|rule| rule.about.as_ref()).map(|about| format!(" ({about})")).unwrap_or_default();
        format!(
            "the secret {name}{about} is missing; give it with `mana secret set {name}` or `MANA_SECRET_{name}=… mana up`"
        )
    }

    pub(super) fn spawned(&mut self, key: Key, run: u64, result: Result<Arc<dyn Handle>, StartError>) {
        let Some(place) = self.places.get_mut(&key) else { return };
        let Some(instance) = place.instance.as_mut().filter(|instance| instance.run == run) else { return };
        let id = instance.id.clone();
        match result {
            Ok(handle) => {
                instance.handle = Some(Arc::clone(&handle));
                let pid = handle.identity().pid;
                let (kind, service) = (if instance.migration { "migrating" } else { "started" }, place.service.clone());
                place.noted = None;
                Self::complain(self.store.record(&id, handle.identity()));
                tracing::info!(service, instance = id, pid, kind, "process");
                self.note(Some(&service), Some(&id), kind, &format!("process {pid}"));
                self.look_after(key);
                self.step(key, What::Spawned { run });
            }
            Err(error) => {
                place.instance = None;
                Self::complain(self.store.ended(&id, None, false));
                let reason = error.to_string();
                let what = if error.needs_a_person() {
                    What::Refused { run, reason }
                } else {
                    What::NotSpawned { run, reason }
                };
                self.step(key, what);
            }
        }
    }

    /// Waits for the end of a process that runs, and asks it how it is.
    pub(super) fn look_after(&mut self, key: Key) {
        let (mailbox, socket) = (self.mailbox(), paths::edge_socket(&self.data));
        let Some(place) = self.places.get_mut(&key) else { return };
        let first_pace = place.pace();
        let Some(instance) = &mut place.instance else { return };
        let Some(handle) = instance.handle.clone() else { return };
        let run = instance.run;
        if !instance.migration {
            let target = match instance.port {
                Some(port) => Target::service(port, &place.facts),
                None => Target::Edge { socket, pid: handle.identity().pid },
            };
            instance.prober = Some(probing::start(key, run, target, first_pace, mailbox.clone()));
        }
        tokio::spawn(async move {
            let exit = handle.exited().await;
            // The owner is gone only when the process ends.
            let _ = mailbox.send(Message::Exited { key, run, exit }).await;
        });
    }

    pub(super) fn exited(&mut self, key: Key, run: u64, exit: &Exit) {
        let Some(place) = self.places.get_mut(&key) else { return };
        let Some(instance) = place.instance.take_if(|instance| instance.run == run) else { return };
        place.usage = None;
        place.last_port = instance.port.or(place.last_port);
        let (service, stopping) = (place.service.clone(), place.life.stopping_for_good());
        let (slot, version) = (place.slot, place.version.clone());
        let (ordinal, unfit) = (place.ordinal, place.life.stopping_to_restart());
        let reason = exit.to_string();
        let alone = self.other_edge(key).is_none();
        if service == EDGE && alone {
            self.edge.gone();
        }
        let handed_over = service == EDGE && exit.success() && !alone;
        let wanted = stopping || handed_over;
        // Nothing follows on this migration as yet.
        let only_migrates = instance.migration && exit.success() && self.rollouts.only_migrates(&service, slot);
        let wanted = wanted || only_migrates;
        if handed_over || only_migrates {
            // It has ended because another one took over, or had nothing else to do, and is not to come back.
            self.step(key, What::Stop);
        }
        if !instance.migration {
            let before = Before { over_memory: instance.over_memory, asked: wanted, unfit, kernel_killed: false };
            let kernel_killed = Reason::may_be_kernels(exit, before) && self.kernel_killed_one();
            let why = Reason::of(exit, Before { kernel_killed, ..before });
            self.endings.count(&service, slot, ordinal, why);
        }
        Self::complain(self.store.ended(&instance.id, Some(&reason), wanted));
        tracing::info!(service, instance = instance.id, reason, wanted, "process ended");
        // One that was to end is no news to whoever looks for what went wrong.
        let kind = if wanted || instance.migration && exit.success() { "stopped" } else { "exited" };
        self.note(Some(&service), Some(&instance.id), kind, &reason);
        if instance.migration && exit.success() {
            self.migrated(&service, slot, &version.spec);
        }
        self.step(key, What::Exited { run, success: exit.success(), reason });
    }

    fn migrated(&mut self, service: &str, slot: Slot, spec: &str) {
        Self::complain(self.store.set_migrated(service, slot, spec));
        if let Some(wanted) = self.desired.as_mut().and_then(|desired| desired.find_mut(service, slot)) {
            wanted.migrated = Some(spec.to_owned());
        }
        if let Some(desired) = &self.desired
            && desired.find(service, slot).is_some_and(|wanted| wanted.release.is_none())
            && let Some(planned) = desired.plan.services.iter().find(|planned| planned.name == service)
            && let Err(error) = guard::remember(&desired.plan, planned)
        {
            tracing::error!(service, error, "which migrations have run cannot be written down");
        }
        self.note(Some(service), None, "migrated", "its database is up to date");
    }
}

/// A file that only its owner reads, whatever whoever writes it would make of it.
fn make_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// A one-off command of a service: its program with other arguments.
pub(super) fn one_off(command: &Command, arguments: &[String]) -> Vec<String> {
    command.argv.iter().take(1).chain(arguments).cloned().collect()
}
