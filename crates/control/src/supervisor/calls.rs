//! The operator's calls.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use mana_manifest::plan::{Notification, Plan};
use mana_runtime::lifecycle::{Phase, What};
use mana_runtime::ports::Ports;
use mana_watch::alert::Tell;
use secrecy::ExposeSecret;
use tokio::sync::oneshot;

use super::rollouts::target::Target;
use super::starting::{NotStarted, one_off};
use super::{Stream, Supervisor};
use crate::api::{
    Apply, Deploy, EdgeChange, JournalEntry, MadeToken, NewToken, Problem, PutBack, RolloutCommand, RolloutDetail,
    RolloutView, RunRequest, RunSpec, Served, Serving, SmokeRequest, Status, TokenView,
};
use crate::audit::WithIt;
use crate::desired::{Desired, EDGE, Program};
use crate::door::{Site, Watched};
use crate::progress::Scope;
use crate::reconcile::Key;
use crate::secrets::{self, Secrets};
use crate::slot::Slot;
use crate::smoke;
use crate::status_page;
use crate::store::{Applied, Store};
use crate::watching::subjects::Subjects;

/// Where the answer goes. Whoever asked may have gone away; that is no error.
type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// What an operator wants.
pub(crate) enum Call {
    /// How is everything?
    Status(Reply<Status>),
    /// What is there to watch?
    Subjects(Reply<Subjects>),
    /// Through which channels are people told, and of which environment?
    Channels(Reply<(Vec<Notification>, String)>),
    /// What does the status page show? Nothing, where there is none.
    StatusPage(Reply<Option<status_page::Shown>>),
    /// Make it so. The manifest was read and checked.
    Apply { request: Apply, manifest: String, plan: Box<Plan>, reply: Reply<Stream> },
    /// Replace the instances of a service.
    Restart { service: String, reply: Reply<Stream> },
    /// Another version of the edge is to serve.
    Edge { change: EdgeChange, reply: Reply<Stream> },
    /// People are to be told of an alert; answered with the channels that it goes to, once that is on disk.
    TellOfAlert { tell: Box<Tell>, reply: Reply<Vec<String>> },
    /// Through which channels would whoever is meant be told of an alert about these?
    AlertChannels { audience: Vec<String>, about: Vec<String>, reply: Reply<Vec<String>> },
    /// Something to write into the journal.
    Note { service: Option<String>, kind: &'static str, detail: String },
    /// Stop everything, then end.
    Down(Reply<Stream>),
    /// What is a one-off command started with?
    Run { request: RunRequest, reply: Reply<RunSpec> },
    /// Bring a release into this environment. `pushed_by`: of a push, the names of whoever pushed it.
    Deploy { request: Deploy, pushed_by: Option<Vec<String>>, reply: Reply<RolloutView> },
    /// The same, now that it is known what is meant.
    Begin { request: Deploy, pushed_by: Option<Vec<String>>, target: Box<Target>, reply: Reply<RolloutView> },
    /// Let somebody in.
    MakeToken { request: NewToken, reply: Reply<MadeToken> },
    /// Who is let in?
    Tokens(Reply<Vec<TokenView>>),
    /// Do not let somebody in any more.
    RemoveToken { name: String, reply: Reply<()> },
    /// Where are the releases of a service?
    Releases { service: String, reply: Reply<mana_release::store::Store> },
    /// What do pushes lead to?
    Watched(Reply<Watched>),
    /// Where do people see the door?
    Site(Reply<Site>),
    /// Something of the memory alone, which changes nothing else.
    Memory(Box<dyn FnOnce(&mut Store) + Send>),
    /// What is in force?
    Serving(Reply<Serving>),
    /// What are the smoke tests of a service?
    Smoke { request: SmokeRequest, reply: Reply<smoke::Job> },
    /// Which rollouts were there?
    Rollouts { service: Option<String>, reply: Reply<Vec<RolloutView>> },
    /// How does one go?
    RolloutView { number: u64, reply: Reply<RolloutView> },
    /// What happened to one?
    Rollout { number: u64, reply: Reply<RolloutDetail> },
    /// A person wants something of one.
    RolloutCommand { number: u64, request: RolloutCommand, reply: Reply<RolloutView> },
    /// Another version is to serve: that in a slot, or the one before.
    PutBack { request: PutBack, reply: Reply<RolloutView> },
    /// What happened last?
    Journal { limit: u32, reply: Reply<Vec<JournalEntry>> },
}

impl Call {
    /// Whether nothing can follow from it: of what is asked all the time.
    pub(super) fn only_asks(&self) -> bool {
        matches!(
            self,
            Self::Status(_)
                | Self::Subjects(_)
                | Self::Channels(_)
                | Self::StatusPage(_)
                | Self::AlertChannels { .. }
                | Self::Watched(_)
                | Self::Site(_)
                | Self::Serving(_)
                | Self::Memory(_)
                | Self::Rollouts { .. }
                | Self::RolloutView { .. }
                | Self::Rollout { .. }
                | Self::Journal { .. }
        )
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Status(_) => "Status",
            Self::Subjects(_) => "Subjects",
            Self::Channels(_) => "Channels",
            Self::StatusPage(_) => "StatusPage",
            Self::Apply { .. } => "Apply",
            Self::Restart { .. } => "Restart",
            Self::Edge { .. } => "Edge",
            Self::TellOfAlert { .. } => "TellOfAlert",
            Self::AlertChannels { .. } => "AlertChannels",
            Self::Note { .. } => "Note",
            Self::Down(_) => "Down",
            Self::Run { .. } => "Run",
            Self::Deploy { .. } => "Deploy",
            Self::Begin { .. } => "Begin",
            Self::Smoke { .. } => "Smoke",
            Self::Serving(_) => "Serving",
            Self::MakeToken { .. } => "MakeToken",
            Self::Tokens(_) => "Tokens",
            Self::RemoveToken { .. } => "RemoveToken",
            Self::Releases { .. } => "Releases",
            Self::Watched(_) => "Watched",
            Self::Site(_) => "Site",
            Self::Memory(_) => "Memory",
            Self::Rollouts { .. } => "Rollouts",
            Self::RolloutView { .. } => "RolloutView",
            Self::Rollout { .. } => "Rollout",
            Self::RolloutCommand { .. } => "RolloutCommand",
            Self::PutBack { .. } => "PutBack",
            Self::Journal { .. } => "Journal",
        })
    }
}

pub(super) fn problem(status: u16, title: &str, detail: impl Into<String>) -> Problem {
    Problem { title: title.to_owned(), status, detail: detail.into(), problems: Vec::new() }
}

pub(super) fn conflict(detail: impl Into<String>) -> Problem {
    problem(409, "this does not fit the present state", detail)
}

pub(crate) fn internal(error: &dyn std::error::Error) -> Problem {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    problem(500, "the control plane could not do this", format!("{error}{source}"))
}

impl Supervisor {
    /// A call that changes something, with the row of the audit log that says so.
    pub(super) fn change(&mut self, call: Call, row: WithIt) {
        self.store.accompany(Some(row.clone().companion()));
        self.changing = Some(row);
        self.call(call);
        self.changing = None;
        // It wrote nothing: whoever asked writes down how it ended.
        self.store.accompany(None);
    }

    pub(super) fn call(&mut self, call: Call) {
        match call {
            Call::Status(reply) => drop(reply.send(Ok(self.status()))),
            Call::Subjects(reply) => drop(reply.send(Ok(self.subjects()))),
            Call::Channels(reply) => drop(reply.send(self.channels())),
            Call::StatusPage(reply) => drop(reply.send(Ok(self.status_page()))),
            Call::Apply { request, manifest, plan, reply } => {
                drop(reply.send(self.apply(&Applied { request, manifest }, *plan)));
            }
            Call::Restart { service, reply } => drop(reply.send(self.restart(&service))),
            Call::Edge { change, reply } => drop(reply.send(self.change_edge(change))),
            Call::TellOfAlert { tell, reply } => drop(reply.send(self.tell_of_alert(&tell))),
            Call::AlertChannels { audience, about, reply } => {
                drop(reply.send(self.alert_channels(&audience, &about)));
            }
            Call::Note { service, kind, detail } => self.note(service.as_deref(), None, kind, &detail),
            Call::Down(reply) => drop(reply.send(self.down())),
            Call::Run { request, reply } => drop(reply.send(self.one_off(&request))),
            Call::Deploy { request, pushed_by, reply } => self.deploy_meant(request, pushed_by, reply),
            Call::Begin { request, pushed_by, target, reply } => {
                drop(reply.send(self.begin_deploy(&request, pushed_by, *target)));
            }
            Call::MakeToken { request, reply } => drop(reply.send(self.make_token(&request))),
            Call::Tokens(reply) => drop(reply.send(self.tokens())),
            Call::RemoveToken { name, reply } => drop(reply.send(self.remove_token(&name))),
            Call::Releases { service, reply } => drop(reply.send(self.kept(&service))),
            Call::Watched(reply) => drop(reply.send(self.watched())),
            Call::Site(reply) => drop(reply.send(self.site())),
            Call::Memory(work) => work(&mut self.store),
            Call::Serving(reply) => drop(reply.send(self.serving())),
            Call::Smoke { request, reply } => drop(reply.send(self.smoke_job(&request))),
            Call::Rollouts { service, reply } => drop(reply.send(self.rollout_views(service.as_deref()))),
            Call::RolloutView { number, reply } => drop(reply.send(self.rollout_view(number))),
            Call::Rollout { number, reply } => drop(reply.send(self.rollout_detail(number))),
            Call::RolloutCommand { number, request, reply } => drop(reply.send(self.rollout_asked(number, request))),
            Call::PutBack { request, reply } => drop(reply.send(self.put_back(&request))),
            Call::Journal { limit, reply } => {
                drop(reply.send(self.store.journal(limit).map_err(|error| internal(&error))));
            }
        }
    }

    fn serving(&self) -> Result<Serving, Problem> {
        let desired = self.desired.as_ref().ok_or_else(|| conflict("nothing was applied yet; `mana up` does"))?;
        let releases = desired.wanted.iter().filter(|wanted| wanted.weight > 0).filter_map(|wanted| {
            let release = wanted.release.as_ref()?;
            Some(Served {
                service: wanted.name.clone(),
                slot: wanted.slot.to_string(),
                version: release.version.clone(),
                digest: release.digest.0.clone(),
            })
        });
        let plan = serde_json::to_value(&desired.plan).map_err(|error| internal(&error))?;
        Ok(Serving { plan, releases: releases.collect() })
    }

    fn apply(&mut self, applied: &Applied, plan: Plan) -> Result<Stream, Problem> {
        if self.down_asked {
            return Err(conflict("everything is going down; wait for its end, then `mana up`"));
        }
        if let Some(present) = self.desired.as_ref().filter(|_| !self.places.is_empty()).map(|desired| &desired.plan)
            && (&present.ecosystem, present.environment) != (&plan.ecosystem, plan.environment)
        {
            return Err(conflict(format!(
                "this data folder runs {} ({}), the manifest describes {} ({}); give it another data folder \
                 (--data), or `mana down` first",
                present.ecosystem,
                present.environment.as_str(),
                plan.ecosystem,
                plan.environment.as_str()
            )));
        }
        for (rollout, service) in self.rollouts.under_way() {
            if !plan.services.iter().any(|planned| planned.name == service) {
                return Err(conflict(format!(
                    "rollout {rollout} of {service} is under way, and the manifest has no such service any more; \
                     wait for its end, or `mana rollout abort {rollout}`"
                )));
            }
        }
        let made = secrets::generate(&self.data, &plan.secrets).map_err(|error| internal(&error))?;
        if !made.is_empty() {
            self.note(None, None, "secrets", &format!("generated {}", made.join(", ")));
        }
        let known = Secrets::load(&self.data).map_err(|error| internal(&error))?;
        let rows = self.store.slots().map_err(|error| internal(&error))?;
        let edge = self.edge_program(&rows).map_err(|error| internal(&error))?;
        let desired = Desired::new(plan, edge, &known, &rows, false);
        let rows = desired.rows();
        self.store.apply(applied, &rows).map_err(|error| internal(&error))?;
        self.note(None, None, "applied", &applied.request.manifest.display().to_string());
        tracing::info!(manifest = %applied.request.manifest.display(), "applied");
        self.set_ports(&desired.plan);
        let is_there = |service: &str| service == EDGE || desired.plan.services.iter().any(|own| own.name == service);
        self.endings.keep(is_there);
        self.desired = Some(desired);
        self.running = true;
        self.lost = None;
        self.renew_facts();
        self.retry_now();
        Ok(self.progress.watch(Scope::All, self.clock.now()))
    }

    /// Timeouts, limits and probe paths need no new process: they hold from now on (probe paths from the next start).
    fn renew_facts(&mut self) {
        let Some(desired) = &self.desired else { return };
        for place in self.places.values_mut() {
            let wanted = desired.find(&place.service, place.slot).filter(|wanted| wanted.version == place.version);
            if let Some(wanted) = wanted {
                place.facts = wanted.facts.clone();
                place.life.set_policy(place.facts.policy());
            }
        }
    }

    /// Whoever applies has just changed something: what was blocked or backing off is tried now.
    fn retry_now(&mut self) {
        let resting: Vec<Key> = self
            .places
            .values()
            .filter(|place| matches!(place.life.phase(), Phase::Blocked { .. } | Phase::Backoff { .. }))
            .map(|place| place.key)
            .collect();
        for key in resting {
            self.step(key, What::Recheck);
        }
    }

    /// Ports are given out from a place of the range that differs from data folder to data folder.
    pub(super) fn set_ports(&mut self, plan: &Plan) {
        let mut hasher = DefaultHasher::new();
        self.data.hash(&mut hasher);
        self.ports = Some(Ports::new(plan.instance_ports, hasher.finish()));
    }

    fn restart(&mut self, service: &str) -> Result<Stream, Problem> {
        if self.down_asked || !self.running {
            return Err(conflict("nothing should run now; `mana up` starts everything"));
        }
        let Some(desired) = &mut self.desired else {
            return Err(conflict("nothing was applied yet, or it is not understood any more; `mana up` applies"));
        };
        if desired.slots(service).any(|wanted| wanted.folder().is_some()) {
            return Err(conflict(format!("{service} is a folder served by the edge; there is no process to restart")));
        }
        let slots: Vec<Slot> = desired.slots(service).map(|wanted| wanted.slot).collect();
        if slots.is_empty() {
            return Err(unknown_service(service, desired));
        }
        for slot in slots {
            let Some(wanted) = desired.find_mut(service, slot) else { continue };
            // What is not written down is not done.
            let revision = wanted.version.revision.wrapping_add(1);
            self.store.set_revision(service, slot, revision).map_err(|error| internal(&error))?;
            wanted.version.revision = revision;
        }
        self.note(Some(service), None, "restarting", "asked for by a person");
        Ok(self.progress.watch(Scope::Service(service.to_owned()), self.clock.now()))
    }

    fn down(&mut self) -> Result<Stream, Problem> {
        self.store.switch_off().map_err(|error| internal(&error))?;
        if !self.down_asked {
            self.note(None, None, "going down", "asked for by a person");
            tracing::info!("going down");
        }
        self.running = false;
        self.down_asked = true;
        Ok(self.progress.watch(Scope::Down, self.clock.now()))
    }

    fn one_off(&mut self, request: &RunRequest) -> Result<RunSpec, Problem> {
        let Some(desired) = &self.desired else {
            return Err(conflict("nothing was applied yet; `mana up` does"));
        };
        let service = request.service.as_str();
        // What serves, where both slots run.
        let wanted = desired.slots(service).max_by_key(|wanted| wanted.weight);
        let wanted = wanted.ok_or_else(|| unknown_service(service, desired))?;
        let (command, secrets) = match &wanted.program {
            Program::Service { command, secrets } => (command, secrets),
            Program::Folder(_) => return Err(conflict(format!("{service} is a folder; there is nothing to run"))),
            Program::Edge(_) => {
                return Err(conflict(format!("{EDGE} has no commands of its own; `mana edge --help` tells about it")));
            }
        };
        let environment = self.environment(command, secrets, 0).map_err(|refusal| match refusal {
            NotStarted::Refused(why) | NotStarted::Later(why) => conflict(why),
        })?;
        let mut env: BTreeMap<String, String> =
            environment.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
        env.insert(mana_runtime::driver::INSTANCE_VARIABLE.to_owned(), format!("{service}-run"));
        Ok(RunSpec { argv: one_off(command, &request.args), cwd: command.cwd.clone(), env })
    }
}

fn unknown_service(name: &str, desired: &Desired) -> Problem {
    let names: Vec<&str> = desired.wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    problem(404, "there is no such service", format!("`{name}` is not one of {}", names.join(", ")))
}
