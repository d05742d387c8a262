//! Streams of progress: who watches, what each has been told, and when there is nothing more to tell. Pure but for the
//! channels.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mana_runtime::lifecycle::Time;
use tokio::sync::mpsc;

use crate::api::{Event, ServiceState};
use crate::judge::Judgement;

/// Events that wait for a slow reader; one that lets more pile up is cut off, since its picture would be wrong.
const MAX_WAITING_EVENTS: usize = 512;
/// Longest life of a stream: over the longest migration and start. Work goes on without it.
const MAX_WATCH: Duration = Duration::from_mins(15);

/// What a stream is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole ecosystem should be up.
    All,
    /// This service should be up, in its desired version.
    Service(String),
    /// Everything should be gone.
    Down,
}

/// How a service is now.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) service: String,
    pub(crate) judgement: Judgement,
}

/// What a person needs who has to look after a failed service.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) log_tail: Vec<String>,
    pub(crate) hint: String,
}

#[derive(Debug)]
struct Watcher {
    sender: mpsc::Sender<Event>,
    scope: Scope,
    began: Time,
    told: BTreeMap<String, (ServiceState, String)>,
    failed: BTreeSet<String>,
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    watchers: Vec<Watcher>,
}

impl Progress {
    /// A new stream.
    pub(crate) fn watch(&mut self, scope: Scope, now: Time) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let (told, failed) = (BTreeMap::new(), BTreeSet::new());
        self.watchers.push(Watcher { sender, scope, began: now, told, failed });
        receiver
    }

    pub(crate) fn nobody_watches(&self) -> bool {
        self.watchers.is_empty()
    }

    /// When the oldest stream is ended at the latest.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.watchers.iter().map(|watcher| watcher.began.after(MAX_WATCH)).min()
    }

    /// Tells every stream what is new to it. `failure` finds the details about a failed service.
    pub(crate) fn tell(&mut self, reports: &[Report], now: Time, failure: impl Fn(&str) -> Failure) {
        self.watchers.retain_mut(|watcher| {
            let events = watcher.news(reports, now, &failure);
            let last = events.last().is_some_and(|event| matches!(event, Event::Settled { .. } | Event::Failed { .. }));
            // A reader that went away or does not keep up loses its stream; the work goes on.
            let sent = events.into_iter().all(|event| watcher.sender.try_send(event).is_ok());
            sent && !last
        });
    }
}

impl Watcher {
    fn news(&mut self, reports: &[Report], now: Time, failure: &impl Fn(&str) -> Failure) -> Vec<Event> {
        let mut events = Vec::new();
        let concerned: Vec<&Report> = reports.iter().filter(|report| self.concerns(&report.service)).collect();
        for report in &concerned {
            let Report { service, judgement } = report;
            let now = (judgement.state, judgement.detail.clone());
            if self.told.get(service) != Some(&now) {
                events.push(Event::Service {
                    service: service.clone(),
                    state: judgement.state,
                    detail: judgement.detail.clone(),
                });
                self.told.insert(service.clone(), now);
            }
            if judgement.stuck && self.failed.insert(service.clone()) {
                let Failure { log_tail, hint } = failure(service);
                let (service, reason) = (service.clone(), judgement.detail.clone());
                events.push(Event::ServiceFailed { service, reason, log_tail, hint });
            } else if judgement.state == ServiceState::Up {
                self.failed.remove(service);
            }
        }
        events.extend(self.end(&concerned, now));
        events
    }

    fn concerns(&self, service: &str) -> bool {
        match &self.scope {
            Scope::All | Scope::Down => true,
            Scope::Service(name) => name == service,
        }
    }

    fn end(&self, reports: &[&Report], now: Time) -> Option<Event> {
        let goal = |report: &&&Report| match self.scope {
            Scope::Down => report.judgement.state == ServiceState::Stopped && report.judgement.detail == "stopped",
            _ => report.judgement.state == ServiceState::Up && !report.judgement.settling,
        };
        let open: Vec<&&Report> = reports.iter().filter(|report| !goal(report)).collect();
        if open.is_empty() {
            let took = now.since(self.began).as_millis();
            return Some(Event::Settled { took_ms: u64::try_from(took).unwrap_or(u64::MAX) });
        }
        let names =
            |reports: &[&&Report]| reports.iter().map(|report| report.service.as_str()).collect::<Vec<_>>().join(", ");
        if now.since(self.began) >= MAX_WATCH {
            let minutes = MAX_WATCH.as_secs() / 60;
            return Some(Event::Failed { reason: format!("not up after {minutes} minutes: {}", names(&open)) });
        }
        // Whoever only waits will wait for ever when all that move are stuck.
        let moves = |report: &&&&Report| !report.judgement.stuck && !report.judgement.waits;
        let stuck: Vec<&&Report> = open.iter().copied().filter(|report| report.judgement.stuck).collect();
        if stuck.is_empty() || self.scope == Scope::Down || open.iter().any(|report| moves(&report)) {
            return None;
        }
        Some(Event::Failed { reason: format!("not up: {}", names(&stuck)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(service: &str, state: ServiceState, detail: &str, stuck: bool) -> Report {
        let waits = detail.starts_with("waiting");
        let judgement = Judgement { state, ready: 0, detail: detail.into(), stuck, waits, settling: false };
        Report { service: service.into(), judgement }
    }

    fn told(progress: &mut Progress, receiver: &mut mpsc::Receiver<Event>, reports: &[Report]) -> Vec<String> {
        progress.tell(reports, Time(Duration::from_secs(1)), |_| Failure {
            log_tail: vec!["last words".into()],
            hint: "look".into(),
        });
        let mut got = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            got.push(match event {
                Event::Service { service, state, detail } => format!("{service} {state:?} {detail}"),
                Event::ServiceFailed { service, reason, .. } => format!("{service} failed {reason}"),
                Event::Settled { took_ms } => format!("settled {took_ms}"),
                Event::Failed { reason } => format!("failed {reason}"),
            });
        }
        got
    }

    #[test]
    fn each_change_is_told_once_and_the_end_closes_the_stream() {
        let mut progress = Progress::default();
        let mut receiver = progress.watch(Scope::All, Time::default());
        let starting = [report("a", ServiceState::Starting, "starting", false)];
        assert_eq!(told(&mut progress, &mut receiver, &starting), ["a Starting starting"]);
        assert!(told(&mut progress, &mut receiver, &starting).is_empty());
        let up = [report("a", ServiceState::Up, "ready", false)];
        assert_eq!(told(&mut progress, &mut receiver, &up), ["a Up ready", "settled 1000"]);
        assert!(progress.nobody_watches());
    }

    #[test]
    fn a_stream_fails_when_only_stuck_services_and_those_that_wait_for_them_are_left() {
        let mut progress = Progress::default();
        let mut receiver = progress.watch(Scope::All, Time::default());
        let stuck = report("a", ServiceState::Down, "backoff: exit code 1", true);
        let moving = [stuck.clone(), report("b", ServiceState::Starting, "starting", false)];
        let first = told(&mut progress, &mut receiver, &moving);
        assert_eq!(first, ["a Down backoff: exit code 1", "a failed backoff: exit code 1", "b Starting starting"]);
        let waiting = [stuck, report("b", ServiceState::Starting, "waiting for a", false)];
        let second = told(&mut progress, &mut receiver, &waiting);
        assert_eq!(second, ["b Starting waiting for a", "failed not up: a"]);
    }

    #[test]
    fn a_stream_about_one_service_tells_of_no_other() {
        let mut progress = Progress::default();
        let mut receiver = progress.watch(Scope::Service("b".into()), Time::default());
        let reports = [report("a", ServiceState::Down, "backoff", true), report("b", ServiceState::Up, "ready", false)];
        assert_eq!(told(&mut progress, &mut receiver, &reports), ["b Up ready", "settled 1000"]);
    }

    #[test]
    fn a_stream_about_going_down_ends_when_all_are_stopped() {
        let mut progress = Progress::default();
        let mut receiver = progress.watch(Scope::Down, Time::default());
        let stopping = [report("a", ServiceState::Stopped, "stopping", false)];
        assert_eq!(told(&mut progress, &mut receiver, &stopping), ["a Stopped stopping"]);
        let stopped = [report("a", ServiceState::Stopped, "stopped", false)];
        assert_eq!(told(&mut progress, &mut receiver, &stopped), ["a Stopped stopped", "settled 1000"]);
    }

    #[test]
    fn a_reader_that_went_away_loses_its_stream() {
        let mut progress = Progress::default();
        drop(progress.watch(Scope::All, Time::default()));
        progress.tell(&[report("a", ServiceState::Starting, "starting", false)], Time::default(), |_| Failure {
            log_tail: Vec::new(),
            hint: String::new(),
        });
        assert!(progress.nobody_watches());
    }
}
