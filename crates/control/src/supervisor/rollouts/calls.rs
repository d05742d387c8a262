//! What operators ask of rollouts.

use mana_delivery::rollout::{self as delivery, Command, Operator, Plan, Reply, RolloutId, Stage, State, What};
use mana_manifest::plan::{Run, Value};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;

use super::target::{Source, Target};
use super::turns::Refused;
use super::{Rollout, plan, steps};
use crate::api::{Deploy, Problem, RolloutCommand, RolloutDetail, RolloutEntry, RolloutView, SlotView, SmokeRequest};
use crate::secrets::Secrets;
use crate::slot::Slot;
use crate::store::RolloutRow;
use crate::supervisor::calls::{conflict, internal, problem};
use crate::supervisor::{Call, Message, Supervisor};
use crate::{clock, smoke};

/// By so many names at most is known who stands behind a push: a host gives some eight.
const MOST_NAMES: usize = 16;

impl Supervisor {
    /// Finds out what is meant, then begins.
    pub(in crate::supervisor) fn deploy_meant(
        &mut self,
        request: Deploy,
        pushed_by: Option<Vec<String>>,
        reply: oneshot::Sender<Result<RolloutView, Problem>>,
    ) {
        let source = match self.answered(request.key.as_deref(), |row| row.service == request.service) {
            Err(problem) => Err(problem),
            Ok(Some(view)) => return drop(reply.send(Ok(view))),
            Ok(None) => self.may_deploy(&request.service),
        };
        let source = match source {
            Ok(source) => source,
            Err(problem) => return drop(reply.send(Err(problem))),
        };
        let (mailbox, row) = (self.mailbox(), self.changing.clone());
        tokio::spawn(async move {
            let call = match source.find(request.release.as_deref()).await {
                Ok(target) => Call::Begin { request, pushed_by, target: Box::new(target), reply },
                Err(problem) => return drop(reply.send(Err(problem))),
            };
            // The owner is gone only when the process ends.
            let _ = mailbox.send(Message::call(call, row)).await;
        });
    }

    pub(super) fn may_deploy(&self, name: &str) -> Result<Source, Problem> {
        if self.down_asked || !self.running {
            return Err(conflict("nothing should run now; `mana up` starts everything"));
        }
        let desired = self.desired.as_ref().ok_or_else(|| conflict("nothing was applied yet; `mana up` does"))?;
        if !desired.plan.services.iter().any(|service| service.name == name) {
            return Err(problem(404, "there is no such service", name));
        }
        self.source(name).ok_or_else(|| conflict("nothing was applied yet; `mana up` does"))
    }

    pub(in crate::supervisor) fn begin_deploy(
        &mut self,
        request: &Deploy,
        pushed_by: Option<Vec<String>>,
        target: Target,
    ) -> Result<RolloutView, Problem> {
        // Something may have changed while it was found out what is meant; it may also have been asked for twice meanwhile.
        let key = request.key.as_deref();
        if let Some(view) = self.answered(key, |row| row.service == request.service)? {
            return Ok(view);
        }
        let Source { plan: ecosystem, .. } = self.may_deploy(&request.service)?;
        let known = ecosystem.services.iter().find(|service| service.name == request.service);
        let service = known.ok_or_else(|| problem(404, "there is no such service", request.service.clone()))?;
        let by = operator(&request.by)?;
        // Nobody asked for a push by hand: whoever wrote it stands behind it as well.
        let author = target.author.as_deref().map(names_in).unwrap_or_default();
        let behind = pushed_by.map(|names| author.into_iter().chain(names).take(MOST_NAMES).collect());
        let mut plan: Plan = plan::plan(service, target, &by);
        plan.behind = behind.unwrap_or_default();
        plan.overrides.clone_from(&request.overrides);
        if let Some(name) = &request.pause_at {
            let stage = stage(name)?;
            if !plan.has(stage, self.live(&service.name).is_some()) {
                let what = format!("a rollout of {} has no stage `{name}`, so it would not stop there", service.name);
                return Err(problem(422, "there is no such stage to pause at", what));
            }
            plan.pause_at.insert(stage);
        }
        if let Some(id) = self.already(&service.name, &plan, request.supersede)? {
            tracing::info!(service = service.name, rollout = id.0, release = plan.version, "it is there already");
            self.remember_answer(key, id);
            return self.view_of(id);
        }
        self.begin(&service.name, &plan, request.supersede, key)
    }

    pub(super) fn begin(
        &mut self,
        service: &str,
        plan: &Plan,
        supersede: bool,
        key: Option<&str>,
    ) -> Result<RolloutView, Problem> {
        plan.check().map_err(|error| conflict(error.to_string()))?;
        let begun = self.begin_rollout(service, plan, supersede, key);
        let id = begun.map_err(|refused| refusal(&refused))?;
        tracing::info!(service, rollout = id.0, release = plan.version, by = %plan.started_by, "rollout begins");
        self.view_of(id)
    }

    /// What the smoke tests of a service need to be run.
    pub(in crate::supervisor) fn smoke_job(&self, request: &SmokeRequest) -> Result<smoke::Job, Problem> {
        let desired = self.desired.as_ref().ok_or_else(|| conflict("nothing was applied yet; `mana up` does"))?;
        let service = desired.plan.services.iter().find(|service| service.name == request.service);
        let service = service.ok_or_else(|| problem(404, "there is no such service", request.service.clone()))?;
        let serves = self.live(&service.name).map(|(_, release)| (release.version, release.digest.0));
        let (version, digest) = serves.unzip();
        if let Some(wanted) = request.digest.as_ref().filter(|wanted| Some(*wanted) != digest.as_ref()) {
            let found = version.unwrap_or_else(|| "nothing".to_owned());
            return Err(conflict(format!("{} serves {found} here, and {wanted} is to be tested", service.name)));
        }
        let known = Secrets::load(&self.data).map_err(|error| internal(&error))?;
        let reveal = |value: &Value| {
            let revealed = value.reveal(|name| known.get(name).map(|value| value.expose_secret().to_owned()));
            let missing = |name: &str| conflict(format!("the secret {name} is missing; `mana secret set {name}`"));
            revealed.map(SecretString::from).map_err(missing)
        };
        let test = |test: &mana_manifest::plan::Smoke| {
            let asked = desired.plan.services.iter().find(|other| other.name == test.service);
            let asked = asked.ok_or_else(|| problem(404, "there is no such service", test.service.clone()))?;
            let (address, tls, host) = match &asked.run {
                Run::Command(command) => (command.internal, false, command.internal.ip().to_string()),
                Run::Static { .. } => {
                    let (address, tls) = match &desired.plan.tls {
                        Some(tls) => (tls.listen, true),
                        None => (desired.plan.listen, false),
                    };
                    (address, tls, asked.hosts.first().cloned().unwrap_or_default())
                }
            };
            Ok(smoke::Test {
                name: test.name.clone(),
                repeatable: test.only_asks(service),
                address,
                tls,
                host,
                method: test.method.clone(),
                path: test.path.clone(),
                send: test
                    .send
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), reveal(value)?)))
                    .collect::<Result<_, _>>()?,
                body: test.body.as_ref().map(reveal).transpose()?,
                expected: smoke::Expected {
                    status: test.status,
                    headers: test.headers.clone(),
                    json: test.json.clone(),
                    within: test.within,
                },
                save: test.save.clone(),
            })
        };
        let tests = service.smoke.iter().map(test).collect::<Result<_, Problem>>()?;
        Ok(smoke::Job { service: service.name.clone(), serves: (version, digest), tests })
    }

    /// The rollouts of a service, or of all, newest first.
    pub(in crate::supervisor) fn rollout_views(&self, service: Option<&str>) -> Result<Vec<RolloutView>, Problem> {
        let rows = self.store.rollouts(service).map_err(|error| internal(&error))?;
        rows.iter().map(|row| self.view(row)).collect()
    }

    /// How one rollout goes.
    pub(in crate::supervisor) fn rollout_view(&self, id: u64) -> Result<RolloutView, Problem> {
        self.view_of(RolloutId(id))
    }

    /// One rollout with its whole journal.
    pub(in crate::supervisor) fn rollout_detail(&self, id: u64) -> Result<RolloutDetail, Problem> {
        let id = RolloutId(id);
        let journal = self.store.rollout_journal(id).map_err(|error| internal(&error))?;
        let entry = |row: crate::store::JournalRow| RolloutEntry {
            number: row.number,
            at: row.at,
            event: row.event.what,
            effects: row.effects,
        };
        let (view, state) = (self.view_of(id)?, self.state(&self.row(id)?)?);
        Ok(RolloutDetail { view, looks: state.looks().to_vec(), journal: journal.into_iter().map(entry).collect() })
    }

    /// A person wants something of a rollout. Says what it did.
    pub(in crate::supervisor) fn rollout_asked(
        &mut self,
        id: u64,
        request: RolloutCommand,
    ) -> Result<RolloutView, Problem> {
        let RolloutCommand { by, key, command } = request;
        match self.answered(key.as_deref(), |row| row.id.0 == id)? {
            Some(view) => Ok(view),
            None => self.rollout_command(id, &by, command, key.as_deref()),
        }
    }

    pub(super) fn rollout_command(
        &mut self,
        id: u64,
        by: &str,
        command: Command,
        key: Option<&str>,
    ) -> Result<RolloutView, Problem> {
        if matches!(command, Command::Supersede { .. }) {
            return Err(problem(422, "nobody supersedes by hand", "`mana deploy --supersede` does"));
        }
        let (id, by) = (RolloutId(id), operator(by)?);
        let Some(rollout) = self.rollouts.known.get(&id) else {
            return Err(self.unknown(id));
        };
        // What is over moves again only while no other is under way, or came after it.
        if rollout.state.is_final() && matches!(command, Command::Retry | Command::Rollback) {
            let service = rollout.service.clone();
            self.begin_again(id, &service).map_err(|refused| refusal(&refused))?;
        }
        let reply = self.take_under(key, id, What::Command { by, command });
        // What did not move after all does not keep others waiting.
        let still_over = self.rollouts.known.get(&id).filter(|rollout| rollout.state.is_final());
        if let Some(service) = still_over.map(|rollout| rollout.service.clone()) {
            self.over(id, &service);
        }
        match reply {
            Some(Reply::Refused(refusal)) => Err(conflict(refusal.to_string())),
            Some(Reply::Taken) => self.view_of(id),
            Some(Reply::Already | Reply::Late) => {
                self.remember_answer(key, id);
                self.view_of(id)
            }
            None => Err(problem(503, "it cannot be written down", "see the control plane's log, then ask again")),
        }
    }

    pub(super) fn unknown(&self, id: RolloutId) -> Problem {
        match self.store.rollout(id) {
            Ok(Some(_)) => conflict(format!("rollout {id} is over, and another one came after it")),
            Ok(None) => {
                problem(404, "there is no such rollout", format!("`mana rollouts` lists them; {id} is none of them"))
            }
            Err(error) => internal(&error),
        }
    }

    pub(super) fn row(&self, id: RolloutId) -> Result<RolloutRow, Problem> {
        let row = self.store.rollout(id).map_err(|error| internal(&error))?;
        row.ok_or_else(|| self.unknown(id))
    }

    pub(super) fn view_of(&self, id: RolloutId) -> Result<RolloutView, Problem> {
        self.view(&self.row(id)?)
    }

    fn state(&self, row: &RolloutRow) -> Result<State, Problem> {
        if let Some(Rollout { state, .. }) = self.rollouts.known.get(&row.id) {
            return Ok(state.clone());
        }
        self.store.rollout_state(row.clone()).map_err(|error| internal(&error))
    }

    pub(super) fn view(&self, row: &RolloutRow) -> Result<RolloutView, Problem> {
        let state = self.state(row)?;
        let now = if state.is_final() { state.clock().now() } else { state.clock().at(clock::rollout_time()) };
        let before = self.rollouts.usual.get(&row.service).cloned().unwrap_or_default();
        let green = match state.stage() {
            Stage::Done => 100,
            _ => state.traffic().acknowledged.map_or(0, delivery::Percent::get),
        };
        let slot = |name: Slot, release: Option<&delivery::Release>, percent| SlotView {
            slot: name.to_string(),
            version: release.map(|release| release.version.clone()),
            digest: release.map(|release| release.digest.0.clone()),
            percent,
        };
        Ok(RolloutView {
            number: row.id.0,
            service: row.service.clone(),
            version: row.plan.version.clone(),
            stage: state.stage().name().to_owned(),
            about: state.stage().about().to_owned(),
            attempt: state.attempt(),
            over: state.is_final(),
            started_by: row.plan.started_by.0.clone(),
            begun_at: row.begun_at.clone(),
            old: slot(row.green.other(), state.blue(), if state.blue().is_some() { 100 - green } else { 0 }),
            new: slot(row.green, state.green(), green),
            waits_for: state.waits_for().into_iter().flatten().map(|operator| operator.0.clone()).collect(),
            why: state.retreat().map(|retreat| retreat.why.clone()),
            look: state.looks().last().cloned(),
            steps: steps::steps(&state, now, &before),
        })
    }
}

fn refusal(refused: &Refused) -> Problem {
    match refused {
        Refused::Busy(busy) => conflict(busy.to_string()),
        Refused::Store(error) => internal(error),
    }
}

pub(super) fn operator(name: &str) -> Result<Operator, Problem> {
    const LONGEST: usize = 64;
    let good = !name.trim().is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control);
    if !good {
        return Err(problem(422, "who are you?", format!("a name has 1 to {LONGEST} bytes and no control characters")));
    }
    Ok(Operator(name.to_owned()))
}

fn stage(name: &str) -> Result<Stage, Problem> {
    Stage::named(name).filter(|stage| stage.can_pause()).ok_or_else(|| {
        let names: Vec<&str> = Stage::ALL.iter().filter(|stage| stage.can_pause()).map(|stage| stage.name()).collect();
        problem(422, "there is no such stage to pause at", format!("`{name}` is not one of {}", names.join(", ")))
    })
}

/// The names in `Ada <ada@example.org>`.
fn names_in(author: &str) -> Vec<String> {
    let (name, address) = author.split_once('<').unwrap_or((author, ""));
    let names = [name, address.trim_end_matches('>')].map(str::trim);
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::names_in;

    #[test]
    fn an_author_has_a_name_and_an_address() {
        assert_eq!(names_in("Ada <ada@example.org>"), ["Ada", "ada@example.org"]);
        assert_eq!(names_in("Ada"), ["Ada"]);
        assert!(names_in("").is_empty());
    }
}
