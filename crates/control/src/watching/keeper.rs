//! The thread that owns the store. It reads what was scraped, measures host and processes, and keeps all of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mana_watch::exposition::{self, Clash, Format, Point, Target};
use mana_watch::gather::{Found, Gathering, Sink};
use mana_watch::host::Host;
use mana_watch::process::{Depth, LookError, Machine, Presence, Process};
use mana_watch::schedule::Outcome;
use mana_watch::series::Labels;
use mana_watch::store::{Kind, Limits, Reader, SeriesId, Store, StoreError, is_counter_name};

use super::asking::{Failure, Given};
use super::outside::{self, Reading, Session};
use super::pulse::Pulse;
use super::rounds::now_ms;
use super::subjects::{Instance, Subjects};

/// How often there is upkeep at least.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How often a store that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How often the same trouble is said.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// How long it is believed how much room disks have: three rounds.
const SPACE_FOR: Duration = Duration::from_secs(30);
/// What belongs to no single service.
const OWN: &str = "mana";
const HOST: &str = "host";
/// What ends of instances are told by that took too much memory.
const MEMORY: &str = "memory";

/// When it was asked, how long that took, and how many turns it has missed so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turned {
    pub(super) at: i64,
    pub(super) took: Duration,
    pub(super) missed: u64,
}

/// What happened.
pub(super) enum Told {
    Scraped { target: String, labels: Vec<(String, String)>, turn: Turned, answer: Result<Given, String>, ready: bool },
    Probed { target: String, labels: Vec<(String, String)>, at: i64, took: Duration, answer: Result<(), Failure> },
    Outside { at: i64, session: Arc<Session>, reading: Reading },
    Subjects { at: i64, subjects: Subjects },
    Space(Found),
    Gone { target: String },
}

/// Keeps until the process ends.
pub(super) fn run(folder: &Path, inbox: &Receiver<Told>, reader: &OnceLock<Reader>, pulse: &Arc<Pulse>) {
    let store = loop {
        match Store::open(folder, Limits::default(), now_ms()) {
            Ok(store) => break store,
            Err(error) => {
                tracing::error!(error = in_full(&error), "nothing is kept of what is measured; it is tried again");
                // What comes meanwhile is of no use later.
                std::thread::sleep(RETRY);
                while inbox.try_recv().is_ok() {}
            }
        }
    };
    if let Some(torn) = Some(store.stats().set_aside).filter(|set_aside| !set_aside.is_empty()) {
        tracing::warn!(?torn, "stored series were damaged; the files are set aside");
    }
    let _ = reader.set(store.reader());
    let mut keeper = Keeper::new(store, Arc::clone(pulse));
    let mut upkeep = Instant::now();
    loop {
        match inbox.recv_timeout(UPKEEP_EVERY) {
            Ok(told) => keeper.take(told),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if upkeep.elapsed() >= UPKEEP_EVERY {
            upkeep = Instant::now();
            keeper.upkeep();
        }
    }
}

struct Keeper {
    store: Store,
    /// What each target gave, and how asking it went.
    targets: BTreeMap<String, (Target<SeriesId>, Gathering<SeriesId>)>,
    /// Probes, the host, processes, what the control plane says: by what they are kept by.
    gathered: BTreeMap<String, Gathering<SeriesId>>,
    processes: BTreeMap<String, Process>,
    host: Host,
    /// Room on disks, and when that was told.
    space: Option<(Instant, Found)>,
    machine: Option<Machine>,
    refused: u64,
    pulse: Arc<Pulse>,
    said: BTreeMap<&'static str, Instant>,
}

impl Keeper {
    fn new(store: Store, pulse: Arc<Pulse>) -> Self {
        let machine = Machine::here().map_err(|error| tracing::warn!(%error, "processes cannot be measured")).ok();
        Self {
            store,
            targets: BTreeMap::new(),
            gathered: BTreeMap::new(),
            processes: BTreeMap::new(),
            host: Host::here(),
            space: None,
            machine,
            refused: 0,
            pulse,
            said: BTreeMap::new(),
        }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Scraped { target, labels, turn, answer, ready } => {
                self.scraped(&target, &labels, turn, answer, ready);
            }
            Told::Probed { target, labels, at, took, answer } => {
                match &answer {
                    Err(why @ (Failure::Nowhere { .. } | Failure::Elsewhere { .. } | Failure::Certificate(_)))
                        if self.may_say("probe") =>
                    {
                        tracing::warn!(target, %why, "a probe did not come to the service");
                    }
                    Err(why) => tracing::debug!(target, %why, "a probe failed"),
                    Ok(()) => {}
                }
                self.gather(&target, labels, at, |sink| {
                    sink.put("probe_success", &[], f64::from(u8::from(answer.is_ok())));
                    sink.put("probe_duration_seconds", &[], took.as_secs_f64());
                    if let Err(failure) = &answer {
                        sink.put("probe_failure", &[("why", failure.word())], 1.0);
                    }
                });
            }
            Told::Outside { at, session, reading } => {
                let outside = &session.outside;
                match (&reading, &outside.what) {
                    // Whoever sends messages says what becomes of them.
                    (Reading::Down(_), outside::What::Channel { refusing: Some(_), .. }) => {}
                    (Reading::Down(why), outside::What::Channel { .. }) if self.may_say("channel") => {
                        tracing::warn!(channel = outside.name, why, "a channel for messages cannot be reached");
                    }
                    (Reading::Down(why), _) if self.may_say("outside") => {
                        tracing::warn!(name = outside.name, why, "something that services need does not answer");
                    }
                    _ => {}
                }
                self.gather(&outside.target(), outside.labels(), at, |sink| outside::put(outside, &reading, sink));
            }
            Told::Subjects { at, subjects } => self.subjects(at, &subjects),
            Told::Space(found) => self.space = Some((Instant::now(), found)),
            Told::Gone { target } => self.gone(&target),
        }
    }

    fn scraped(
        &mut self,
        target: &str,
        labels: &[(String, String)],
        Turned { at, took, missed }: Turned,
        answer: Result<Given, String>,
        ready: bool,
    ) {
        let fresh = || (Target::new(labels.to_vec(), Clash::Ours), Gathering::new(labels.to_vec()));
        let (mut known, mut asked) = self.targets.remove(target).unwrap_or_else(fresh);
        let mut points = Vec::new();
        let outcome = match answer {
            Ok(Given::Exposition(format, body)) => self.exposition(target, &mut known, format, &body, at, &mut points),
            // It answers, and that is what is known of it.
            Ok(Given::Nothing) => Ok(Outcome::Read { scraped: 0, kept: 0, added: 0, bad: 0 }),
            Err(why) => Err(why),
        };
        let outcome = outcome.unwrap_or_else(|why| {
            // Whoever is not ready may well not answer, which is said elsewhere.
            if ready && self.may_say("scrape") {
                tracing::warn!(target, why, "a scrape failed");
            }
            Outcome::Failed
        });
        let mut ended = if matches!(outcome, Outcome::Failed) { known.lose() } else { Vec::new() };
        let (refused, store) = (&mut self.refused, &mut self.store);
        let gathered = asked.gather(
            at,
            &mut points,
            |labels| identify(store, refused, target, &labels, None),
            |sink| {
                // Of two values of a series the first one counts: what is alive and not ready is not up.
                if !ready {
                    sink.put("up", &[], 0.0);
                }
                outcome.put(took, missed, sink);
            },
        );
        ended.extend(gathered.gone);
        if self.keep(at, &points, &ended) {
            self.targets.insert(target.to_owned(), (known, asked));
        }
    }

    fn exposition(
        &mut self,
        target: &str,
        known: &mut Target<SeriesId>,
        format: Format,
        body: &[u8],
        at: i64,
        points: &mut Vec<Point<SeriesId>>,
    ) -> Result<Outcome, String> {
        let (refused, store) = (&mut self.refused, &mut self.store);
        let read = known.read(body, format, at, points, |first| {
            identify(store, refused, target, &first.labels, Some(first.family.kind))
        });
        let reading = read.map_err(|nonsense| nonsense.to_string())?;
        if let Some(bad) = &reading.first_bad
            && self.may_say("line")
        {
            tracing::warn!(target, %bad, lines = reading.bad, "lines of an exposition were left out");
        }
        let ended = self.store.mark_stale(&reading.gone, at);
        self.unwritten(ended.unwritten);
        let (scraped, kept) = (reading.scraped, reading.scraped - reading.refused);
        Ok(Outcome::Read { scraped, kept, added: reading.added, bad: reading.bad })
    }

    fn subjects(&mut self, at: i64, subjects: &Subjects) {
        let mut host = std::mem::replace(&mut self.host, Host::here());
        let old = self.space.take_if(|(told, _)| told.elapsed() >= SPACE_FOR);
        if old.is_some() && self.may_say("space") {
            tracing::warn!("how much room disks have was not told for a while: it is not known");
        }
        let space = self.space.take();
        self.gather(HOST, Vec::new(), at, |sink| {
            host.measure(sink);
            if let Some((_, found)) = &space {
                found.put_again(sink);
            }
        });
        (self.host, self.space) = (host, space);
        for instance in &subjects.instances {
            self.process(at, instance);
        }
        let wanted: Vec<String> = subjects.instances.iter().map(process_group).collect();
        self.processes.retain(|group, _| wanted.contains(group));
        let gone: Vec<String> =
            self.gathered.keys().filter(|group| is_process_group(group) && !wanted.contains(group)).cloned().collect();
        for group in gone {
            self.gone(&group);
        }
        let stats = self.store.stats();
        let (refused, pulse) = (self.refused, Arc::clone(&self.pulse));
        self.gather(OWN, Vec::new(), at, |sink| {
            for service in &subjects.services {
                let labels = [("service", service.name.as_str())];
                sink.put("mana_instances_wanted", &labels, f64::from(service.wanted));
                sink.put("mana_instances_ready", &labels, f64::from(service.ready));
                sink.put("mana_rollout_failed", &labels, f64::from(u8::from(service.rollout_failed)));
                let about = [labels[0], ("project", service.project.as_str()), ("kind", service.kind)];
                sink.put("mana_service_info", &about, 1.0);
            }
            for instance in &subjects.instances {
                let labels = [("service", instance.service.as_str()), ("instance", instance.name.as_str())];
                sink.put("mana_instance_restarts_total", &labels, f64::from(instance.restarts));
                let service = subjects.services.iter().find(|service| service.name == instance.service);
                let labels = [labels[0], labels[1], ("slot", instance.slot.as_str())];
                if let Some(limit) = service.and_then(|service| service.memory_bytes) {
                    sink.put("mana_instance_memory_limit_bytes", &labels, number(limit));
                }
                if let Some(usage) = instance.usage {
                    sink.put("mana_instance_memory_bytes", &labels, number(usage.resident_bytes));
                    sink.put("mana_instance_cpu_seconds_total", &labels, usage.cpu_seconds);
                    sink.put("mana_instance_processes", &labels, f64::from(usage.processes));
                }
            }
            for endings in &subjects.endings {
                let labels = [("service", endings.service.as_str()), ("instance", endings.instance.as_str())];
                for (reason, count) in &endings.by_reason {
                    let of = [labels[0], labels[1], ("reason", *reason)];
                    sink.put("mana_instance_exits_total", &of, f64::from(*count));
                    if *reason == MEMORY {
                        sink.put("mana_instance_oom_kills_total", &labels, f64::from(*count));
                    }
                }
            }
            if subjects.elsewhere.is_told {
                pulse.remote.put(sink);
            }
            if subjects.elsewhere.heartbeat.is_some() {
                pulse.beats.put(sink);
            }
            pulse.tells.put(sink);
            sink.put("mana_watch_series", &[], number(stats.series as u64));
            sink.put("mana_watch_series_refused_total", &[], number(refused));
            sink.put("mana_watch_samples_total", &[], number(stats.counts.taken));
            let bytes: u64 = stats.levels.iter().map(|level| level.bytes).sum();
            sink.put("mana_watch_disk_bytes", &[], number(bytes + stats.journal_bytes));
        });
    }

    fn process(&mut self, at: i64, instance: &Instance) {
        let (Some(machine), Some((pid, began))) = (self.machine, instance.process) else { return };
        let group = process_group(instance);
        let held = self.processes.remove(&group).filter(|held| held.pid() == pid);
        let found = match held {
            Some(held) => Ok(held),
            None => Process::find(pid, began, machine),
        };
        let mut process = match found {
            Ok(process) => process,
            Err(LookError::System { .. }) if !self.may_say("process") => return,
            Err(error @ LookError::System { .. }) => return tracing::warn!(%error, "a process is not measured"),
            Err(_) => return,
        };
        let mut presence = Presence::Gone;
        self.gather(&group, instance.labels(), at, |sink| presence = process.measure(Depth::Plain, sink));
        if matches!(presence, Presence::Here) {
            self.processes.insert(group, process);
        }
    }

    /// Keeps what is measured by us.
    fn gather(&mut self, group: &str, own: Vec<(String, String)>, at: i64, measure: impl FnOnce(&mut dyn Sink)) {
        let mut gathering = self.gathered.remove(group).unwrap_or_else(|| Gathering::new(own));
        let mut points = Vec::new();
        let (refused, store) = (&mut self.refused, &mut self.store);
        let gathered =
            gathering.gather(at, &mut points, |labels| identify(store, refused, group, &labels, None), measure);
        for unknown in &gathered.unknown {
            tracing::trace!(%unknown, "not measured");
        }
        if self.keep(at, &points, &gathered.gone) {
            self.gathered.insert(group.to_owned(), gathering);
        }
    }

    /// Whether whoever gave the ids may go on with them: else they are identified anew, from the next round on.
    fn keep(&mut self, at: i64, points: &[Point<SeriesId>], ended: &[SeriesId]) -> bool {
        let round: Vec<(SeriesId, f64)> = points.iter().map(|point| (point.id, point.sample.value)).collect();
        let appended = self.store.append(&round, at);
        let stale = self.store.mark_stale(ended, at);
        let known = appended.unknown.is_empty();
        if appended.late + appended.crowded > 0 && self.may_say("late") {
            let (late, crowded) = (appended.late, appended.crowded);
            tracing::warn!(late, crowded, "samples were not kept: older than others of their target, or too many");
        }
        let unwritten = appended.unwritten.or(stale.unwritten);
        if !round.is_empty() && unwritten.is_none() {
            self.pulse.kept(now_ms());
        }
        self.unwritten(unwritten);
        known
    }

    fn gone(&mut self, target: &str) {
        self.targets.remove(target);
        self.gathered.remove(target);
        let ended = self.store.end_group(target, now_ms());
        self.unwritten(ended.unwritten);
    }

    fn upkeep(&mut self) {
        loop {
            match self.store.maintain(now_ms()) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.unwritten(Some(error)),
            }
        }
    }

    fn unwritten(&mut self, error: Option<StoreError>) {
        if let Some(error) = error
            && self.may_say("disk")
        {
            tracing::error!(error = in_full(&error), "what is measured is not on disk");
        }
    }

    fn may_say(&mut self, what: &'static str) -> bool {
        let due = self.said.get(what).is_none_or(|said| said.elapsed() >= SAY_EVERY);
        if due {
            self.said.insert(what, Instant::now());
        }
        due
    }
}

fn identify(
    store: &mut Store,
    refused: &mut u64,
    group: &str,
    labels: &Labels,
    kind: Option<exposition::Kind>,
) -> Option<SeriesId> {
    let counts =
        matches!(kind, Some(exposition::Kind::Counter | exposition::Kind::Histogram | exposition::Kind::Summary))
            || (!matches!(kind, Some(exposition::Kind::Gauge)) && is_counter_name(labels.name()));
    // The quantiles of a summary go up and down; its sum and count do not.
    let counts = counts && labels.get("quantile").is_empty();
    match store.identify(group, labels, if counts { Kind::Counter } else { Kind::Gauge }) {
        Ok(id) => Some(id),
        // Programs that measure their own process say what is measured here as well: it is the same.
        Err(StoreError::Elsewhere { .. }) => None,
        Err(error) => {
            if refused.is_multiple_of(1_000) {
                tracing::warn!(error = in_full(&error), "a series is not kept");
            }
            *refused += 1;
            None
        }
    }
}

/// Two sources of one target, with times of their own.
fn process_group(instance: &Instance) -> String {
    format!("{}/process", instance.target())
}

fn is_process_group(group: &str) -> bool {
    group.ends_with("/process")
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

fn in_full(error: &dyn std::error::Error) -> String {
    let behind = std::iter::successors(error.source(), |error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}

#[cfg(test)]
mod tests;
