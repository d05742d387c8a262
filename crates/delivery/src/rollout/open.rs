//! Effects that have no outcome yet, and their repetition.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Effect, EffectKind, Elapsed, Intent, Key, Slot, State};

/// An effect whose outcome stays unknown is tried so often in all, then it counts as failed.
pub const TRIES: u8 = 5;
/// Wait before the second try; each further one doubles it.
pub const RETRY_BASE: Duration = Duration::from_secs(1);

/// An effect without an outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Of this try.
    pub key: Key,
    /// What has to be done.
    #[serde(flatten)]
    pub effect: Effect,
    /// Tries before this one.
    pub tries: u8,
    /// When this try is made; `None`: it is made.
    pub due: Option<Elapsed>,
}

impl Open {
    /// The effect with its key.
    pub fn intent(&self) -> Intent {
        Intent { key: self.key, effect: self.effect.clone() }
    }

    /// People are told, and nothing waits for it.
    pub(super) fn is_news(&self) -> bool {
        self.effect.kind() == EffectKind::Notify
    }
}

impl State {
    /// Asks for an effect.
    pub(super) fn ensure(&mut self, effect: Effect) {
        self.try_again(effect, 0, None);
    }

    /// Asks for it once more, at once or later. A new key, so that outcomes of the try before cannot be counted twice.
    pub(super) fn try_again(&mut self, mut effect: Effect, tries: u8, wait: Option<Duration>) {
        if let Effect::EnsureWeights { generation, .. } | Effect::EnsureUnrouted { generation } = &mut effect {
            *generation = self.next_generation();
        }
        match effect {
            Effect::EnsureStopped { slot: Slot::Blue, .. } => self.blue_ready = false,
            Effect::EnsureStopped { slot: Slot::Green, .. } => self.green_ready = false,
            _ => {}
        }
        let open = Open { key: self.next_key(), effect, tries, due: wait.map(|wait| self.clock.now().after(wait)) };
        if open.due.is_none() {
            self.out.push(open.intent());
        }
        self.open.push(open);
    }

    /// Takes it out if its outcome is waited for.
    pub(super) fn close(&mut self, key: Key) -> Option<Open> {
        let index = self.open.iter().position(|open| open.key == key && open.due.is_none())?;
        Some(self.open.remove(index))
    }

    /// Forgets what the phase that is left was waiting for. People are told all the same.
    pub(super) fn forget_work(&mut self) {
        self.open.retain(Open::is_news);
        self.out.retain(|intent| intent.effect.kind() == EffectKind::Notify);
    }

    pub(super) fn forget(&mut self, kind: EffectKind) {
        self.open.retain(|open| open.effect.kind() != kind);
        self.out.retain(|intent| intent.effect.kind() != kind);
    }

    pub(super) fn waits_for_effect(&self, kind: EffectKind) -> bool {
        self.open.iter().any(|open| open.effect.kind() == kind)
    }

    /// Whether the phase waits for an effect.
    pub(super) fn has_work(&self) -> bool {
        self.open.iter().any(|open| !open.is_news())
    }

    /// Makes the tries whose wait is over.
    pub(super) fn make_due_tries(&mut self) {
        let now = self.clock.now();
        for open in &mut self.open {
            if open.due.is_some_and(|due| due <= now) {
                open.due = None;
                self.out.push(open.intent());
            }
        }
    }

    /// Makes the tries of the phase that wait; false when there are none.
    pub(super) fn try_now(&mut self) -> bool {
        let now = self.clock.now();
        let waiting = self.open.iter_mut().filter(|open| open.due.is_some() && !open.is_news());
        let some = waiting.map(|open| open.due = Some(now)).count() > 0;
        if some {
            self.make_due_tries();
        }
        some
    }

    /// After a restart: everything that has no outcome, again, whether its time has come or not.
    pub(super) fn repeat_all(&mut self) {
        for open in &mut self.open {
            open.due = None;
        }
        self.out = self.open.iter().map(Open::intent).collect();
    }
}

/// Wait before the next try.
pub(super) fn wait_after(tries: u8) -> Duration {
    RETRY_BASE.saturating_mul(1 << tries.min(TRIES))
}
