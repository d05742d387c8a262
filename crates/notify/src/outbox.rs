//! What is sent when: (state, event with its time and chance) → (state, what to write down, what to do). No I/O.
//!
//! Each channel sends one message at a time, oldest first. Where the channel fails, all of its messages wait; where it refuses one
//! message, only that one does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Message;

/// Wait after the first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// Longest wait: a channel that is back is noticed within it.
pub const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// Doublings after which the longest wait is reached for certain.
const MAX_DOUBLINGS: u32 = 16;
/// News of yesterday is no news.
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
/// A second between messages: what Slack allows.
pub const PACE: Duration = Duration::from_secs(1);
/// Messages that wait in a channel; a person reads no more. Further ones are counted in the last one.
pub const MAX_WAITING: usize = 100;
/// Ended ones that are remembered for each channel, so that their keys are not sent again.
pub const MAX_REMEMBERED: usize = 1_000;

/// One message to one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Name of the channel.
    pub channel: String,
    /// What is told.
    pub message: Message,
    /// Order within the outbox.
    pub number: u64,
    /// Messages that are told only as a count, with this one.
    pub more: u32,
    /// How often it failed.
    pub failures: u32,
    /// Why it failed last.
    pub why: Option<String>,
    /// The channel takes others, but not this one.
    pub refused: bool,
    /// Not before this time, in milliseconds since 1970.
    pub due_ms: u64,
    /// When it came in, likewise.
    pub queued_ms: u64,
    /// How it ended; `None`: it waits.
    pub end: Option<End>,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The channel took it.
    Sent,
    /// It is one of those counted in another.
    Counted,
    /// It was tried for [`GIVE_UP_AFTER`].
    GivenUp,
}

/// Which delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Name of the channel.
    pub channel: String,
    /// Key of the message.
    pub key: String,
}

/// Why a message was not taken. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub why: String,
    /// The channel is fine and does not want this message; others are sent meanwhile.
    pub refused: bool,
}

/// What happened, when, with chance from 0.0 to 1.0 for the wait that follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Chance in 0.0..1.0.
    pub chance: f64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Somebody is to be told.
    Queued {
        /// What.
        message: Message,
        /// Names of the channels.
        channels: Vec<String>,
    },
    /// A channel took a message.
    Sent(Id),
    /// It did not.
    Failed(Id, Failure),
    /// Time has passed.
    Tick,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// To be on disk before the effects are carried out.
    pub keep: Vec<Delivery>,
    /// To be forgotten on disk.
    pub forget: Vec<Id>,
    /// To be done then.
    pub effects: Vec<Effect>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send it, and say how it went.
    Send(Delivery),
    /// Say that it was given up.
    SayGivenUp(Delivery),
}

/// See the module's page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    channels: BTreeMap<String, Queue>,
    next_number: u64,
}

/// One channel's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Queue {
    /// By number.
    waiting: BTreeMap<u64, Delivery>,
    /// Key of each delivery that is known, with its number.
    known: BTreeMap<String, u64>,
    /// Numbers and keys of those that ended.
    ended: BTreeMap<u64, String>,
    /// The one on its way.
    sending: Option<u64>,
    /// Failures since the last one that was taken, of whichever messages.
    trouble: Trouble,
    last_ms: Option<u64>,
}

/// How often in a row, and why last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Trouble {
    times: u32,
    why: String,
}

impl Delivery {
    /// One that just came in.
    pub fn new(channel: String, message: Message, number: u64, at_ms: u64) -> Self {
        Self {
            channel,
            message,
            number,
            more: 0,
            failures: 0,
            why: None,
            refused: false,
            due_ms: at_ms,
            queued_ms: at_ms,
            end: None,
        }
    }

    /// Which one it is.
    pub fn id(&self) -> Id {
        Id { channel: self.channel.clone(), key: self.message.key.clone() }
    }
}

impl Outbox {
    /// What was written down before. What was on its way is sent again, with its key.
    pub fn recall(deliveries: impl IntoIterator<Item = Delivery>) -> Self {
        let mut outbox = Self::default();
        let mut tried: BTreeMap<String, (u64, Trouble)> = BTreeMap::new();
        for delivery in deliveries {
            if delivery.end == Some(End::Sent) || delivery.failures > 0 {
                let times = if delivery.end == Some(End::Sent) { 0 } else { delivery.failures };
                let last = tried.entry(delivery.channel.clone()).or_default();
                if delivery.number >= last.0 {
                    *last = (delivery.number, Trouble { times, why: delivery.why.clone().unwrap_or_default() });
                }
            }
            outbox.next_number = outbox.next_number.max(delivery.number + 1);
            let queue = outbox.channels.entry(delivery.channel.clone()).or_default();
            queue.known.insert(delivery.message.key.clone(), delivery.number);
            if delivery.end.is_some() {
                queue.ended.insert(delivery.number, delivery.message.key);
            } else {
                queue.waiting.insert(delivery.number, delivery);
            }
        }
        for (channel, (_, trouble)) in tried {
            outbox.channels.entry(channel).or_default().trouble = trouble;
        }
        outbox
    }

    /// Takes an event in.
    pub fn step(&mut self, event: &Event) -> Step {
        let mut step = Step::default();
        match &event.what {
            What::Queued { message, channels } => {
                for channel in channels {
                    self.queue(channel, message, event.at_ms, &mut step);
                }
            }
            What::Sent(id) => self.sent(id, &mut step),
            What::Failed(id, failure) => self.failed(id, failure, event, &mut step),
            What::Tick => {}
        }
        for queue in self.channels.values_mut() {
            queue.go_on(event.at_ms, &mut step);
        }
        step
    }

    /// When it wants to hear that time has passed, in milliseconds since 1970.
    pub fn timer_ms(&self, now_ms: u64) -> Option<u64> {
        self.channels.values().filter_map(|queue| queue.timer_ms(now_ms)).min()
    }

    /// Why a channel has not taken what it was sent last, if that went so at least so often in a row: whether it failed or refused the message.
    pub fn refusing(&self, channel: &str, tries: u32) -> Option<&str> {
        let trouble = &self.channels.get(channel)?.trouble;
        (trouble.times >= tries).then_some(trouble.why.as_str())
    }

    /// Why a channel takes nothing, if it has failed at least so often in a row.
    pub fn failing(&self, channel: &str, tries: u32) -> Option<&str> {
        self.channels.get(channel)?.failing(tries)
    }

    /// Messages that nobody has taken, by key, and why: each of their channels has failed at least so often in a row, or has refused this very
    /// message so often. They are tried on; who can tell people otherwise should.
    pub fn unheard(&self, tries: u32) -> BTreeMap<&str, &str> {
        let mut unheard = BTreeMap::new();
        for queue in self.channels.values() {
            let failing = queue.failing(tries);
            for delivery in queue.waiting.values() {
                let refused = delivery.refused && delivery.failures >= tries;
                let why = delivery.why.as_deref().filter(|_| refused).or(failing);
                unheard.extend(why.map(|why| (delivery.message.key.as_str(), why)));
            }
        }
        let is_stuck = |queue: &Queue, key: &str| {
            let Some(number) = queue.known.get(key) else { return true };
            let refused = |delivery: &Delivery| delivery.refused && delivery.failures >= tries;
            // One that has ended was taken, or counted in another one.
            queue.waiting.get(number).is_some_and(|delivery| refused(delivery) || queue.failing(tries).is_some())
        };
        unheard.retain(|key, _| self.channels.values().all(|queue| is_stuck(queue, key)));
        unheard
    }

    /// How many deliveries wait.
    pub fn waiting(&self) -> usize {
        self.channels.values().map(|queue| queue.waiting.len()).sum()
    }

    fn queue(&mut self, channel: &str, message: &Message, at_ms: u64, step: &mut Step) {
        let queue = self.channels.entry(channel.to_owned()).or_default();
        if queue.known.contains_key(&message.key) {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        let mut delivery = Delivery::new(channel.to_owned(), message.clone(), number, at_ms);
        queue.known.insert(message.key.clone(), number);
        if queue.waiting.len() >= MAX_WAITING
            && let Some(last) = queue.untried()
        {
            last.more = last.more.saturating_add(1);
            last.message.severity = last.message.severity.max(message.severity);
            step.keep.push(last.clone());
            delivery.end = Some(End::Counted);
            queue.end(&delivery, step);
        } else {
            queue.waiting.insert(number, delivery.clone());
        }
        step.keep.push(delivery);
    }

    fn sent(&mut self, id: &Id, step: &mut Step) {
        let Some((queue, number)) = self.on_its_way(id) else { return };
        queue.trouble = Trouble::default();
        if let Some(mut delivery) = queue.waiting.remove(&number) {
            delivery.end = Some(End::Sent);
            queue.end(&delivery, step);
            step.keep.push(delivery);
        }
    }

    fn failed(&mut self, id: &Id, failure: &Failure, event: &Event, step: &mut Step) {
        let Some((queue, number)) = self.on_its_way(id) else { return };
        if let Some(delivery) = queue.waiting.get_mut(&number) {
            delivery.due_ms = event.at_ms.saturating_add(millis(wait(delivery.failures, event.chance)));
            delivery.failures = delivery.failures.saturating_add(1);
            delivery.why = Some(failure.why.clone());
            delivery.refused = failure.refused;
            queue.trouble = Trouble { times: queue.trouble.times.saturating_add(1), why: failure.why.clone() };
            step.keep.push(delivery.clone());
        }
    }

    /// A word about anything but what is on its way is an old one.
    fn on_its_way(&mut self, id: &Id) -> Option<(&mut Queue, u64)> {
        let queue = self.channels.get_mut(&id.channel)?;
        let number = *queue.known.get(&id.key)?;
        queue.sending.take_if(|sending| *sending == number)?;
        Some((queue, number))
    }
}

impl Queue {
    /// Why nothing is taken, if that has failed at least so often in a row.
    fn failing(&self, tries: u32) -> Option<&str> {
        let failed = self.waiting.values().find(|delivery| !delivery.refused && delivery.failures >= tries)?;
        failed.why.as_deref()
    }

    /// The last one that cannot have been seen yet: only such a one may still change under its key.
    fn untried(&mut self) -> Option<&mut Delivery> {
        let sending = self.sending;
        let mut last_first = self.waiting.values_mut().rev();
        last_first.find(|delivery| delivery.failures == 0 && sending != Some(delivery.number))
    }

    fn end(&mut self, delivery: &Delivery, step: &mut Step) {
        self.ended.insert(delivery.number, delivery.message.key.clone());
        while self.ended.len() > MAX_REMEMBERED {
            let Some((_, key)) = self.ended.pop_first() else { return };
            self.known.remove(&key);
            step.forget.push(Id { channel: delivery.channel.clone(), key });
        }
    }

    fn go_on(&mut self, now_ms: u64, step: &mut Step) {
        let sending = self.sending;
        let old = |delivery: &Delivery| now_ms.saturating_sub(delivery.queued_ms) >= millis(GIVE_UP_AFTER);
        let given_up: Vec<u64> = self
            .waiting
            .values()
            .filter(|delivery| delivery.failures > 0 && old(delivery) && sending != Some(delivery.number))
            .map(|delivery| delivery.number)
            .collect();
        for number in given_up {
            let Some(mut delivery) = self.waiting.remove(&number) else { continue };
            delivery.end = Some(End::GivenUp);
            self.end(&delivery, step);
            step.keep.push(delivery.clone());
            step.effects.push(Effect::SayGivenUp(delivery));
        }
        if self.sending.is_none()
            && let Some(next) = self.next(now_ms)
            && self.may_send_at(next, now_ms) <= now_ms
        {
            step.effects.push(Effect::Send(next.clone()));
            self.sending = Some(next.number);
            self.last_ms = Some(now_ms);
        }
    }

    /// Whose turn it is: the oldest, but for those that were refused and are not due.
    fn next(&self, now_ms: u64) -> Option<&Delivery> {
        let free = self.waiting.values().find(|delivery| !delivery.refused || due(delivery, now_ms) <= now_ms);
        free.or_else(|| self.waiting.values().min_by_key(|delivery| due(delivery, now_ms)))
    }

    fn may_send_at(&self, delivery: &Delivery, now_ms: u64) -> u64 {
        // A clock that was set back makes nobody wait.
        let paced = self.last_ms.filter(|last| *last <= now_ms).map_or(0, |last| last + millis(PACE));
        due(delivery, now_ms).max(paced)
    }

    fn timer_ms(&self, now_ms: u64) -> Option<u64> {
        if self.sending.is_some() {
            return None;
        }
        let next = self.may_send_at(self.next(now_ms)?, now_ms);
        // One that was refused may be due before the one whose turn it is.
        let refused = self.waiting.values().filter(|delivery| delivery.refused);
        refused.map(|delivery| self.may_send_at(delivery, now_ms)).chain([next]).min()
    }
}

fn due(delivery: &Delivery, now_ms: u64) -> u64 {
    // Further away than any wait: the clock was set back.
    if delivery.due_ms > now_ms.saturating_add(millis(LONGEST_WAIT)) { now_ms } else { delivery.due_ms }
}

/// From half to the whole of a wait that doubles.
fn wait(failures: u32, chance: f64) -> Duration {
    let whole = FIRST_WAIT.saturating_mul(1 << failures.min(MAX_DOUBLINGS)).min(LONGEST_WAIT);
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
