//! What "the version before" is, and how it comes back.

use mana_delivery::rollout::{self as delivery, Command, Digest, Release, RolloutId, Stage, State};

use super::calls::operator;
use super::effects::recorded;
use super::{Rollout, Rollouts, plan};
use crate::api::{Problem, PutBack, RolloutView, SERVES_ALREADY};
use crate::releases;
use crate::slot::Slot;
use crate::supervisor::Supervisor;
use crate::supervisor::calls::{conflict, internal, problem};

/// A rollout that got through.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Passage {
    brought: Release,
    replaced: Option<Release>,
    backwards: bool,
}

/// The rollout that is under way, or the last one that was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    id: RolloutId,
    version: String,
    /// What it brings, once that is built.
    green: Option<Release>,
    stage: Stage,
    /// Whether anybody was ever to be sent to what it brings.
    moved: bool,
    /// Whether it brings back what has served before.
    backwards: bool,
}

/// What somebody means who wants the version before.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Back {
    /// That rollout goes back on itself, or has.
    Itself,
    /// That rollout brings it already.
    OnItsWay,
    /// It comes back by a rollout of its own, which ends what is under way.
    Bring(Release),
    /// It cannot be told, and why.
    Refused(String),
}

/// `passages`: newest first. A rollout that sent nobody anywhere has nothing to go back on: what serves is what is complained of.
fn back(service: &str, last: &Last, live: Option<&Release>, passages: &[Passage]) -> Back {
    let Some(live) = live else { return Back::Itself };
    let serves = |release: Option<&Release>| release.is_some_and(|release| release.digest == live.digest);
    if last.moved {
        // Asked twice, as after an answer that got lost, it must not bring back what was gone back on.
        if last.backwards && serves(last.green.as_ref()) {
            return Back::Refused(format!(
                "{service} serves {}, to which rollout {} went back: name the version that is to serve, \
                 `mana rollback {service} RELEASE`",
                live.version, last.id
            ));
        }
        return Back::Itself;
    }
    match before(live, passages) {
        Some(wanted) if !last.stage.is_final() && last.backwards && last.green.as_ref() == Some(&wanted) => {
            Back::OnItsWay
        }
        Some(wanted) => Back::Bring(wanted),
        None if !last.stage.is_final() => Back::Itself,
        None => Back::Refused(format!(
            "{service} serves {}, and what served before that is not known here; rollout {} of {} ended {} without a request: \
             name the version that is to serve, `mana rollback {service} RELEASE`",
            live.version, last.id, last.version, last.stage
        )),
    }
}

/// What a release replaced when it came in. What was gone back from is not what was before.
fn before(live: &Release, passages: &[Passage]) -> Option<Release> {
    let brought = passages.iter().filter(|passage| !passage.backwards && passage.brought.digest == live.digest);
    brought.filter_map(|passage| passage.replaced.clone()).find(|replaced| replaced.digest != live.digest)
}

impl Rollouts {
    /// The one that a person means who wants the version before: that which brings it, else that under way, or the last one.
    fn gone_back_on(&self, service: &str) -> Option<(RolloutId, &Rollout)> {
        let waiting = self.lanes.get(service).and_then(|lane| lane.waiting().last());
        let brings = waiting.filter(|id| self.known.get(id).is_some_and(|rollout| rollout.state.plan().backwards));
        let id = brings.or_else(|| self.meant(service))?;
        self.known.get(&id).map(|rollout| (id, rollout))
    }
}

impl Supervisor {
    /// The version before comes back, or that in a slot, or a release.
    pub(in crate::supervisor) fn put_back(&mut self, request: &PutBack) -> Result<RolloutView, Problem> {
        if let Some(view) = self.answered(request.key.as_deref(), |row| row.service == request.service)? {
            return Ok(view);
        }
        match (&request.release, &request.slot) {
            (Some(release), _) => self.bring_back(request, release),
            (None, Some(slot)) => self.switch_slot(request, slot),
            (None, None) => self.version_before(request),
        }
    }

    fn switch_slot(&mut self, request: &PutBack, slot: &str) -> Result<RolloutView, Problem> {
        let PutBack { service, by, key, .. } = request;
        let found = Slot::ALL.into_iter().find(|known| known.as_str() == slot);
        let slot = found
            .ok_or_else(|| problem(422, "there is no such slot", format!("`{slot}` is not one of blue, green")))?;
        let Some(id) = self.rollouts.meant(service) else { return Err(nothing_yet(service)) };
        let Some(rollout) = self.rollouts.known.get(&id) else { return Err(self.unknown(id)) };
        let part = if slot == rollout.green { delivery::Slot::Green } else { delivery::Slot::Blue };
        self.rollout_command(id.0, by, Command::Switch { slot: part }, key.as_deref())
    }

    fn version_before(&mut self, request: &PutBack) -> Result<RolloutView, Problem> {
        let PutBack { service, by, key, .. } = request;
        let Some((id, rollout)) = self.rollouts.gone_back_on(service) else { return Err(nothing_yet(service)) };
        let state = &rollout.state;
        let last = Last {
            id,
            version: state.plan().version.clone(),
            green: state.green().cloned(),
            stage: state.stage(),
            moved: state.traffic().moved,
            backwards: state.plan().backwards,
        };
        let live = self.live(service).map(|(_, release)| release);
        match back(service, &last, live.as_ref(), &self.passages(service)?) {
            Back::Itself => self.rollout_command(id.0, by, Command::Rollback, key.as_deref()),
            Back::OnItsWay => {
                self.remember_answer(key.as_deref(), id);
                self.view_of(id)
            }
            Back::Bring(release) => {
                let source = self.may_deploy(service)?;
                let kept = || recorded(&releases::store(&source.plan, service), &release).is_ok();
                if plan::released(&release).is_some() && !kept() {
                    let serves = live.map(|live| live.version).unwrap_or_default();
                    return Err(conflict(format!(
                        "{service} serves {serves}, and {}, which served before that, is not kept here any more: \
                         `mana releases {service}` lists what is",
                        release.version
                    )));
                }
                self.begin_back(&source.plan, request, &release)
            }
            Back::Refused(why) => Err(conflict(why)),
        }
    }

    fn passages(&self, service: &str) -> Result<Vec<Passage>, Problem> {
        let rows = self.store.rollouts(Some(service)).map_err(|error| internal(&error))?;
        let done = rows.iter().filter(|row| row.ended.as_deref() == Some(Stage::Done.name()));
        let passages = done.filter_map(|row| row.state.as_ref()).filter_map(|state| {
            Some(Passage {
                brought: state.green()?.clone(),
                replaced: state.blue().cloned(),
                backwards: state.plan().backwards,
            })
        });
        Ok(passages.collect())
    }

    /// A release that has served here before serves again: at once where it is the one before, else without what it has passed already.
    fn bring_back(&mut self, request: &PutBack, release: &str) -> Result<RolloutView, Problem> {
        let PutBack { service, by, key, .. } = request;
        let source = self.may_deploy(service)?;
        let found = releases::store(&source.plan, service).find(Some(release));
        let found = found.map_err(|error| problem(404, "there is no such release", error.to_string()))?;
        let release = Release { version: found.version, digest: Digest(found.digest.to_string()) };
        let last = self.rollouts.meant(service).and_then(|id| Some((id, &self.rollouts.known.get(&id)?.state)));
        let replacing = last.filter(|(_, state)| state.blue().is_some_and(|blue| blue.digest == release.digest));
        // What serves while another one is under way to replace it is what is to stay.
        let under_way = replacing.is_some_and(|(_, state)| !state.is_final());
        if !under_way && self.live(service).is_some_and(|(_, live)| live.digest == release.digest) {
            return Err(problem(409, SERVES_ALREADY, format!("{service} serves {} already", release.version)));
        }
        if let Some((id, _)) = replacing {
            return self.rollout_command(id.0, by, Command::Rollback, key.as_deref());
        }
        let rows = self.store.rollouts(Some(service)).map_err(|error| internal(&error))?;
        let has_served = rows.iter().any(|row| {
            row.ended.as_deref() == Some(Stage::Done.name())
                && row.state.as_ref().and_then(State::green).is_some_and(|green| green.digest == release.digest)
        });
        if !has_served {
            let detail =
                format!("{} has not served {service} here; `mana deploy {service} {0}` brings it in", release.version);
            return Err(conflict(detail));
        }
        self.begin_back(&source.plan, request, &release)
    }

    /// By a rollout of its own, in place of what is under way.
    fn begin_back(
        &mut self,
        ecosystem: &mana_manifest::plan::Plan,
        request: &PutBack,
        release: &Release,
    ) -> Result<RolloutView, Problem> {
        let PutBack { service, by, key, .. } = request;
        let by = operator(by)?;
        let planned = ecosystem.services.iter().find(|planned| planned.name == *service);
        let planned = planned.ok_or_else(|| problem(404, "there is no such service", service.clone()))?;
        let plan = plan::back(planned, release, &by);
        self.begin(service, &plan, true, key.as_deref())
    }
}

fn nothing_yet(service: &str) -> Problem {
    conflict(format!("nothing was rolled out for {service} yet; `mana deploy {service}` does"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str) -> Release {
        Release { version: version.to_owned(), digest: Digest(format!("digest of {version}")) }
    }

    fn passage(brought: &str, replaced: &str) -> Passage {
        let replaced = (!replaced.is_empty()).then(|| release(replaced));
        Passage { brought: release(brought), replaced, backwards: false }
    }

    fn last(version: &str, stage: Stage, moved: bool) -> Last {
        Last {
            id: RolloutId(7),
            version: version.to_owned(),
            green: Some(release(version)),
            stage,
            moved,
            backwards: false,
        }
    }

    #[test]
    fn where_the_last_rollout_moved_no_traffic_the_predecessor_of_what_serves_comes_back() {
        let passages = [passage("v6", "v5"), passage("v5", "v4"), passage("v4", "")];
        let live = release("v6");
        for stage in [Stage::Aborted, Stage::Superseded, Stage::Checking, Stage::Migrating, Stage::Held] {
            let meant = back("shop", &last("v7", stage, false), Some(&live), &passages);
            assert_eq!(meant, Back::Bring(release("v5")), "{stage}");
        }
        for stage in [Stage::Canary, Stage::Window, Stage::Done, Stage::RolledBack, Stage::Returning] {
            assert_eq!(back("shop", &last("v7", stage, true), Some(&live), &passages), Back::Itself, "{stage}");
        }
        assert_eq!(back("shop", &last("v1", Stage::Checking, false), None, &[]), Back::Itself, "nothing serves");
    }

    #[test]
    fn without_a_predecessor_what_is_under_way_ends_and_else_the_versions_are_named() {
        let live = release("v4");
        for passages in [&[passage("v4", "")][..], &[]] {
            assert_eq!(back("shop", &last("v7", Stage::Migrating, false), Some(&live), passages), Back::Itself);
            let Back::Refused(why) = back("shop", &last("v7", Stage::Aborted, false), Some(&live), passages) else {
                panic!("there is none");
            };
            assert!(why.contains("serves v4") && why.contains("rollout 7 of v7 ended aborted"), "{why}");
        }
    }

    #[test]
    fn asked_twice_it_is_the_same_way_back() {
        let passages = [passage("v6", "v5")];
        let backwards = |stage, moved| Last { backwards: true, ..last("v5", stage, moved) };
        let ask = |last: &Last, live: &str| back("shop", last, Some(&release(live)), &passages);
        for stage in [Stage::Queued, Stage::GreenStarting] {
            assert_eq!(ask(&backwards(stage, false), "v6"), Back::OnItsWay, "{stage}");
        }
        assert_eq!(ask(&backwards(Stage::Aborted, false), "v6"), Back::Bring(release("v5")));
        let Back::Refused(why) = ask(&backwards(Stage::Window, true), "v5") else { panic!("v6 is what was left") };
        assert!(why.contains("serves v5"), "{why}");
        assert_eq!(ask(&backwards(Stage::RolledBack, true), "v6"), Back::Itself);
    }

    #[test]
    fn what_was_gone_back_from_or_was_the_same_is_not_what_was_before() {
        let again = Passage { backwards: true, ..passage("v5", "v6") };
        let passages = [again, passage("v6", "v5"), passage("v5", "v5"), passage("v5", "v4")];
        assert_eq!(before(&release("v5"), &passages), Some(release("v4")));
        assert_eq!(before(&release("v6"), &passages), Some(release("v5")));
        assert_eq!(before(&release("v9"), &passages), None);
    }
}
