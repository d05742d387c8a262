//! Of which alerts nobody is told, and why: silences, maintenance, and what follows from a cause.

use std::collections::BTreeMap;

use super::event::{Became, Step};
use super::instance::{Alert, AlertId, Kind, Muted};
use super::rule::{Role, Severity};
use super::state::State;
use crate::Labels;

/// Causes that fire, by their subjects: of two about the same one, the more urgent.
type Causes = BTreeMap<String, (Severity, AlertId)>;

impl State {
    /// Looks at all that fires, after whatever happened.
    pub(crate) fn mute(&mut self, at: i64, step: &mut Step) {
        let (causes, now) = (self.causes(at), self.clock.now);
        let mut changed = Vec::new();
        for (id, alert) in self.alerts.iter().filter(|(_, alert)| alert.fired.is_some()) {
            let wanted = self.quieted(id, alert, at).or_else(|| self.inhibited(id, alert, &causes));
            let cause_gone = match (&alert.muted, &wanted) {
                (Some(Muted::Inhibited { .. }), None) => Some(alert.cause_gone.unwrap_or(now)),
                _ => None,
            };
            let lingers = cause_gone.is_some_and(|since| now.saturating_sub(since) < self.policy.outlive.millis());
            // Nobody is told first that something was wrong when it is well already.
            let held = wanted.is_none() && alert.muted.is_some() && (lingers || alert.clear.is_some());
            let muted = if held { alert.muted.clone() } else { wanted };
            if (&muted, cause_gone) != (&alert.muted, alert.cause_gone) {
                changed.push((id.clone(), muted, cause_gone));
            }
        }
        for (id, muted, cause_gone) in changed {
            let Some(alert) = self.alerts.get_mut(&id) else { continue };
            let is_news = alert.muted != muted;
            (alert.cause_gone, alert.muted) = (if muted.is_some() { cause_gone } else { None }, muted);
            if is_news && !step.firing_is(&id, alert.muted.as_ref()) {
                let alert = &self.alerts[&id];
                step.effects.push(self.changed(&id, alert, Became::Muted, at));
            }
        }
    }

    fn quieted(&self, id: &AlertId, alert: &Alert, at: i64) -> Option<Muted> {
        if self.quiets.is_empty() {
            return None;
        }
        let own = [("alertname", id.rule.as_str()), ("severity", alert.severity.as_str())];
        let labels = Labels::new(id.labels.iter().chain(own));
        let quiet = self.quiets.values().find(|quiet| quiet.covers(&labels, &alert.subject, at))?;
        let number = quiet.number;
        Some(match quiet.covers {
            super::silence::Covers::Alerts(_) => Muted::Silenced { number },
            super::silence::Covers::Services(_) => Muted::Maintained { number },
        })
    }

    /// Nobody hears of one that is silenced, so it explains nothing. Maintenance is known, and explains what follows from it.
    fn causes(&self, at: i64) -> Causes {
        let mut causes = Causes::new();
        for (id, alert) in &self.alerts {
            if alert.fired.is_none() || alert.role != Role::Cause || id.kind != Kind::Breach || alert.subject.is_empty()
            {
                continue;
            }
            if matches!(self.quieted(id, alert, at), Some(Muted::Silenced { .. })) {
                continue;
            }
            let this = (alert.severity, id.clone());
            let known = causes.entry(alert.subject.clone()).or_insert_with(|| this.clone());
            if this < *known {
                *known = this;
            }
        }
        causes
    }

    /// The deepest cause that it follows from, of those that are at least as urgent: a lesser message does not stand for it. This never goes in a circle: a cause lies deeper in what is needed, or is about the same
    /// subject and comes first.
    fn inhibited(&self, id: &AlertId, alert: &Alert, causes: &Causes) -> Option<Muted> {
        if alert.role == Role::Fact || causes.is_empty() || alert.subject.is_empty() {
            return None;
        }
        let own = causes.get_key_value(&alert.subject).filter(|(_, (severity, cause))| {
            cause != id && (alert.role == Role::Symptom || (*severity, cause) < (alert.severity, id))
        });
        let deeper = self.needs.of(&alert.subject).filter(|need| self.needs.follows(&alert.subject, need));
        let deepest = deeper
            .filter_map(|need| causes.get_key_value(need))
            .chain(own)
            .filter(|(_, (severity, _))| *severity <= alert.severity)
            .min_by_key(|(subject, (_, cause))| (self.needs.depth(subject), cause.clone()));
        deepest.map(|(subject, (_, cause))| Muted::Inhibited { by: Box::new(cause.clone()), subject: subject.clone() })
    }
}
