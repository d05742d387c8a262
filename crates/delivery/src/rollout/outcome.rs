//! What an outcome means: it fits its effect or not, and it is good, bad or unknown.

use super::open::wait_after;
use super::{
    Digest, Effect, EffectKind, Key, Open, Outcome, Phase, Refusal, Release, Reply, Slot, Stage, State, TRIES,
};

impl State {
    pub(super) fn outcome(&mut self, key: Key, outcome: Outcome) -> Reply {
        let Some(open) = self.open.iter().find(|open| open.key == key && open.due.is_none()) else {
            return Reply::Late;
        };
        if let Some(wanted) = unfit(&open.effect, &outcome) {
            return Reply::Refused(Refusal::NoSuchAnswer { key, wanted: wanted.to_owned() });
        }
        let Some(open) = self.close(key) else { return Reply::Late };
        match outcome {
            Outcome::Failed { reason } => self.failed(open, reason),
            Outcome::Unknown { reason } => self.unknown(open, &reason),
            Outcome::Stale { current } => {
                self.traffic.generation = self.traffic.generation.max(current);
                if open.tries + 1 < TRIES && !matches!(open.effect, Effect::RenewLease { .. }) {
                    self.try_again(open.effect, open.tries + 1, None);
                } else {
                    self.failed(open, format!("the edge serves generation {current} already"));
                }
            }
            Outcome::Passed { digest } => match wanted_digest(&open.effect) {
                Some(wanted) if *wanted != digest => {
                    let reason = format!("it is {digest}, and {wanted} was asked for");
                    self.failed(open, reason);
                }
                _ => self.succeeded(&open, None),
            },
            Outcome::Built { digest } => self.succeeded(&open, Some(digest)),
            Outcome::Measured { reading, series } => self.measured(Some(reading), series),
            Outcome::Done => self.succeeded(&open, None),
        }
        Reply::Taken
    }

    fn unknown(&mut self, open: Open, reason: &str) {
        match open.effect.kind() {
            // The gate looks again anyway, and a look that could not be made is no data.
            EffectKind::Measure => self.measured(None, Vec::new()),
            _ if open.tries + 1 < TRIES => self.try_again(open.effect, open.tries + 1, Some(wait_after(open.tries))),
            _ => {
                let reason = format!("tried {TRIES} times: {reason}");
                self.failed(open, reason);
            }
        }
    }

    fn succeeded(&mut self, open: &Open, built: Option<Digest>) {
        if matches!(open.effect, Effect::EnsureWeights { .. } | Effect::EnsureUnrouted { .. }) {
            self.acknowledged();
        }
        let stage = self.stage();
        match (stage, &open.effect) {
            (_, Effect::Notify(_)) | (Stage::AwaitingApproval | Stage::Held, _) => {}
            (Stage::Canary, effect) => self.canary_succeeded(effect.kind()),
            (Stage::Window, effect) => self.window_succeeded(effect),
            (Stage::Decommissioning, Effect::EnsureStopped { .. }) => match self.blue.clone() {
                Some(release) => self.ensure(Effect::RetireRelease { release }),
                None => self.advance(stage),
            },
            (Stage::Reviving | Stage::Returning | Stage::Clearing, effect) => self.retreat_succeeded(effect.kind()),
            (_, effect) if stage.is_forward() => {
                self.record(effect, built);
                if !self.has_work() {
                    self.advance(stage);
                }
            }
            _ => {}
        }
    }

    fn record(&mut self, effect: &Effect, built: Option<Digest>) {
        let evidence = &mut self.evidence;
        match effect {
            Effect::Build { version } => {
                self.green = built.map(|digest| Release { version: version.clone(), digest });
            }
            Effect::Scan { digest } => evidence.scanned = Some(digest.clone()),
            Effect::DeployStaging { release } => evidence.staged = Some(release.digest.clone()),
            Effect::Smoke { digest } => evidence.smoked = Some(digest.clone()),
            Effect::EnsureRunning { slot: Slot::Green, .. } => self.green_ready = true,
            Effect::Verify { slot: Slot::Blue, .. } => self.blue_ready = true,
            Effect::Verify { slot: Slot::Green, digest } => {
                self.green_ready = true;
                evidence.verified = Some(digest.clone());
            }
            _ => {}
        }
    }

    /// The answer was no, or there was none after all tries.
    fn failed(&mut self, open: Open, reason: String) {
        let stage = self.stage();
        match (&self.phase, &open.effect) {
            // People who cannot be told are still waited for, and what is over stays over.
            (_, Effect::Notify(_) | Effect::AskApproval { .. }) => {}
            (Phase::Canary(canary), effect) => self.canary_failed(*canary, effect.kind(), &reason),
            (Phase::Held(_), _) => {
                self.blue_ready = false;
                self.fail(format!("blue did not get its traffic back: {reason}"), false);
            }
            (Phase::Window(window), effect) => self.window_failed(*window, effect, &reason),
            // It takes up space and nothing else.
            (Phase::Decommissioning, Effect::RetireRelease { .. }) => self.advance(stage),
            (Phase::Decommissioning, _) => self.stick(open.effect, reason),
            (Phase::Reviving | Phase::Returning | Phase::Clearing, _) => self.retreat_failed(open.effect, reason),
            (_, effect) => self.fail(format!("{}: {reason}", subject(effect)), false),
        }
    }
}

/// What the answer should have been, when it is one that the effect does not have.
fn unfit(effect: &Effect, outcome: &Outcome) -> Option<&'static str> {
    let wanted = match effect {
        Effect::Build { .. } => "built",
        Effect::Measure { .. } => "measured",
        _ if wanted_digest(effect).is_some() => "passed",
        _ => "done",
    };
    let traffic =
        matches!(effect, Effect::EnsureWeights { .. } | Effect::EnsureUnrouted { .. } | Effect::RenewLease { .. });
    let fits = match outcome {
        Outcome::Failed { .. } | Outcome::Unknown { .. } => true,
        Outcome::Stale { .. } => traffic,
        Outcome::Built { .. } => wanted == "built",
        Outcome::Measured { .. } => wanted == "measured",
        Outcome::Passed { .. } => wanted == "passed",
        Outcome::Done => wanted == "done",
    };
    (!fits).then_some(wanted)
}

fn wanted_digest(effect: &Effect) -> Option<&Digest> {
    match effect {
        Effect::Scan { digest } | Effect::Smoke { digest } | Effect::Verify { digest, .. } => Some(digest),
        Effect::DeployStaging { release } | Effect::EnsureRunning { release, .. } => Some(&release.digest),
        _ => None,
    }
}

/// What failed, as the beginning of a sentence.
fn subject(effect: &Effect) -> String {
    match effect {
        Effect::RunCheck { name } => format!("check `{name}` failed"),
        Effect::Build { .. } => "the build failed".to_owned(),
        Effect::Scan { .. } => "the scan stops it".to_owned(),
        Effect::DeployStaging { .. } => "it did not get through staging".to_owned(),
        Effect::Smoke { .. } => "the smoke tests failed on staging".to_owned(),
        Effect::EnsureRunning { slot, .. } => format!("{slot} did not get ready"),
        Effect::EnsureMigrated { .. } => "the migration failed".to_owned(),
        Effect::Verify { slot: Slot::Blue, .. } => {
            "the running version does not work any more on the new schema".to_owned()
        }
        Effect::Verify { slot: Slot::Green, .. } => "green does not work on the new schema".to_owned(),
        Effect::EnsureWeights { green, .. } => format!("green did not get {} % of the traffic", green.get()),
        other => format!("{:?} failed", other.kind()),
    }
}
