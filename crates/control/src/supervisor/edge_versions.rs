//! The edge's own delivery: a new version takes over beside the one that serves, and the one before comes back: when a person says so,
//! or by itself when the new one cannot be kept running.

use std::time::Duration;

use mana_notify::{Message, Severity};
use mana_runtime::lifecycle::Phase;

use super::calls::{conflict, internal};
use super::notifying::now_ms;
use super::{Stream, Supervisor};
use crate::api::{EdgeChange, Problem};
use crate::desired::{EDGE, Program};
use crate::edge_program::{self, EdgeProgram, KEPT};
use crate::progress::Scope;
use crate::slot::Slot;
use crate::store::{Slots, StoreError};

/// How long a new version may not crash even once.
const TRIAL: Duration = Duration::from_mins(10);

impl Supervisor {
    /// What the edge should run: what is installed, unless that was gone back on.
    pub(super) fn edge_program(&mut self, rows: &Slots) -> Result<EdgeProgram, StoreError> {
        let installed = EdgeProgram::installed(&self.edge_argv);
        if let Some(why) = self.store.edge_refused(&installed.spec)?
            && let Some(row) = rows.get(&(EDGE.to_owned(), Slot::Blue))
            && let Some(kept) = EdgeProgram::kept(&self.data, &self.edge_argv, &row.version.spec)
        {
            tracing::warn!(
                why,
                "the edge stays with the version before; `mana deploy edge` takes the installed one again"
            );
            return Ok(kept);
        }
        self.take_edge(installed)
    }

    /// Keeps a version and writes down that it is taken, if it is another one.
    fn take_edge(&mut self, program: EdgeProgram) -> Result<EdgeProgram, StoreError> {
        let known = self.store.edges()?;
        if known.first() == Some(&program.spec) {
            return Ok(program.keep(&self.data));
        }
        let program = program.keep(&self.data);
        self.store.take_edge(&program.spec)?;
        self.edge_taken = Some(self.clock.now());
        let mut keep = self.store.edges()?;
        keep.truncate(KEPT);
        if let Err(error) = edge_program::collect(&self.data, &keep) {
            tracing::warn!(%error, "old versions of the edge cannot be removed");
        }
        Ok(program)
    }

    /// What was remembered to serve, where it was kept.
    pub(super) fn remembered_edge(&self, rows: &Slots) -> EdgeProgram {
        let row = rows.get(&(EDGE.to_owned(), Slot::Blue));
        let kept = row.and_then(|row| EdgeProgram::kept(&self.data, &self.edge_argv, &row.version.spec));
        kept.unwrap_or_else(|| EdgeProgram::installed(&self.edge_argv))
    }

    /// A person wants another version of the edge.
    pub(super) fn change_edge(&mut self, change: EdgeChange) -> Result<Stream, Problem> {
        if self.down_asked || !self.running || self.desired.is_none() {
            return Err(conflict("nothing should run now; `mana up` starts everything"));
        }
        match change {
            EdgeChange::Back => self.edge_back("asked for by a person")?,
            EdgeChange::Installed => {
                let program =
                    self.take_edge(EdgeProgram::installed(&self.edge_argv)).map_err(|error| internal(&error))?;
                self.run_edge(program);
                self.note(Some(EDGE), None, "deploying", "the installed version, asked for by a person");
            }
        }
        self.changed = true;
        Ok(self.progress.watch(Scope::Service(EDGE.to_owned()), self.clock.now()))
    }

    fn edge_back(&mut self, why: &str) -> Result<(), Problem> {
        let present = self.desired.as_ref().and_then(|desired| desired.find(EDGE, Slot::Blue));
        let present = present.map(|wanted| wanted.version.spec.clone()).unwrap_or_default();
        let versions = self.store.edges().map_err(|error| internal(&error))?;
        let before = versions.iter().filter(|spec| **spec != present);
        let Some(before) = before.into_iter().find_map(|spec| EdgeProgram::kept(&self.data, &self.edge_argv, spec))
        else {
            return Err(conflict("no version of the edge before this one is kept here"));
        };
        self.store.refuse_edge(&present, why).map_err(|error| internal(&error))?;
        let text = format!("{} takes over from {}: {why}", short(&before.spec), short(&present));
        tracing::warn!(text, "the edge goes back to the version before");
        self.note(Some(EDGE), None, "rollback", &text);
        self.edge_taken = None;
        self.run_edge(before);
        self.tell_of_edge(&present, &text);
        Ok(())
    }

    fn tell_of_edge(&mut self, gone_back_on: &str, text: &str) {
        let Some(plan) = self.desired.as_ref().map(|desired| &desired.plan) else { return };
        let (ecosystem, environment) = (plan.ecosystem.clone(), plan.environment.as_str());
        let at_ms = now_ms();
        let message = Message {
            key: format!("{ecosystem}/{environment}/edge/{gone_back_on}/{at_ms}"),
            title: format!("the edge is what it was before ({environment})"),
            text: format!("{text}\nNext: `mana logs edge`; `mana deploy edge` takes the installed version again"),
            severity: Severity::Error,
            link: None,
            facts: vec![("service".to_owned(), EDGE.to_owned()), ("environment".to_owned(), environment.to_owned())],
            at_ms,
        };
        if !self.tell_people(EDGE, "rolled-back", message) {
            tracing::error!("nobody could be told that the edge went back");
        }
    }

    fn run_edge(&mut self, program: EdgeProgram) {
        if let Some(wanted) = self.desired.as_mut().and_then(|desired| desired.find_mut(EDGE, Slot::Blue)) {
            wanted.version.spec = program.spec;
            wanted.program = Program::Edge(program.argv);
        }
        self.remember_slots();
    }

    /// A new version that crashes, or does not get up, is gone back on by itself, as long as there is one to go back to.
    pub(super) fn watch_edge(&mut self) {
        let Some(wanted) =
            self.desired.as_ref().filter(|_| self.running).and_then(|desired| desired.find(EDGE, Slot::Blue))
        else {
            return;
        };
        let now = self.clock.now();
        let on_trial = self.edge_taken.is_some_and(|taken| now.since(taken) < TRIAL);
        let bad =
            self.places.values().filter(|place| place.is_of(wanted) && place.version == wanted.version).find(|place| {
                let crashed = place.life.crashes() > 0 && matches!(place.life.phase(), Phase::Backoff { .. });
                on_trial && (crashed || place.life.failing())
            });
        let Some(bad) = bad else { return };
        let why = bad.reason(now, &[]).unwrap_or_else(|| "it does not run".to_owned());
        if let Err(problem) = self.edge_back(&format!("the new version does not keep running: {why}")) {
            // Said once: nothing but another version ends the trial else.
            self.edge_taken = None;
            tracing::warn!(detail = problem.detail, "the edge cannot go back");
        }
    }
}

fn short(spec: &str) -> &str {
    spec.get(..12).unwrap_or(spec)
}
