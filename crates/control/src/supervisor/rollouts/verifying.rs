//! Whether all instances of a slot answer now. What they answered before a migration says nothing of what it did to them: they are
//! asked anew.

use std::net::{Ipv4Addr, SocketAddr};

use mana_delivery::rollout::{self as delivery, Digest, Intent, Outcome, RolloutId};
use mana_runtime::lifecycle::Answer;
use mana_runtime::probe::Prober;

use super::{Found, plan};
use crate::supervisor::Supervisor;

/// An instance, and how it is asked whether it is ready.
#[derive(Debug)]
struct Asked {
    id: String,
    port: u16,
    h2c: bool,
    ready: String,
}

impl Supervisor {
    pub(super) fn verify(
        &mut self,
        id: RolloutId,
        intent: &Intent,
        part: delivery::Slot,
        digest: &Digest,
    ) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let slot = rollout.slot(part);
        let wanted = self.desired.as_ref()?.find(&rollout.service, slot)?;
        let runs = wanted.release.clone().unwrap_or_else(|| plan::folder(&wanted.version)).digest;
        if runs != *digest {
            return Some(Outcome::Passed { digest: runs });
        }
        match self.health(rollout, part) {
            delivery::Health::Ready => {}
            delivery::Health::Lost(why) => {
                return Some(Outcome::Failed { reason: format!("{part} is not ready: {why}") });
            }
            // Not yet is no answer: the stage has its deadline.
            delivery::Health::Unknown => return None,
        }
        // It was looked at just now.
        if wanted.folder().is_some() {
            return Some(Outcome::Passed { digest: runs });
        }
        let own = self.places.values().filter(|place| place.is_of(wanted) && !place.retiring && place.life.ready());
        let instances = own.filter_map(|place| {
            let running = place.instance.as_ref()?;
            let (h2c, ready) = (place.facts.h2c, place.facts.ready.clone());
            Some(Asked { id: running.id.clone(), port: running.port?, h2c, ready })
        });
        let instances: Vec<Asked> = instances.collect();
        if instances.len() < usize::from(wanted.count) {
            return None;
        }
        self.work(id, intent.key.n, async move { Found::Outcome(answers(instances, part, runs).await) });
        None
    }
}

/// One that does not answer may be late once: that is not known yet, and asked again.
async fn answers(instances: Vec<Asked>, part: delivery::Slot, digest: Digest) -> Outcome {
    for instance in instances {
        let mut prober = Prober::new(SocketAddr::from((Ipv4Addr::LOCALHOST, instance.port)), instance.h2c);
        if let Answer::Down(why) | Answer::Unknown(why) = prober.ask(&instance.ready).await {
            return Outcome::Unknown { reason: format!("{part} is not ready: {}: {why}", instance.id) };
        }
    }
    Outcome::Passed { digest }
}
