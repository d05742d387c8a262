//! Telling people. What is to be told is in the outbox, on disk, before it counts as told; sending it comes after.

use std::time::Duration;

use mana_manifest::plan::{Notification, Plan};
use mana_notify::Message as Told;
use mana_notify::Severity;
use mana_notify::outbox::{Delivery, Effect, Event, Failure, Id, Outbox, What};
use mana_runtime::lifecycle::Time;
use mana_watch::alert::{self, Tell, TellKind};

use super::calls::problem;
use super::recipients::recipients;
use super::{Message, Supervisor};
use crate::api::Problem;
use crate::clock;
use crate::notifications;
use crate::secrets::Secrets;
use crate::store::StoreError;

/// So often a channel has to fail in a row, some ten seconds, until what it was to tell counts as told to nobody.
const TRIES: u32 = 3;

/// How a message went.
#[derive(Debug)]
pub(crate) struct Notified {
    id: Id,
    result: Result<(), Failure>,
}

impl Supervisor {
    pub(super) fn recall_notifications(&mut self) -> Result<(), StoreError> {
        self.outbox = Outbox::recall(self.store.deliveries()?);
        Ok(())
    }

    /// Tells everybody who wants to know of this. Whether it is on disk; where it is not, it is asked again.
    pub(super) fn tell_people(&mut self, service: &str, event: &str, message: Told) -> bool {
        let plan = self.desired.as_ref().map(|desired| &desired.plan);
        let wanted = plan.into_iter().flat_map(|plan| &plan.notifications);
        let channels: Vec<String> =
            wanted.filter(|channel| channel.wants(service, event)).map(|channel| channel.name.clone()).collect();
        channels.is_empty() || self.step_outbox(What::Queued { message, channels })
    }

    /// Through which channels whoever is meant would be told of an alert about these; none: nobody would.
    pub(super) fn alert_channels(&self, audience: &[String], about: &[String]) -> Result<Vec<String>, Problem> {
        let plan = self.plan_to_tell()?;
        let is_service = |name: &&str| plan.services.iter().any(|service| service.name == *name);
        let services: Vec<&str> = about.iter().map(String::as_str).filter(is_service).collect();
        Ok(recipients(&plan.notifications, audience, &services))
    }

    fn plan_to_tell(&self) -> Result<&Plan, Problem> {
        let plan = self.desired.as_ref().map(|desired| &desired.plan);
        plan.ok_or_else(|| problem(409, "nobody can be told", "the manifest that was applied last is not known"))
    }

    /// Tells of an alert; gives the channels that it goes to.
    pub(super) fn tell_of_alert(&mut self, tell: &Tell) -> Result<Vec<String>, Problem> {
        let channels = self.alert_channels(&tell.audience, &tell.about)?;
        let plan = self.plan_to_tell()?;
        let severity = match (tell.kind, tell.severity) {
            (TellKind::Over | TellKind::Taken, _) | (_, alert::Severity::P4) => Severity::Info,
            (_, alert::Severity::P1) => Severity::Page,
            (_, alert::Severity::P2) => Severity::Error,
            (_, alert::Severity::P3) => Severity::Warning,
        };
        let message = Told {
            key: format!("{}{}", alert_key(plan), tell.key),
            title: tell.title.clone(),
            text: tell.text.clone(),
            severity,
            link: tell.link.clone(),
            facts: tell.facts.clone(),
            at_ms: u64::try_from(tell.at).unwrap_or(0),
        };
        if channels.is_empty() || self.step_outbox(What::Queued { message, channels: channels.clone() }) {
            Ok(channels)
        } else {
            Err(problem(503, "it cannot be written down", "see the control plane's log"))
        }
    }

    /// Messages about alerts that came to nobody, by the keys that the alerts know, and why; only where there is somebody else who could be told.
    pub(super) fn unheard_alerts(&self, plan: &Plan) -> Vec<(String, String)> {
        let is_alive = |channel: &Notification| self.outbox.failing(&channel.name, TRIES).is_none();
        if !plan.notifications.iter().any(is_alive) {
            return Vec::new();
        }
        let (prefix, unheard) = (alert_key(plan), self.outbox.unheard(TRIES));
        let of_alerts = unheard.into_iter().filter_map(|(key, why)| Some((key.strip_prefix(&prefix)?, why)));
        of_alerts.map(|(key, why)| (key.to_owned(), why.to_owned())).collect()
    }

    /// All channels, and the environment that they are of.
    pub(super) fn channels(&self) -> Result<(Vec<Notification>, String), Problem> {
        let plan = self.desired.as_ref().map(|desired| &desired.plan);
        let plan =
            plan.ok_or_else(|| problem(409, "there are no channels", "nothing was applied yet; `mana up` does"))?;
        Ok((plan.notifications.clone(), plan.environment.as_str().to_owned()))
    }

    /// A message was sent, or not.
    pub(super) fn notified(&mut self, notified: Notified) {
        let Notified { id, result } = notified;
        let what = match result {
            Ok(()) => What::Sent(id),
            Err(failure) => {
                tracing::warn!(channel = id.channel, key = id.key, why = failure.why, "a notification was not taken");
                What::Failed(id, failure)
            }
        };
        self.step_outbox(what);
    }

    pub(super) fn tick_notifications(&mut self) {
        self.step_outbox(What::Tick);
    }

    /// When something is to be sent.
    pub(super) fn notification_timer(&self) -> Option<Time> {
        let now_ms = now_ms();
        let at_ms = self.outbox.timer_ms(now_ms)?;
        Some(self.clock.now().after(Duration::from_millis(at_ms.saturating_sub(now_ms))))
    }

    fn step_outbox(&mut self, what: What) -> bool {
        let new = matches!(what, What::Queued { .. });
        let mut outbox = self.outbox.clone();
        let step = outbox.step(&Event { at_ms: now_ms(), chance: clock::chance(), what });
        if let Err(error) = self.store.keep_deliveries(&step.keep, &step.forget) {
            Self::complain::<()>(Err(error));
            // What is new is not told before it is on disk. What was sent was: at worst it is sent again, with its key.
            if new {
                return false;
            }
        }
        self.outbox = outbox;
        for effect in step.effects {
            match effect {
                Effect::Send(delivery) => self.send(delivery),
                Effect::SayGivenUp(delivery) => {
                    let why = delivery.why.unwrap_or_default();
                    let text = format!("{} was not told \"{}\": {why}", delivery.channel, delivery.message.title);
                    tracing::error!(channel = delivery.channel, key = delivery.message.key, why, "given up");
                    self.note(None, None, "notification", &text);
                }
            }
        }
        true
    }

    fn send(&self, delivery: Delivery) {
        let plan = self.desired.as_ref().map(|desired| &desired.plan);
        let found = plan.and_then(|plan| plan.notifications.iter().find(|channel| channel.name == delivery.channel));
        let channel = found.ok_or_else(|| "the manifest has no such channel any more".to_owned()).and_then(|channel| {
            let secrets = Secrets::load(&self.data).map_err(|error| error.to_string())?;
            notifications::channel(channel, &secrets)
        });
        let mailbox = self.mailbox();
        tokio::spawn(async move {
            let result = match channel {
                Ok(channel) => channel.send(&delivery, now_ms() / 1_000).await,
                Err(why) => Err(Failure { why, refused: false }),
            };
            // The owner is gone only when the process ends.
            let _ = mailbox.send(Message::Notified(Notified { id: delivery.id(), result })).await;
        });
    }
}

/// How the keys of messages about alerts begin.
fn alert_key(plan: &Plan) -> String {
    format!("{}/{}/alert/", plan.ecosystem, plan.environment.as_str())
}

pub(super) fn now_ms() -> u64 {
    u64::try_from(clock::timestamp().as_millisecond()).unwrap_or(0)
}
