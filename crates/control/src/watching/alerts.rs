//! Carries out what `mana_watch::alert` decides: rules evaluated, people told. What that means for incidents is in [`super::incidents`].
//!
//! The state is on disk (`alerts.json`, replaced as a whole) before anybody is told. Where the disk refuses, people are told all the
//! same: a full disk is what they should know of, and each message has its key.

mod book;
mod kept;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mana_watch::alert::{self, Book, Effect, Event, Rule, Step, Tell, What};
use mana_watch::incident;
use mana_watch::store::Reader;
use tokio::sync::{mpsc, oneshot, watch};

use self::book::test;
use self::turns::{Turn, turn};
use super::alerts_view::alerting;
use super::budgets;
use super::happenings::Happenings;
use super::incidents_view::incidents;
use super::pulse::Pulse;
use super::rounds::now_ms;
use super::subjects::Subjects;
use crate::api::{AlertCommand, AlertRequest, Alerting, BudgetView, IncidentRequest, IncidentView};
use crate::paths;
use crate::supervisor::{Call, Message};

pub(super) use self::book::{Ready, book, judged};
pub(super) use self::kept::Kept;
pub(super) use self::turns::DOUBT_LOOKBACK_MS;

/// How often the time is told.
const TICK: Duration = Duration::from_secs(1);
/// How long a test fires.
const TEST_MS: i64 = 60_000;
/// Wishes that wait.
const WISHES: usize = 32;
/// Before people are told once more of what the control plane could not take.
const RETRY: Duration = Duration::from_secs(5);

/// What somebody wishes.
enum Asked {
    Alert(AlertRequest),
    Incident(IncidentRequest),
}

/// Somebody's wish, and where the answer goes: the number of the incident that it was about, of one.
type Wish = (Asked, oneshot::Sender<Result<u64, String>>);

/// How to ask.
#[derive(Clone)]
pub(crate) struct Alerts {
    wishes: mpsc::Sender<Wish>,
    seen: watch::Receiver<Arc<Seen>>,
}

/// What is to be seen of it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) alerting: Alerting,
    pub(crate) incidents: Arc<[IncidentView]>,
    /// Another one as soon as anything of an incident, a silence or a maintenance is new.
    pub(crate) revision: u64,
}

impl Alerts {
    /// How everything is.
    pub(crate) fn seen(&self) -> Arc<Seen> {
        self.seen.borrow().clone()
    }

    /// Asks for something; why it was not done, else.
    pub(crate) async fn ask(&self, request: AlertRequest) -> Result<(), String> {
        self.wish(Asked::Alert(request)).await.map(drop)
    }

    /// Asks for something about an incident; its number, or why it was not done.
    pub(crate) async fn ask_incident(&self, request: IncidentRequest) -> Result<u64, String> {
        self.wish(Asked::Incident(request)).await
    }

    /// Tells when there is something new.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Seen>> {
        self.seen.clone()
    }

    async fn wish(&self, asked: Asked) -> Result<u64, String> {
        let gone = || "the alerts are not watched; see the control plane's log".to_owned();
        let (reply, answer) = oneshot::channel();
        self.wishes.send((asked, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

pub(super) struct Watch {
    pub(super) data: PathBuf,
    pub(super) kept: Kept,
    book: Book,
    /// Its rules, to be evaluated.
    ready: Arc<[Ready]>,
    /// How often samples had been taken when rules were last evaluated.
    judged_rounds: u64,
    /// How often all rules had their turn.
    evaluations: usize,
    pub(super) mailbox: mpsc::Sender<Message>,
    seen: watch::Sender<Arc<Seen>>,
    evaluated_at: Option<i64>,
    /// Why the last wish was not done.
    pub(super) refused: Option<String>,
    /// Something of an incident has changed since it was shown.
    pub(super) incidents_new: bool,
    /// Reads the journal for their timelines.
    pub(super) happenings: Happenings,
    /// When failed requests were counted last.
    pub(super) counted: Option<Instant>,
    pulse: Arc<Pulse>,
    /// Rules that can never fire, with their reasons, and when that was looked at.
    doubts: BTreeMap<String, String>,
    doubted: Option<Instant>,
    /// Messages that are known to have come to nobody.
    unheard: BTreeSet<String>,
    /// Through which channels people are told of the test that goes on.
    test_channels: Option<Vec<String>>,
    /// What is left of error budgets, as it was found out last.
    budgets: watch::Receiver<Arc<[BudgetView]>>,
}

/// Begins; it ends with the process.
pub(super) fn start(
    data: &Path,
    mailbox: mpsc::Sender<Message>,
    reader: Arc<OnceLock<Reader>>,
    subjects: watch::Receiver<Subjects>,
    pulse: Arc<Pulse>,
) -> Alerts {
    let (wishes, inbox) = mpsc::channel(WISHES);
    let (found, budgets) = watch::channel(Arc::default());
    tokio::spawn(budgets::run(Arc::clone(&reader), subjects.clone(), found));
    let (seen, shown) = watch::channel(Arc::default());
    let data = data.to_owned();
    tokio::spawn(async move {
        let kept = Kept::read(&paths::alerts(&data));
        Watch::new(data, kept, mailbox, seen, pulse, budgets).run(&reader, subjects, inbox).await;
    });
    Alerts { wishes, seen: shown }
}

impl Watch {
    fn new(
        data: PathBuf,
        kept: Kept,
        mailbox: mpsc::Sender<Message>,
        seen: watch::Sender<Arc<Seen>>,
        pulse: Arc<Pulse>,
        budgets: watch::Receiver<Arc<[BudgetView]>>,
    ) -> Self {
        Self {
            data,
            kept,
            book: Book::default(),
            ready: Arc::default(),
            judged_rounds: 0,
            evaluations: 0,
            mailbox,
            seen,
            evaluated_at: None,
            refused: None,
            incidents_new: true,
            happenings: Happenings::default(),
            counted: None,
            pulse,
            doubts: BTreeMap::new(),
            doubted: None,
            unheard: BTreeSet::new(),
            test_channels: None,
            budgets,
        }
    }

    async fn run(
        mut self,
        reader: &OnceLock<Reader>,
        mut subjects: watch::Receiver<Subjects>,
        mut inbox: mpsc::Receiver<Wish>,
    ) {
        let (mut told, mut testing) = (Instant::now(), false);
        self.tell_outstanding().await;
        let mut ticks = 0;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let turn = tokio::select! {
                _ = tick.tick() => {
                    ticks += 1;
                    turn(ticks)
                }
                Some((asked, reply)) = inbox.recv() => {
                    self.refused = None;
                    let done = match asked {
                        Asked::Alert(request) => self.wish(request).await.map(|()| 0),
                        Asked::Incident(request) => self.asked(request).await,
                    };
                    let done = done.and_then(|number| self.refused.take().map_or(Ok(number), Err));
                    // Whoever asked sees what became of it.
                    self.show();
                    // They may have gone away.
                    let _ = reply.send(done);
                    Turn::Nobody
                }
            };
            let now = now_ms();
            // Nothing is judged before it is known what there is.
            if subjects.borrow().services.is_empty() {
                continue;
            }
            let tests = self.kept.test_until.is_some_and(|until| now < until);
            if !tests {
                self.test_channels = None;
            }
            let unheard = subjects.borrow().unheard.clone();
            self.unheard(unheard).await;
            let book = (subjects.has_changed().unwrap_or(false) || tests != testing || self.book.rules.is_empty())
                .then(|| book(&subjects.borrow_and_update(), tests));
            testing = tests;
            if let Some(book) = book.filter(|book| *book != self.book) {
                self.book = book.clone();
                self.ready = book.rules.iter().map(Ready::of).collect();
                self.doubted = None;
                self.step(What::RulesChanged(Box::new(book))).await;
            }
            if turn != Turn::Nobody
                && let Some(reader) = reader.get().cloned()
            {
                self.have_turn(turn, reader, &subjects, now).await;
            }
            self.step(What::Tick).await;
            if told.elapsed() >= RETRY {
                told = Instant::now();
                self.tell_outstanding().await;
            }
            self.show();
        }
    }

    /// Messages came to nobody: whoever would be told next is told now. Each is said once.
    async fn unheard(&mut self, messages: Vec<(String, String)>) {
        let before = std::mem::replace(&mut self.unheard, messages.iter().map(|(key, _)| key.clone()).collect());
        for (key, why) in messages.into_iter().filter(|(key, _)| !before.contains(key)) {
            tracing::error!(key, why, "an alert came to nobody");
            self.step(What::Failed { key, why }).await;
        }
    }

    async fn tell_outstanding(&mut self) {
        let outstanding: Vec<Tell> = self.kept.state.outstanding().cloned().collect();
        for tell in outstanding {
            self.tell(&tell).await;
        }
    }

    async fn step(&mut self, what: What) {
        let step = self.take(what);
        if step.save {
            // People are told all the same: a full disk is what they should know of.
            let _ = self.save().await;
        }
        self.carry_out(step.effects).await;
    }

    /// What a person wishes is done once it is on disk, and else not at all: what a restart would forget is not what they were answered.
    async fn step_or_refuse(&mut self, what: What) -> Result<(), String> {
        let before = (self.kept.state.clone(), self.kept.incidents.clone());
        let step = self.take(what);
        if let Err(why) = self.save().await {
            // Whatever else was due is due still.
            (self.kept.state, self.kept.incidents) = before;
            let refused = self.refused.take();
            return Err(refused.unwrap_or_else(|| format!("it cannot be written down: {why}")));
        }
        self.carry_out(step.effects).await;
        Ok(())
    }

    /// Alerts and incidents as they are after an event.
    fn take(&mut self, what: What) -> Step {
        let step = self.kept.state.step(&Event { at: now_ms(), what });
        for effect in &step.effects {
            match effect {
                Effect::Changed(change) => {
                    let what = incident::What::Alert(Box::new(change.clone()));
                    self.take_in(&incident::Event { at: change.at, what });
                }
                Effect::Refused(why) => self.refused = Some(why.clone()),
                Effect::Tell(_) | Effect::Acknowledged { .. } => {}
            }
        }
        step
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(tell) => self.tell(&tell).await,
                Effect::Changed(change) => {
                    let text = format!("{} {}: {}", change.severity.as_str(), change.alert.rule, change.summary);
                    let (what, loud) = match change.to {
                        alert::Became::Firing => ("firing", true),
                        alert::Became::Resolved { .. } => ("resolved", true),
                        _ => ("changed", false),
                    };
                    if loud {
                        tracing::warn!(rule = change.alert.rule, subject = change.subject, text, what, "alert");
                        let subject = Some(change.subject).filter(|subject| !subject.is_empty());
                        self.note(subject, format!("{what}: {text}")).await;
                    }
                }
                Effect::Acknowledged { group, by, .. } => {
                    self.note(None, format!("{by} looks after group {group}")).await;
                }
                Effect::Refused(_) => {}
            }
        }
    }

    /// Gives a message into the keeping of the outbox.
    async fn tell(&mut self, tell: &Tell) {
        let (reply, answer) = oneshot::channel();
        let call = Call::TellOfAlert { tell: Box::new(tell.clone()), reply };
        if self.mailbox.send(Message::Call(Box::new(call))).await.is_err() {
            return;
        }
        let key = tell.key.clone();
        let what = match answer.await {
            Ok(Ok(channels)) => {
                self.pulse.tells.count(channels.len());
                if channels.is_empty() {
                    let (title, audience) = (&tell.title, tell.audience.join(", "));
                    tracing::error!(title, audience, about = ?tell.about, "no channel is for this alert: nobody is told");
                }
                What::Sent { key }
            }
            // It stays outstanding, and is given once more.
            Ok(Err(problem)) => return tracing::error!(why = problem.detail, "people could not be told yet"),
            Err(_) => return,
        };
        Box::pin(self.step(what)).await;
    }

    /// Through which channels people would be told of what such a rule finds, of no service.
    async fn channels_of(&self, rule: &Rule) -> Result<Vec<String>, String> {
        let gone = || "the control plane is ending".to_owned();
        let audience = self.book.policy.first_told(&rule.path, rule.severity).chain(&rule.tell).cloned().collect();
        let (reply, answer) = oneshot::channel();
        let call = Call::AlertChannels { audience, about: Vec::new(), reply };
        self.mailbox.send(Message::Call(Box::new(call))).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(|problem| format!("{}: {}", problem.title, problem.detail))
    }

    async fn note(&self, service: Option<String>, detail: String) {
        let call = Call::Note { service, kind: "alert", detail };
        // The owner is gone only when the process ends.
        let _ = self.mailbox.send(Message::Call(Box::new(call))).await;
    }

    async fn wish(&mut self, AlertRequest { by, command }: AlertRequest) -> Result<(), String> {
        let now = now_ms();
        let after = |ms: u64| now.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        let what = match command {
            AlertCommand::Acknowledge { group, comment, for_ms } => {
                What::Acknowledge { group, by, comment, until: for_ms.map(after) }
            }
            AlertCommand::Silence { conditions, for_ms, reason } => {
                let alerts = alert::Selector::new(conditions).map_err(|refusal| refusal.to_string())?;
                What::Silence { alerts, until: after(for_ms), by, reason }
            }
            AlertCommand::Maintenance { services, from_ms, for_ms, reason } => {
                let services = services.into_iter().collect();
                // One that was to begin a moment ago begins now.
                let from = from_ms.map_or(now, |from| from.max(now));
                let until = from.saturating_add(i64::try_from(for_ms).unwrap_or(i64::MAX));
                What::Maintenance { services, from, until, by, reason }
            }
            AlertCommand::Unsilence { number } => What::Unsilence { number, by },
            AlertCommand::Test => {
                // Nobody is to wait for what cannot come.
                self.test_channels = Some(self.channels_of(&test()).await?);
                self.kept.test_until = Some(now + TEST_MS);
                // One that a restart forgets is over sooner.
                let _ = self.save().await;
                return Ok(());
            }
        };
        self.step_or_refuse(what).await
    }

    fn show(&mut self) {
        let before = self.seen.borrow().clone();
        let budgets = self.budgets.borrow().to_vec();
        let alerting = Alerting {
            test_channels: self.test_channels.clone(),
            ..alerting(&self.kept.state, &self.doubts, budgets, self.evaluated_at)
        };
        let is_new = std::mem::take(&mut self.incidents_new);
        let incidents = if is_new { incidents(&self.kept.incidents).into() } else { Arc::clone(&before.incidents) };
        let revision = before.revision + u64::from(is_new || alerting.quiets != before.alerting.quiets);
        self.seen.send_replace(Arc::new(Seen { alerting, incidents, revision }));
    }
}

#[cfg(test)]
mod tests;
