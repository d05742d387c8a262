//! Incidents as they are lived: what happened to services comes into their timelines, who was affected is counted, and people say what
//! they know.

use std::time::{Duration, Instant};

use mana_watch::incident::{Effect, Event, Status, What};
use mana_watch::store::Reader;
use tokio::sync::oneshot;

use super::alerts::Watch;
use super::counting::{self, Window};
use super::rounds::now_ms;
use super::subjects::Service;
use crate::api::{IncidentCommand, IncidentRequest};
use crate::paths;
use crate::store::{Store, StoreError};
use crate::supervisor::{Call, Message};

/// Entries of the journal that are read at once; further ones are read in the next round.
const MOST_ENTRIES: u32 = 500;
/// How often failed requests are counted, and for how long at most.
const COUNT_EVERY: Duration = Duration::from_secs(15);
const COUNT_PATIENCE: Duration = Duration::from_secs(2);
/// What is counted is scraped a little later than it happens.
const COUNTED_AFTER_MS: i64 = 45_000;
/// Longest time that the owner of the state may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl Watch {
    /// An event reaches the incidents. Whether anything of them is another now.
    pub(super) fn take_in(&mut self, event: &Event) -> Vec<Effect> {
        let effects = self.kept.incidents.step(event);
        for effect in &effects {
            match effect {
                Effect::Refused(why) => self.refused = Some(why.clone()),
                Effect::Opened(number) | Effect::Reopened(number) => {
                    tracing::warn!(incident = number, "an incident is open");
                    self.incidents_new = true;
                }
                Effect::Resolved(number) => {
                    tracing::info!(incident = number, "an incident is over");
                    self.incidents_new = true;
                }
                Effect::Changed(_) | Effect::Forgotten(_) => self.incidents_new = true,
            }
        }
        effects
    }

    /// A person's wish; the number of the incident that it was about.
    pub(super) async fn asked(&mut self, IncidentRequest { by, command }: IncidentRequest) -> Result<u64, String> {
        let number = command.number();
        let what = match command {
            IncidentCommand::Open { title, severity, services } => {
                What::Declared { by, title, severity, services: services.into_iter().collect() }
            }
            IncidentCommand::Post { number, text, status } => What::Posted { incident: number, by, text, status },
            IncidentCommand::Note { number, text } => What::Said { incident: number, by, text },
            IncidentCommand::Impact { number, text } => What::Impact { incident: number, by, text },
            IncidentCommand::Cause { number, text } => What::Cause { incident: number, by, text },
            IncidentCommand::Action { number, text } => What::Action { incident: number, by, text },
            IncidentCommand::FollowUp { number, point } => What::FollowedUp { incident: number, point, by },
        };
        let before = self.kept.incidents.clone();
        let effects = self.take_in(&Event { at: now_ms(), what });
        if let Err(why) = self.save().await {
            // What a restart would forget is not done: whoever says it again says it once.
            self.kept.incidents = before;
            return Err(format!("it cannot be written down: {why}"));
        }
        let opened = effects.iter().find_map(|effect| match effect {
            Effect::Opened(number) => Some(*number),
            _ => None,
        });
        Ok(opened.or(number).unwrap_or_default())
    }

    /// Reads what happened to services since the last time. Before the first time nothing is of interest.
    pub(super) async fn read_journal(&mut self) {
        let Some(known) = self.kept.journal else {
            self.kept.journal = self.remembered(|store| store.journal_end()).await;
            return;
        };
        let entries = self.remembered(move |store| store.journal_after(known, MOST_ENTRIES)).await;
        let Some((last, _)) = entries.as_ref().and_then(|entries| entries.last()) else { return };
        self.kept.journal = Some(*last);
        for (_, entry) in entries.iter().flatten() {
            if let Some(event) = self.happenings.event(entry) {
                self.take_in(&event);
            }
        }
        // It is read once more from where it was known to be; what was taken in stays until then.
        let _ = self.save().await;
    }

    async fn remembered<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let call = Call::Memory(Box::new(move |store| drop(reply.send(work(store)))));
        self.mailbox.send(Message::Call(Box::new(call))).await.ok()?;
        let answered = tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()?.ok()?;
        answered.inspect_err(|error| tracing::warn!(%error, "what happened to services is not known to incidents")).ok()
    }

    /// Counts whom it affects, of what is not over and of what has just been.
    pub(super) async fn count_failed(&mut self, reader: Reader, services: Vec<Service>, now: i64) {
        if self.counted.is_some_and(|counted| counted.elapsed() < COUNT_EVERY) {
            return;
        }
        let windows: Vec<(u64, Window, (String, i64))> = self
            .kept
            .incidents
            .iter()
            .filter(|incident| {
                incident.status() != Status::Resolved
                    || incident.resolved_at.is_some_and(|at| now - at < COUNTED_AFTER_MS)
            })
            .map(|incident| {
                let window = Window::of(incident, &services, now);
                (incident.number, window, counting::question(incident, &services, now))
            })
            .collect();
        if windows.is_empty() {
            return;
        }
        self.counted = Some(Instant::now());
        let log = paths::access_log(&self.data);
        let counted = tokio::task::spawn_blocking(move || {
            let until = Instant::now() + COUNT_PATIENCE;
            let count = |(number, window, question): (u64, Window, (String, i64))| {
                let clients = counting::clients(&log, &window, until).unwrap_or_else(|error| {
                    tracing::warn!(%error, "whom an incident affects is not in the edge's log");
                    0
                });
                if clients > 0 {
                    return Some((number, clients, counting::CLIENTS));
                }
                Some((number, counting::count(&reader, &question, until)?, counting::REQUESTS))
            };
            windows.into_iter().filter_map(count).collect::<Vec<_>>()
        });
        for (number, users, of) in counted.await.unwrap_or_default() {
            let known = self.kept.incidents.get(number).and_then(|incident| incident.affected.as_ref());
            // The log of requests goes back less far than an incident may: what was known of clients stays.
            let is_news =
                known.is_none_or(|known| if known.of == of { known.users < users } else { of == counting::CLIENTS });
            if is_news {
                self.take_in(&Event { at: now, what: What::Counted { incident: number, users, of: of.to_owned() } });
            }
        }
    }
}
