//! The one owner of the control plane's state.
//!
//! Everything that happens (calls of operators, ends of processes, answers of probes and of the edge) comes as a
//! [`Message`] over one bounded queue; nobody else reads or writes the state. After each message the owner asks
//! [`crate::reconcile`] what has to be done, does it, and offers the edge the snapshot of the moment.
//!
//! | module | what it is |
//! |---|---|
//! | `place` | one instance's place: its life, its process |
//! | `starting` | from "start it" to a process, secrets checked, intent written first |
//! | `resuming` | what a new control plane finds: adopt, or note that it ended |
//! | `probing` | the tasks that ask instances how they are |
//! | `edge_link` | the books about what the edge serves |
//! | `edge_versions` | a new version of the edge, and the way back |
//! | `endings` | why instances ended, and how often |
//! | `offering` | what the edge should serve, and offering it |
//! | `settling` | what follows from the present state: what is made, stopped and offered |
//! | `draining` | when an instance that gets nothing new may be stopped |
//! | `notifying` | the outbox of what people are told |
//! | `recipients` | which channels an alert goes to |
//! | `rollouts` | what deliveries ask for, carried out |
//! | `calls` | the operator's calls |
//! | `report` | the status, and what the streams of progress are told |
//! | `watched` | what there is to watch, for `watching` |
//! | `upkeep` | what is done at intervals: usage, memory limits, log rotation |

mod calls;
mod doorkeeping;
mod draining;
mod edge_link;
mod edge_versions;
mod endings;
mod notifying;
mod offering;
mod place;
mod probing;
mod recipients;
mod report;
mod resuming;
mod rollouts;
mod settling;
mod starting;
mod upkeep;
mod watched;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use mana_notify::outbox::Outbox;
use mana_runtime::driver::{Driver, Exit, Handle, Signal, StartError};
use mana_runtime::lifecycle::{self, Effect, Phase, Time, What};
use mana_runtime::ports::{Claims, Ports};
use mana_runtime::usage::Sampler;
use tokio::sync::mpsc;

use self::draining::Drains;
use self::edge_link::EdgeLink;
use self::endings::{Endings, KernelKills};
use self::place::Place;
use self::rollouts::Rollouts;
use crate::api::Event;
use crate::audit::WithIt;
use crate::clock::{self, Clock};
use crate::daemon::ExitReason;
use crate::desired::Desired;
use crate::progress::Progress;
use crate::reconcile::Key;
use crate::slot::Slot;
use crate::store::{Store, StoreError};
use crate::traces::Traces;
use crate::watching::Watching;

pub(crate) use calls::{Call, internal};
pub(crate) use rollouts::output;

/// Messages that may wait. Senders (probes, ends of processes, calls) wait themselves when it is full, so nothing is lost;
/// 50 services send some ten a second.
const MAILBOX: usize = 256;
/// Messages handled before the consequences are worked out, when many come at once.
const BATCH: usize = 64;

/// What happened.
#[derive(Debug)]
pub(crate) enum Message {
    /// In the life of an instance.
    Life { key: Key, what: What },
    /// A start was carried out, or not.
    Spawned { key: Key, run: u64, result: Result<Arc<dyn Handle>, StartError> },
    /// A process ended.
    Exited { key: Key, run: u64, exit: Exit },
    /// The edge answered.
    Edge(edge_link::Outcome),
    /// The edge said what is still with instances that get nothing new.
    Drains(draining::Told),
    /// What a rollout asked for was carried out, or not.
    Rollout(rollouts::Told),
    /// Somebody was told something, or not.
    Notified(notifying::Notified),
    /// Logs were rotated, as far as they had to be.
    Rotated,
    /// An operator wants something.
    Call(Box<Call>),
    /// The same, with the row of the audit log that is written with what it changes.
    Change(Box<Call>, Box<WithIt>),
    /// The control plane should end, and nothing else.
    Quit,
}

impl Message {
    /// An operator wants something; `row`: what is written down with it.
    pub(crate) fn call(call: Call, row: Option<WithIt>) -> Self {
        match row {
            Some(row) => Self::Change(Box::new(call), Box::new(row)),
            None => Self::Call(Box::new(call)),
        }
    }
}

/// What is known of an instance that ended while no control plane ran.
#[derive(Debug)]
struct Past {
    restarts: u32,
    last_exit: Option<String>,
    port: Option<u16>,
}

/// What the owner is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) data: PathBuf,
    pub(crate) edge_argv: Vec<String>,
    pub(crate) store: Store,
    pub(crate) driver: Arc<dyn Driver>,
    /// Port of the operators' door.
    pub(crate) door: u16,
    /// Where spans are received; `None`: nowhere.
    pub(crate) traces: Option<Traces>,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Supervisor {
    data: PathBuf,
    edge_argv: Vec<String>,
    store: Store,
    driver: Arc<dyn Driver>,
    /// Where the operators' door listens, and what the edge knows it by.
    door: (u16, String),
    traces: Option<Traces>,
    clock: Clock,
    started_at: String,
    mailbox: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    desired: Option<Desired>,
    /// Whether what is desired should run, or everything is (going) down.
    running: bool,
    /// Everything was asked to go down, and the control plane with it.
    down_asked: bool,
    /// Why what was applied cannot be known any more.
    lost: Option<String>,
    places: BTreeMap<Key, Place>,
    next_key: Key,
    /// What is known of instances that ended while no control plane ran, by service, slot and ordinal.
    past: BTreeMap<(String, Slot, u16), Past>,
    ports: Option<Ports>,
    claims: Claims,
    edge: EdgeLink,
    /// Since when the edge's present version is the one to run, if it came while this control plane runs.
    edge_taken: Option<Time>,
    drains: Drains,
    rollouts: Rollouts,
    /// What was measured; `None` until that is begun.
    watching: Option<Watching>,
    outbox: Outbox,
    /// Who changes what, as long as a call is handled that changes something.
    changing: Option<WithIt>,
    progress: Progress,
    sampler: Sampler,
    endings: Endings,
    kernel_kills: KernelKills,
    next_sample: Time,
    next_rotation: Option<Time>,
    /// Something changed since the consequences were last worked out.
    changed: bool,
    ended: Option<ExitReason>,
}

impl Supervisor {
    pub(crate) fn new(parts: Parts) -> Self {
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let Parts { data, edge_argv, store, driver, door, traces } = parts;
        let door = (door, clock::instance_id("ops"));
        Self {
            data,
            edge_argv,
            store,
            driver,
            door,
            traces,
            clock: Clock::start(),
            started_at: clock::timestamp().to_string(),
            mailbox,
            inbox,
            desired: None,
            running: false,
            down_asked: false,
            lost: None,
            places: BTreeMap::new(),
            next_key: 1,
            past: BTreeMap::new(),
            ports: None,
            claims: Claims::default(),
            edge: EdgeLink::default(),
            edge_taken: None,
            drains: Drains::default(),
            rollouts: Rollouts::default(),
            watching: None,
            outbox: Outbox::default(),
            changing: None,
            progress: Progress::default(),
            sampler: Sampler::default(),
            endings: Endings::default(),
            kernel_kills: KernelKills::default(),
            next_sample: Time::default(),
            next_rotation: Some(Time::default()),
            changed: true,
            ended: None,
        }
    }

    /// From here on what was measured can be asked.
    pub(crate) fn reads(&mut self, watching: Watching) {
        self.watching = Some(watching);
    }

    /// Where to send messages.
    pub(crate) fn mailbox(&self) -> mpsc::Sender<Message> {
        self.mailbox.clone()
    }

    /// Works until it is told to end.
    pub(crate) async fn run(mut self) -> ExitReason {
        loop {
            if std::mem::take(&mut self.changed) {
                self.settle();
            }
            if let Some(reason) = self.ended {
                return reason;
            }
            let due = self.clock.instant(self.next_timer());
            tokio::select! {
                biased;
                // The own sender keeps the queue open: it never ends.
                Some(message) = self.inbox.recv() => {
                    self.handle(message);
                    for _ in 0..BATCH {
                        let Ok(message) = self.inbox.try_recv() else { break };
                        self.handle(message);
                    }
                }
                () = tokio::time::sleep_until(due) => {
                    self.changed = true;
                    self.tick();
                }
            }
        }
    }

    fn handle(&mut self, message: Message) {
        // Most messages say that a healthy instance is healthy: `step` knows whether one changed anything. Who asks changes nothing.
        self.changed |= match &message {
            Message::Life { .. } => false,
            Message::Call(call) => !call.only_asks(),
            _ => true,
        };
        match message {
            Message::Life { key, what } => self.step(key, what),
            Message::Spawned { key, run, result } => self.spawned(key, run, result),
            Message::Exited { key, run, exit } => self.exited(key, run, &exit),
            Message::Edge(outcome) => self.edge.answered(outcome, self.clock.now()),
            Message::Drains(told) => self.drains.answered(told, self.clock.now()),
            Message::Rollout(told) => self.rollout_told(told),
            Message::Notified(notified) => self.notified(notified),
            Message::Rotated => self.next_rotation = Some(self.clock.now().after(upkeep::ROTATION_INTERVAL)),
            Message::Call(call) => self.call(*call),
            Message::Change(call, row) => self.change(*call, *row),
            Message::Quit => self.ended = Some(ExitReason::Signal),
        }
    }

    /// When something is to be done even if nothing happens.
    fn next_timer(&self) -> Time {
        let lives = self.places.values().filter_map(|place| place.life.timer());
        // One that is over is made as soon as the edge runs, which is an event.
        let retry = self.edge.retry().filter(|due| *due > self.clock.now());
        let (drains, rollouts) = (self.drain_timer(), self.rollouts.timer());
        let told = self.notification_timer();
        let rest =
            [Some(self.next_sample), self.next_rotation, retry, drains, rollouts, told, self.progress.deadline()];
        lives.chain(rest.into_iter().flatten()).min().unwrap_or(self.next_sample)
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        let due: Vec<Key> = self
            .places
            .values()
            .filter(|place| place.life.timer().is_some_and(|due| due <= now))
            .map(|place| place.key)
            .collect();
        for key in due {
            self.step(key, What::Tick);
        }
        self.tick_rollouts(now);
        self.tick_notifications();
        self.upkeep(now);
    }

    /// Something happened in the life of an instance.
    fn step(&mut self, key: Key, what: What) {
        let (at, jitter) = (self.clock.now(), clock::chance());
        let Some(place) = self.places.get_mut(&key) else { return };
        let before = place.life.phase().name();
        let reason = place.life.reason().map(str::to_owned);
        let effects = place.life.step(lifecycle::Event { at, jitter, what });
        place.set_pace();
        self.changed |= before != place.life.phase().name() || reason.as_deref() != place.life.reason();
        self.changed |= !effects.is_empty();
        self.note_phase(key, before);
        for effect in effects {
            self.carry_out(key, effect);
        }
    }

    fn carry_out(&mut self, key: Key, effect: Effect) {
        match effect {
            Effect::Start { run } => self.start(key, run, false),
            Effect::Migrate { run } => self.start(key, run, true),
            Effect::Terminate => self.signal(key, Signal::Terminate),
            Effect::Kill => self.signal(key, Signal::Kill),
        }
    }

    fn signal(&mut self, key: Key, signal: Signal) {
        let Some(instance) = self.places.get(&key).and_then(|place| place.instance.as_ref()) else { return };
        let Some(handle) = &instance.handle else { return };
        if let Err(error) = handle.signal(signal) {
            tracing::error!(instance = %instance.id, ?signal, %error, "a signal could not be sent");
        }
    }

    /// A phase began: remember it, for people, and what follows from it.
    fn note_phase(&mut self, key: Key, before: &'static str) {
        let now = self.clock.now();
        let Some(place) = self.places.get_mut(&key) else { return };
        let phase = place.life.phase().name();
        if phase == before {
            return;
        }
        let detail = match place.life.phase() {
            // Noted when the process is there.
            Phase::Starting { .. } | Phase::Migrating { .. } => return,
            Phase::Ready { .. } => {
                let after = place.start_asked.take().map(|asked| now.since(asked).as_secs_f64());
                place.ready_after = after.or(place.ready_after);
                after.map_or_else(String::new, |after| format!("after {after:.1} s"))
            }
            _ => place.life.reason().unwrap_or_default().to_owned(),
        };
        // A blocked instance looks again and again, and finds the same: that is not news.
        if place.noted.as_ref().is_some_and(|noted| noted.0 == phase && noted.1 == detail) {
            return;
        }
        place.noted = Some((phase, detail.clone()));
        let (service, id) = (place.service.clone(), place.id().map(str::to_owned));
        tracing::info!(service, instance = id, phase, detail, "phase");
        self.note(Some(&service), id.as_deref(), phase, &detail);
    }

    /// Writes the journal. It is for people: that it cannot be written stops nothing.
    fn note(&mut self, service: Option<&str>, instance: Option<&str>, kind: &str, detail: &str) {
        let noted = self.store.note(service, instance, kind, detail);
        Self::complain(noted);
    }

    /// A write that failed after the fact: said, and lived with.
    fn complain<T>(result: Result<T, StoreError>) {
        if let Err(error) = result {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, "the control plane's memory cannot be written");
        }
    }
}

/// A stream of progress.
pub(crate) type Stream = mpsc::Receiver<Event>;
