//! Carries out what is asked for, as the real driver, edge and runtime do: every effect an ensure, traffic fenced by its
//! generation, slots by the number of the effect.

use std::time::Duration;

use super::super::*;
use super::world::{Edge, GREEN, Instance, Quality, World, index};
use crate::gate::{Counts, Reading};

impl World {
    fn ready(&self, slot: Slot) -> bool {
        self.slots[index(slot)].as_ref().is_some_and(|instance| instance.ready)
    }

    /// What the real driver does. Idempotent, fenced.
    pub(crate) fn carry_out(&mut self, intent: &Intent) -> Outcome {
        self.carried_out.push(intent.clone());
        let digest = |digest: &Digest| Outcome::Passed { digest: digest.clone() };
        match &intent.effect {
            Effect::Notify(news) => {
                self.news.push(news.clone());
                Outcome::Done
            }
            Effect::Build { .. } => Outcome::Built { digest: Digest(GREEN.into()) },
            Effect::Scan { digest: asked } | Effect::Smoke { digest: asked } => digest(asked),
            Effect::DeployStaging { release } => digest(&release.digest),
            Effect::RunCheck { .. } | Effect::AskApproval { .. } | Effect::RetireRelease { .. } => Outcome::Done,
            Effect::SmokeTraffic { requests } => {
                self.smoked += requests;
                Outcome::Done
            }
            Effect::EnsureMigrated { .. } => {
                self.migrated = true;
                if self.migration_breaks_blue {
                    self.slots[0].iter_mut().for_each(|blue| blue.ready = false);
                }
                Outcome::Done
            }
            Effect::EnsureRunning { slot, release } => self.run(*slot, release, intent.key.n),
            Effect::Verify { slot, digest: asked } => {
                if self.ready(*slot) {
                    digest(asked)
                } else {
                    Outcome::Failed { reason: format!("{slot} does not answer") }
                }
            }
            Effect::EnsureStopped { slot, .. } => self.stop(*slot, intent.key.n),
            Effect::EnsureWeights { .. } | Effect::EnsureUnrouted { .. } | Effect::RenewLease { .. }
                if self.edge_away =>
            {
                Outcome::Unknown { reason: "the edge does not answer".into() }
            }
            Effect::EnsureWeights { blue, green, generation, lease } => self.weigh(*blue, *green, *generation, *lease),
            Effect::EnsureUnrouted { generation } => self.apply(generation.0, None, None),
            Effect::RenewLease { generation, lease } => {
                if self.edge.generation == generation.0 && !self.edge.expired && self.edge.lease.is_some() {
                    self.edge.lease = Some(self.up_ms + u64::try_from(lease.as_millis()).unwrap());
                    Outcome::Done
                } else {
                    Outcome::Failed { reason: "the lease has run out".into() }
                }
            }
            Effect::Measure { since, window } => {
                Outcome::Measured { reading: self.measure(*since, *window), series: self.series.clone() }
            }
        }
    }

    fn run(&mut self, slot: Slot, release: &Release, n: u64) -> Outcome {
        if n < self.fences[index(slot)] {
            return Outcome::Failed { reason: "something newer was asked for".into() };
        }
        self.fences[index(slot)] = n;
        match &mut self.slots[index(slot)] {
            Some(instance) if instance.digest == release.digest => instance.ready = true,
            place => {
                self.instances += 1;
                *place = Some(Instance { id: self.instances, digest: release.digest.clone(), ready: true });
            }
        }
        Outcome::Passed { digest: release.digest.clone() }
    }

    fn stop(&mut self, slot: Slot, n: u64) -> Outcome {
        if n < self.fences[index(slot)] {
            return Outcome::Failed { reason: "something newer was asked for".into() };
        }
        self.fences[index(slot)] = n;
        let weight = self.edge.green.map_or(0, |green| if slot == Slot::Green { green } else { 100 - green });
        assert_eq!(weight, 0, "invariant 2: {slot} is stopped and has weight");
        self.slots[index(slot)] = None;
        Outcome::Done
    }

    fn weigh(&mut self, blue: Percent, green: Percent, generation: Generation, lease: Option<Duration>) -> Outcome {
        assert_eq!(blue.get() + green.get(), 100, "invariant 1");
        if generation.0 >= self.edge.generation {
            for (slot, share) in [(Slot::Blue, blue), (Slot::Green, green)] {
                if share > Percent::NONE && !self.ready(slot) {
                    return Outcome::Failed { reason: format!("{slot} is not ready") };
                }
            }
        }
        let lease = lease.map(|lease| self.up_ms + u64::try_from(lease.as_millis()).unwrap());
        let outcome = self.apply(generation.0, Some(green.get()), lease);
        if outcome == Outcome::Done && green > Percent::NONE && self.edge.green == Some(green.get()) {
            let running = self.slots[1].as_ref().unwrap();
            self.watch.serves(&self.state, green, running);
        }
        outcome
    }

    fn apply(&mut self, generation: u64, green: Option<u8>, lease: Option<u64>) -> Outcome {
        if generation < self.edge.generation || (generation == self.edge.generation && self.edge.expired) {
            return Outcome::Stale { current: Generation(self.edge.generation) };
        }
        if generation == self.edge.generation {
            self.edge.lease = self.edge.lease.and(lease);
            return Outcome::Done;
        }
        self.smoked = 0;
        self.edge = Edge { generation, green, lease, expired: false, applied_at: self.up_ms };
        Outcome::Done
    }

    fn measure(&self, since: Since, window: Duration) -> Reading {
        let counts = |errors| Counts { requests: 20_000, errors, timed: 20_000, slow: 0 };
        let smoked = Counts { requests: self.smoked, timed: self.smoked, ..Counts::default() };
        let (elapsed, mut complete) = match since {
            Since::Last(span) => (span, true),
            Since::Generation(generation) => {
                let served = self.edge.generation == generation.0 && !self.edge.expired;
                (Duration::from_millis(self.up_ms - self.edge.applied_at.min(self.up_ms)), served)
            }
        };
        let (green, blue) = match self.quality {
            Quality::Good | Quality::Gap => (counts(0), counts(0)),
            Quality::Bad => (counts(5_000), counts(0)),
            Quality::BothBad => (counts(5_000), counts(5_000)),
            Quality::Silent => (smoked, Counts::default()),
        };
        complete &= self.quality != Quality::Gap;
        let blue = (self.edge.green != Some(100)).then_some(blue);
        Reading { elapsed, window, green, blue, complete }
    }
}
