//! The status, and what the streams of progress are told: both from the same judgement.

use mana_manifest::plan::{Plan, Run, Service};
use mana_runtime::logs;

use super::Supervisor;
use super::place::Place;
use crate::api::{InstanceStatus, ServiceState, ServiceStatus, Status};
use crate::desired::{EDGE, Wanted};
use crate::judge::{Judgement, Summary, judge};
use crate::progress::{Failure, Report};
use crate::reconcile;

/// Lines of a failed service's log that are shown.
const TAIL_LINES: usize = 15;

impl Supervisor {
    /// Tells the streams of progress what is new.
    pub(super) fn tell(&mut self) {
        if self.progress.nobody_watches() {
            return;
        }
        let reports = self.reports();
        let mut progress = std::mem::take(&mut self.progress);
        progress.tell(&reports, self.clock.now(), |service| self.failure(service));
        self.progress = progress;
    }

    fn reports(&self) -> Vec<Report> {
        let names = self.names();
        names.into_iter().map(|service| Report { judgement: self.judgement(&service), service }).collect()
    }

    /// All services that should run or still do: the edge, those of the plan in start order, and what is on its way out.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        if self.desired.is_some() || self.places.values().any(|place| place.service == EDGE) {
            names.push(EDGE.to_owned());
        }
        if let Some(desired) = &self.desired {
            names.extend(desired.plan.services.iter().map(|service| service.name.clone()));
        }
        for place in self.places.values() {
            if !names.contains(&place.service) {
                names.push(place.service.clone());
            }
        }
        names
    }

    /// Whether a service is as desired.
    pub(super) fn state_of(&self, service: &str) -> ServiceState {
        self.judgement(service).state
    }

    fn judgement(&self, service: &str) -> Judgement {
        let planned = self.planned(service);
        if let Some(Service { run: Run::Static { folder, .. }, .. }) = planned {
            let served =
                self.desired.iter().flat_map(|desired| desired.slots(service)).max_by_key(|wanted| wanted.weight);
            let folder = served.and_then(Wanted::folder).unwrap_or(folder);
            return self.judge_folder(folder.is_dir(), &folder.display().to_string());
        }
        let now = self.clock.now();
        let summaries: Vec<Summary<'_>> = self
            .places
            .values()
            .filter(|place| place.service == service)
            .map(|place| Summary {
                phase: place.life.phase(),
                current: place.current(self.version(service, place.slot)) || self.lost.is_some(),
                retiring: place.retiring,
                failing: place.life.failing(),
                reason: place.reason(now, &self.waits_for(place)),
                ready_after: place.ready_after,
            })
            .collect();
        let mut judgement = judge(self.count(service), &summaries);
        self.judge_edge(service, &mut judgement);
        judgement
    }

    /// A folder needs no process; it is up when it is there and the edge serves it.
    fn judge_folder(&self, there: bool, folder: &str) -> Judgement {
        let (state, detail, stuck) = if !self.running {
            (ServiceState::Stopped, "stopped".to_owned(), false)
        } else if there {
            (ServiceState::Up, "ready".to_owned(), false)
        } else {
            (ServiceState::Blocked, format!("the folder {folder} is not there; build it, or correct `folder`"), true)
        };
        Judgement { state, ready: 0, detail, stuck, waits: false, settling: false }
    }

    /// A ready service that the edge does not send requests to is not up for anybody; a ready edge that refuses what it
    /// should serve is not up either.
    fn judge_edge(&self, service: &str, judgement: &mut Judgement) {
        if judgement.state != ServiceState::Up || !self.running || self.lost.is_some() {
            return;
        }
        if service == EDGE {
            let served = self.snapshot().is_some_and(|wanted| self.edge.is_served(&wanted));
            if !served && let Some(trouble) = self.edge.trouble() {
                judgement.state = ServiceState::Degraded;
                trouble.clone_into(&mut judgement.detail);
                judgement.stuck = true;
            } else if !served {
                // It takes over the newest routes, within milliseconds: nothing to tell, but nothing is settled before.
                judgement.settling = true;
            }
            return;
        }
        let all_served = self
            .places
            .values()
            .filter(|place| place.service == service)
            .all(|place| place.id().is_some_and(|id| self.edge.serves(id)));
        if !all_served {
            judgement.state = ServiceState::Starting;
            judgement.detail = String::from("ready, waiting for the edge to send requests");
            judgement.waits = true;
        }
    }

    fn planned(&self, service: &str) -> Option<&Service> {
        self.desired.as_ref()?.plan.services.iter().find(|planned| planned.name == service)
    }

    fn count(&self, service: &str) -> u16 {
        match &self.desired {
            Some(desired) if self.running => desired.slots(service).map(|wanted| self.count_of(wanted)).sum(),
            None if self.lost.is_some() && self.running => 1,
            _ => 0,
        }
    }

    /// How many instances a slot should have just now.
    pub(super) fn count_of(&self, wanted: &Wanted) -> u16 {
        let rests = !wanted.migration_pending() && self.rollouts.only_migrates(&wanted.name, wanted.slot);
        if rests { 0 } else { wanted.count }
    }

    fn waits_for<'a>(&self, place: &'a Place) -> Vec<&'a str> {
        reconcile::missing(&place.facts.needs, &self.place_views())
    }

    fn failure(&self, service: &str) -> Failure {
        let place = self.places.values().filter(|place| place.service == service).max_by_key(|place| place.key);
        let log_tail = place.map_or_else(Vec::new, |place| {
            logs::tail(&place.log_file, TAIL_LINES)
                .unwrap_or_else(|error| vec![format!("(its log cannot be read: {error})")])
        });
        let hint = match place.map(|place| place.life.phase().name()) {
            None | Some("blocked") => "see to what is missing, then `mana up` again".to_owned(),
            _ => format!("`mana logs {service}` shows more; it is tried again, and `mana up` applies a change"),
        };
        Failure { log_tail, hint }
    }

    /// Desired against actual.
    pub(super) fn status(&self) -> Status {
        let services: Vec<ServiceStatus> = self.names().iter().map(|name| self.service_status(name)).collect();
        let mut differences: Vec<String> = self.lost.clone().into_iter().collect();
        if self.desired.is_none() && self.lost.is_none() {
            differences.push("nothing was applied yet; `mana up` does".to_owned());
        } else if !self.running && self.lost.is_none() {
            let ecosystem = self.desired.as_ref().map_or("the ecosystem", |desired| desired.plan.ecosystem.as_str());
            differences.push(format!("{ecosystem} is switched off; `mana up` starts it"));
        }
        differences.extend(self.names().iter().filter_map(|name| self.difference(name)));
        Status {
            ecosystem: self.plan().map(|plan| plan.ecosystem.clone()).unwrap_or_default(),
            environment: self.plan().map(|plan| plan.environment.as_str().to_owned()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            control_pid: std::process::id(),
            started_at: self.started_at.clone(),
            services,
            differences,
        }
    }

    fn plan(&self) -> Option<&Plan> {
        self.desired.as_ref().map(|desired| &desired.plan)
    }

    fn difference(&self, service: &str) -> Option<String> {
        let judgement = self.judgement(service);
        let is_as_desired = match judgement.state {
            ServiceState::Up => true,
            ServiceState::Stopped => judgement.detail == "stopped" && self.count(service) == 0,
            _ => false,
        };
        if is_as_desired {
            return None;
        }
        let count = self.count(service);
        Some(match judgement.state {
            ServiceState::Blocked if count == 0 => format!("{service}: {}", judgement.detail),
            _ if count == 0 => format!("{service} should not run: {}", judgement.detail),
            _ => format!("{service}: {} of {count} ready, {}", judgement.ready, judgement.detail),
        })
    }

    fn service_status(&self, name: &str) -> ServiceStatus {
        let now = self.clock.now();
        let judgement = self.judgement(name);
        let planned = self.planned(name);
        let instances: Vec<InstanceStatus> = self
            .places
            .values()
            .filter(|place| place.service == name)
            .map(|place| place.status(now, &self.waits_for(place)))
            .collect();
        let internal_url = planned.and_then(|service| match &service.run {
            Run::Command(command) => Some(format!("http://{}", command.internal)),
            Run::Static { .. } => None,
        });
        ServiceStatus {
            name: name.to_owned(),
            project: planned.map(|service| service.project.clone()).unwrap_or_default(),
            kind: planned.map_or(EDGE, |service| service.kind.as_str()).to_owned(),
            state: judgement.state,
            public_url: planned.and_then(|service| service.public_url.clone()),
            internal_url,
            desired: self.count(name),
            ready: judgement.ready,
            instances,
        }
    }
}
