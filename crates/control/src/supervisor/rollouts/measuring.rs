//! A look of the gate: what the edge counted since the window opened, and what its own queries give.

use std::time::Duration;

use mana_delivery::gate::{self, Reading};
use mana_delivery::rollout::{self as delivery, Intent, LOOK_EVERY, LOOK_EVERY_ASKED, Outcome, RolloutId, Since};
use mana_edge::admin::{self, Client, ClientError};
use mana_manifest::plan::fill_in;

use super::reading::{covers, lasted, reading, warming_up};
use super::{Found, Rollout};
use crate::clock;
use crate::slot::Slot;
use crate::supervisor::Supervisor;
use crate::watching::Watching;

/// The status with which the edge says that it does not know a generation.
const NOT_FOUND: u16 = 404;
/// So many looks find the same before one is told of all the same, while a person is asked: the next is asked for soon after.
const LOOKS_ASKED: u64 = LOOK_EVERY_ASKED.as_secs() / LOOK_EVERY.as_secs() - 3;

/// All that a look needs.
#[derive(Debug)]
struct Sight {
    client: Client,
    watching: Option<Watching>,
    service: String,
    since: admin::Since,
    /// How long the window has lasted by the rollout's own time.
    own: Duration,
    /// What it has to last.
    window: Duration,
    policy: gate::Policy,
    green: Slot,
    /// Where the old version gets traffic.
    blue: Option<Slot>,
}

impl Supervisor {
    pub(super) fn measure(
        &mut self,
        id: RolloutId,
        intent: &Intent,
        since: Since,
        window: Duration,
    ) -> Option<Outcome> {
        let rollout = self.rollouts.known.get(&id)?;
        let since = match (since, rollout.weights_since) {
            (Since::Last(ago), _) => admin::Since::SecondsAgo(u32::try_from(ago.as_secs()).unwrap_or(u32::MAX)),
            (Since::Generation(_), Some(generation)) => admin::Since::Generation(generation),
            (Since::Generation(_), None) => {
                return Some(Outcome::Unknown {
                    reason: "the edge has not said yet that it serves these weights".into(),
                });
            }
        };
        let canary = matches!(rollout.state.phase(), delivery::Phase::Canary(_));
        let sight = Sight {
            client: self.edge_client(),
            watching: self.watching.clone(),
            service: rollout.service.clone(),
            since,
            own: open_for(rollout),
            window,
            policy: rollout.state.plan().gate.clone(),
            green: rollout.green,
            blue: canary.then(|| rollout.slot(delivery::Slot::Blue)),
        };
        // A person is asked already: only what would be news is written down.
        let asked = matches!(rollout.state.phase(), delivery::Phase::Window(window) if window.asked);
        let known = rollout.state.looks().last().filter(|_| asked).map(|look| look.judgement.verdict);
        self.work(id, intent.key.n, sight.look(known));
        None
    }
}

/// How long the window that is judged now has been open, by the time since boot.
fn open_for(rollout: &Rollout) -> Duration {
    let opened = match rollout.state.phase() {
        delivery::Phase::Canary(canary) => canary.opened,
        delivery::Phase::Window(window) => window.guard_from,
        _ => None,
    };
    let now = rollout.state.clock().at(clock::rollout_time());
    opened.map_or(Duration::ZERO, |opened| now.since(opened))
}

impl Sight {
    /// Looks; where a verdict is `known`, until it is another one, or for long.
    async fn look(mut self, known: Option<gate::Verdict>) -> Found {
        let mut looks = 0;
        loop {
            let found = self.measured().await;
            looks += 1;
            let is_known = match &found {
                Found::Outcome(Outcome::Measured { reading, series }) => {
                    known == Some(gate::judge_all(&self.policy, reading, series).verdict)
                }
                _ => false,
            };
            if !is_known || looks >= LOOKS_ASKED {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            self.own += LOOK_EVERY;
            if let admin::Since::SecondsAgo(seconds) = &mut self.since {
                *seconds = u32::try_from(self.own.as_secs()).unwrap_or(u32::MAX);
            }
        }
    }

    async fn measured(&self) -> Found {
        match self.count().await {
            Ok(reading) => Found::Outcome(Outcome::Measured { reading, series: self.series().await }),
            Err(ClientError::Refused(refusal)) if refusal.status == NOT_FOUND => Found::Forgotten,
            Err(error) => Found::Outcome(Outcome::Unknown { reason: error.to_string() }),
        }
    }

    /// What the queries of the gate's own limits give.
    async fn series(&self) -> Vec<gate::Series> {
        let mut all = Vec::new();
        for limit in &self.policy.series {
            let query = fill_in(&limit.query, self.green.as_str(), self.own.as_secs());
            let given = match &self.watching {
                Some(watching) => watching.one(query).await,
                None => Err("nothing is measured".to_owned()),
            };
            let (value, why) = given.map_or_else(|why| (None, Some(why)), |value| (Some(plain(value)), None));
            all.push(gate::Series { name: limit.name.clone(), value, why });
        }
        all
    }

    async fn count(&self) -> Result<Reading, ClientError> {
        let ask = |since| self.client.window(since, Some(&self.service), Some(self.policy.slow_after));
        let whole = ask(self.since).await?;
        let elapsed = lasted(&whole, self.own);
        // To the second, as a time ago is asked for.
        let asked = match self.since {
            admin::Since::SecondsAgo(seconds) => u64::from(seconds),
            admin::Since::Generation(_) => self.own.as_secs(),
        };
        let complete = covers(&whole, Duration::from_secs(asked));
        let counts = elapsed.checked_sub(warming_up(self.window));
        let warm = match counts.map(|counts| counts.as_secs()) {
            None | Some(0) => None,
            Some(seconds) => {
                let since = admin::Since::SecondsAgo(u32::try_from(seconds).unwrap_or(u32::MAX));
                Some(ask(since).await?)
            }
        };
        Ok(Reading { elapsed, complete, ..reading(&whole, warm.as_ref(), self.window, self.green, self.blue) })
    }
}

/// Of seven digits: so many are read from the journal exactly as they were written.
fn plain(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_value_is_read_back_as_it_was_written() {
        for value in [0.0, 0.1 + 0.2, 1.0 / 3.0, 123_456_789.0, -7.25e-9] {
            let kept = plain(value);
            let back: f64 = serde_json::from_str(&serde_json::to_string(&kept).expect("JSON")).expect("JSON");
            assert_eq!(back.to_bits(), kept.to_bits(), "{value}");
            assert!((kept - value).abs() <= value.abs() * 1e-6);
        }
    }
}
