//! A place: where one instance of a service is kept running. It outlives single processes; each of those is an instance
//! with an id of its own.

use std::path::PathBuf;
use std::sync::Arc;

use mana_runtime::driver::Handle;
use mana_runtime::lifecycle::{Phase, State, Time};
use mana_runtime::usage::Usage;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::probing::Pace;
use crate::api::InstanceStatus;
use crate::desired::{Facts, Version, Wanted};
use crate::reconcile::{Key, PlaceView};
use crate::slot::Slot;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Key,
    pub(super) service: String,
    pub(super) slot: Slot,
    /// From 1.
    pub(super) ordinal: u16,
    pub(super) version: Version,
    /// What people call that.
    pub(super) label: String,
    pub(super) facts: Facts,
    pub(super) life: State,
    /// The process that runs or is being started.
    pub(super) instance: Option<Running>,
    pub(super) log_file: PathBuf,
    /// Kept over a crash, where it is free.
    pub(super) last_port: Option<u16>,
    /// Why it is to be replaced though its version is right.
    pub(super) replace: Option<String>,
    pub(super) retiring: bool,
    pub(super) retiring_since: Option<Time>,
    /// Since when the edge sends it nothing, once it is retiring.
    pub(super) unrouted: Option<Time>,
    pub(super) usage: Option<Usage>,
    /// When the present run was asked for, to tell how long it took.
    pub(super) start_asked: Option<Time>,
    /// Seconds from its last start to ready.
    pub(super) ready_after: Option<f64>,
    /// The phase and detail noted last.
    pub(super) noted: Option<(&'static str, String)>,
}

/// One process: an instance.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: String,
    pub(super) run: u64,
    pub(super) migration: bool,
    pub(super) port: Option<u16>,
    /// RFC 3339.
    pub(super) started_at: String,
    /// Found running and taken over.
    pub(super) adopted: bool,
    /// It took more memory than it may, and ends for that.
    pub(super) over_memory: bool,
    /// `None`: asked for, and not there yet.
    pub(super) handle: Option<Arc<dyn Handle>>,
    pub(super) prober: Option<Prober>,
}

/// The task that asks an instance how it is; ends with this value.
#[derive(Debug)]
pub(super) struct Prober {
    pub(super) pace: watch::Sender<Pace>,
    pub(super) task: AbortHandle,
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place {
    /// For an instance that has not run yet.
    pub(super) fn new(key: Key, wanted: &Wanted, ordinal: u16, log_file: PathBuf) -> Self {
        Self {
            key,
            service: wanted.name.clone(),
            slot: wanted.slot,
            ordinal,
            version: wanted.version.clone(),
            label: wanted.label(),
            facts: wanted.facts.clone(),
            life: State::new(wanted.facts.policy()),
            instance: None,
            log_file,
            last_port: None,
            replace: None,
            retiring: false,
            retiring_since: None,
            unrouted: None,
            usage: None,
            start_asked: None,
            ready_after: None,
            noted: None,
        }
    }

    /// Whether it is one of those that this is about.
    pub(super) fn is_of(&self, wanted: &Wanted) -> bool {
        self.service == wanted.name && self.slot == wanted.slot
    }

    /// The id of the present instance.
    pub(super) fn id(&self) -> Option<&str> {
        self.instance.as_ref().map(|instance| instance.id.as_str())
    }

    /// Whether the edge should send it requests.
    pub(super) fn routable(&self) -> bool {
        self.life.ready() && !self.retiring
    }

    pub(super) fn current(&self, version: Option<&Version>) -> bool {
        self.replace.is_none() && version == Some(&self.version)
    }

    pub(super) fn view(&self, version: Option<&Version>, serving: bool, drained: bool) -> PlaceView<'_> {
        PlaceView {
            key: self.key,
            service: &self.service,
            slot: self.slot,
            ordinal: self.ordinal,
            needs: &self.facts.needs,
            current: self.current(version),
            waiting: *self.life.phase() == Phase::Waiting,
            has_process: self.life.has_process(),
            ready: self.life.ready(),
            serving,
            retiring: self.retiring,
            drained,
            stopping: self.life.stopping_for_good(),
            stopped: *self.life.phase() == Phase::Stopped,
        }
    }

    /// How often it should be asked how it is, in its present phase.
    pub(super) fn pace(&self) -> Pace {
        match self.life.phase() {
            Phase::Starting { .. } => Pace::Starting,
            Phase::Ready { failures: 0, .. } => Pace::Ready,
            Phase::Ready { .. } => Pace::Doubtful,
            Phase::Unready { .. } => Pace::Unready,
            _ => Pace::Resting,
        }
    }

    /// Tells the prober what the present phase asks for.
    pub(super) fn set_pace(&self) {
        let pace = self.pace();
        if let Some(prober) = self.instance.as_ref().and_then(|instance| instance.prober.as_ref()) {
            prober.pace.send_if_modified(|old| std::mem::replace(old, pace) != pace);
        }
    }

    /// For people: why it is in its phase.
    pub(super) fn reason(&self, now: Time, waits_for: &[&str]) -> Option<String> {
        let reason = self.life.reason();
        match self.life.phase() {
            Phase::Waiting if waits_for.is_empty() => Some("waiting for its first instance to migrate".to_owned()),
            Phase::Waiting => Some(format!("waiting for {}", waits_for.join(", "))),
            Phase::Backoff { until } => {
                let seconds = until.since(now).as_secs_f64();
                let reason = reason.unwrap_or("it ended");
                Some(format!("{reason}; next try in {seconds:.0} s (try {})", self.life.crashes() + 1))
            }
            Phase::Ready { .. } if self.retiring => {
                Some("being replaced: no new requests, those in flight finish".into())
            }
            _ => reason.or(self.replace.as_deref()).map(str::to_owned),
        }
    }

    pub(super) fn status(&self, now: Time, waits_for: &[&str]) -> InstanceStatus {
        let running = self.instance.as_ref().filter(|instance| instance.handle.is_some());
        InstanceStatus {
            id: self.id().map_or_else(|| format!("{}-{}", self.service, self.ordinal), str::to_owned),
            slot: self.slot.to_string(),
            release: self.label.clone(),
            phase: self.life.phase().name().to_owned(),
            reason: self.reason(now, waits_for),
            pid: running.and_then(|instance| Some(instance.handle.as_ref()?.identity().pid)),
            port: running.and_then(|instance| instance.port),
            started_at: running.map(|instance| instance.started_at.clone()),
            adopted: running.is_some_and(|instance| instance.adopted),
            restarts: self.life.restarts(),
            last_exit: self.life.last_exit().map(str::to_owned),
            cpu: self.usage.and_then(|usage| usage.cpu),
            memory_bytes: self.usage.map(|usage| usage.resident_bytes),
            log_file: self.log_file.clone(),
        }
    }
}
