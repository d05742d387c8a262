//! What operators ask of rollouts.

use mana_delivery::rollout::{self as delivery, Command, Operator, Plan, Reply, RolloutId, Stage, State, What};
use mana_manifest::plan::Run;
use mana_release::store::StoreError;

use super::turns::Refused;
use super::{Rollout, plan};
use crate::api::{Deploy, Problem, RolloutDetail, RolloutEntry, RolloutView, SlotView};
use crate::releases;
use crate::slot::Slot;
use crate::store::RolloutRow;
use crate::supervisor::Supervisor;
use crate::supervisor::calls::{conflict, internal, problem};

impl Supervisor {
    pub(in crate::supervisor) fn begin_deploy(&mut self, request: &Deploy) -> Result<RolloutView, Problem> {
        if self.down_asked || !self.running {
            return Err(conflict("nothing should run now; `mana up` starts everything"));
        }
        let desired = self.desired.as_ref().ok_or_else(|| conflict("nothing was applied yet; `mana up` does"))?;
        let known = |service: &&mana_manifest::plan::Service| service.name == request.service;
        let Some(service) = desired.plan.services.iter().find(known) else {
            return Err(problem(404, "there is no such service", request.service.clone()));
        };
        if matches!(service.run, Run::Static { .. }) {
            return Err(conflict(format!(
                "{} is a folder that the edge serves; rollouts of folders are not there yet",
                service.name
            )));
        }
        let found = releases::store(&desired.plan, &service.name).find(request.release.as_deref());
        let release = found.map_err(|error| match error {
            StoreError::Unknown { known, .. } if known.is_empty() => {
                let what = format!("none of {0} was made yet; `mana build {0}` makes one", service.name);
                problem(404, "there is no release", what)
            }
            StoreError::Unknown { ref known, .. } => {
                let what = format!("{error}; there are: {}", known.join(", "));
                problem(404, "there is no such release", what)
            }
            error => problem(404, "there is no such release", error.to_string()),
        })?;
        let release =
            delivery::Release { version: release.version, digest: delivery::Digest(release.digest.to_string()) };
        let by = operator(&request.by)?;
        let mut plan: Plan = plan::plan(service, &release, &by);
        if let Some(name) = &request.pause_at {
            let stage = stage(name)?;
            if !plan.has(stage, self.live(&service.name).is_some()) {
                let what = format!("a rollout of {} has no stage `{name}`, so it would not stop there", service.name);
                return Err(problem(422, "there is no such stage to pause at", what));
            }
            plan.pause_at.insert(stage);
        }
        plan.check().map_err(|error| conflict(error.to_string()))?;
        let service = service.name.clone();
        let begun = self.begin_rollout(&service, &plan, request.supersede);
        let id = begun.map_err(|refused| refusal(&refused))?;
        tracing::info!(service, rollout = id.0, release = release.version, by = %by, "rollout begins");
        self.view_of(id)
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
    pub(in crate::supervisor) fn rollout_command(
        &mut self,
        id: u64,
        by: &str,
        command: Command,
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
        let reply = self.take(id, What::Command { by, command });
        // What did not move after all does not keep others waiting.
        let still_over = self.rollouts.known.get(&id).filter(|rollout| rollout.state.is_final());
        if let Some(service) = still_over.map(|rollout| rollout.service.clone()) {
            self.over(id, &service);
        }
        match reply {
            Some(Reply::Refused(refusal)) => Err(conflict(refusal.to_string())),
            Some(Reply::Taken | Reply::Already | Reply::Late) => self.view_of(id),
            None => Err(problem(503, "it cannot be written down", "see the control plane's log, then ask again")),
        }
    }

    /// The version before comes back, or (`slot`) the one in that slot.
    pub(in crate::supervisor) fn put_back(
        &mut self,
        service: &str,
        by: &str,
        slot: Option<&str>,
    ) -> Result<RolloutView, Problem> {
        let slot = slot.map(|name| {
            let found = Slot::ALL.into_iter().find(|slot| slot.as_str() == name);
            found.ok_or_else(|| problem(422, "there is no such slot", format!("`{name}` is not one of blue, green")))
        });
        let slot = slot.transpose()?;
        let Some(id) = self.rollouts.meant(service) else {
            return Err(conflict(format!("nothing was rolled out for {service} yet; `mana deploy {service}` does")));
        };
        let Some(rollout) = self.rollouts.known.get(&id) else { return Err(self.unknown(id)) };
        let command = match slot {
            None => Command::Rollback,
            Some(slot) if slot == rollout.green => Command::Switch { slot: delivery::Slot::Green },
            Some(_) => Command::Switch { slot: delivery::Slot::Blue },
        };
        self.rollout_command(id.0, by, command)
    }

    fn unknown(&self, id: RolloutId) -> Problem {
        match self.store.rollout(id) {
            Ok(Some(_)) => conflict(format!("rollout {id} is over, and another one came after it")),
            Ok(None) => {
                problem(404, "there is no such rollout", format!("`mana rollouts` lists them; {id} is none of them"))
            }
            Err(error) => internal(&error),
        }
    }

    fn row(&self, id: RolloutId) -> Result<RolloutRow, Problem> {
        let row = self.store.rollout(id).map_err(|error| internal(&error))?;
        row.ok_or_else(|| self.unknown(id))
    }

    fn view_of(&self, id: RolloutId) -> Result<RolloutView, Problem> {
        self.view(&self.row(id)?)
    }

    fn state(&self, row: &RolloutRow) -> Result<State, Problem> {
        if let Some(Rollout { state, .. }) = self.rollouts.known.get(&row.id) {
            return Ok(state.clone());
        }
        self.store.rollout_state(row.clone()).map_err(|error| internal(&error))
    }

    fn view(&self, row: &RolloutRow) -> Result<RolloutView, Problem> {
        let state = self.state(row)?;
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
        })
    }
}

fn refusal(refused: &Refused) -> Problem {
    match refused {
        Refused::Busy(busy) => conflict(busy.to_string()),
        Refused::Store(error) => internal(error),
    }
}

fn operator(name: &str) -> Result<Operator, Problem> {
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
