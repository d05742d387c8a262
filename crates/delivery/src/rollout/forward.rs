//! The way forward: which stage comes next, and what each asks for when it is entered.

use super::{Effect, Headline, Held, Percent, Phase, Point, Release, Slot, Stage, State};

impl State {
    /// Where it goes on after that.
    pub(super) fn point_after(&self, point: Point) -> Point {
        if point.stage == Stage::Canary && point.step + 1 < self.plan.canary.len() {
            return Point { step: point.step + 1, ..point };
        }
        let later = Stage::ALL.iter().copied().filter(|stage| *stage > point.stage && *stage < Stage::Done);
        let has = |stage: &Stage| self.plan.has(*stage, self.blue.is_some());
        later.into_iter().find(has).unwrap_or(Stage::Done).into()
    }

    /// That is done: on to the next, unless somebody wants it to stop there.
    pub(super) fn advance(&mut self, from: impl Into<Point>) {
        let next = self.point_after(from.into());
        if next.step == 0 && self.pauses.contains(&next.stage) {
            self.hold(Held { at: next, next, why: format!("it was told to stop before {}", next.stage) }, false);
        } else {
            self.enter(next);
        }
    }

    /// Begins a stage.
    pub(super) fn enter(&mut self, point: Point) {
        self.forget_work();
        if point.stage == Stage::Done {
            return self.done();
        }
        self.deadline = Some(self.clock.now().after(self.plan.deadline(point.stage)));
        match point.stage {
            Stage::Checking => self.check(),
            Stage::Building => {
                self.phase = Phase::Building;
                self.ensure(Effect::Build { version: self.plan.version.clone() });
            }
            stage => match self.green.clone() {
                Some(release) => self.enter_with(point, release),
                None => self.fail(format!("there is no release to go on with at {stage}"), false),
            },
        }
    }

    fn check(&mut self) {
        self.phase = Phase::Checking;
        for name in self.plan.checks.clone() {
            self.ensure(Effect::RunCheck { name });
        }
    }

    fn enter_with(&mut self, point: Point, release: Release) {
        match point.stage {
            Stage::Scanning => {
                self.phase = Phase::Scanning;
                self.ensure(Effect::Scan { digest: release.digest });
            }
            Stage::Staging => {
                self.phase = Phase::Staging;
                self.ensure(Effect::DeployStaging { release });
            }
            Stage::Smoking => {
                self.phase = Phase::Smoking;
                self.ensure(Effect::Smoke { digest: release.digest });
            }
            Stage::AwaitingApproval => {
                self.phase = Phase::AwaitingApproval;
                self.ensure(Effect::AskApproval { release });
            }
            Stage::Migrating => {
                self.phase = Phase::Migrating;
                // Its program migrates, so that there is something to stop from here on.
                self.green_started = true;
                self.ensure(Effect::EnsureMigrated { release });
            }
            Stage::GreenStarting => {
                self.phase = Phase::GreenStarting;
                self.green_started = true;
                self.ensure(Effect::EnsureRunning { slot: Slot::Green, release });
            }
            Stage::Verifying => self.verify(release),
            Stage::Canary | Stage::CuttingOver => match self.missing_evidence() {
                Some(what) => self.fail(format!("there is no {what} for {}", release.digest), false),
                None if point.stage == Stage::Canary => self.open_canary(point.step, 0),
                None => {
                    self.phase = Phase::CuttingOver;
                    self.weigh(Percent::ALL, None);
                }
            },
            Stage::Window => self.open_window(),
            Stage::Decommissioning => {
                self.phase = Phase::Decommissioning;
                self.ensure(Effect::EnsureStopped { slot: Slot::Blue, drain: self.plan.drain });
            }
            // The others are not on the way forward.
            _ => {}
        }
    }

    fn verify(&mut self, release: Release) {
        self.phase = Phase::Verifying;
        self.ensure(Effect::Verify { slot: Slot::Green, digest: release.digest });
        if let Some(digest) = self.blue.as_ref().map(|blue| blue.digest.clone()) {
            self.ensure(Effect::Verify { slot: Slot::Blue, digest });
        }
    }

    fn done(&mut self) {
        self.phase = Phase::Done;
        self.deadline = None;
        self.tell(Headline::Done, None, false);
    }

    /// Stops before a stage until a person says how it goes on. Nobody judges meanwhile, so green gets no traffic.
    pub(super) fn hold(&mut self, held: Held, by_gate: bool) {
        self.forget_work();
        self.deadline = Some(self.clock.now().after(self.plan.deadline(Stage::Held)));
        let (stage, why) = (held.at.stage, held.why.clone());
        self.phase = Phase::Held(held);
        if self.traffic.asked.is_some_and(|green| green > Percent::NONE) {
            self.weigh(Percent::NONE, None);
        }
        self.tell(Headline::Held(stage), Some(why), by_gate);
    }
}
