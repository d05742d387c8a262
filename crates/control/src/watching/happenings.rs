//! What happened to services, for the timelines of incidents: from the journal's entries. Pure.
//!
//! That a rollout, or a person, starts instances and stops others is told by what they asked for. Of single instances it is told what nobody
//! asked for: that one ended or is not ready any more, and how the service comes back from that.

use std::collections::BTreeSet;

use mana_watch::incident::{Event, What};

use crate::api::JournalEntry;

/// Reads entries, in their order.
#[derive(Debug, Default)]
pub(super) struct Happenings {
    /// Services of which something ended or was not ready, until they are ready again.
    in_trouble: BTreeSet<String>,
}

impl Happenings {
    /// What an entry says, where it belongs into a timeline.
    pub(super) fn event(&mut self, entry: &JournalEntry) -> Option<Event> {
        let service = entry.service.clone()?;
        let at = entry.at.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        let who = entry.instance.as_deref().unwrap_or(&service);
        let with = |words: &str| match entry.detail.as_str() {
            "" => format!("{who} {words}"),
            detail => format!("{who} {words} ({detail})"),
        };
        let deployed = |text: String| Some(What::Deployed { service: service.clone(), text });
        let restarted = |text: String| Some(What::Restarted { service: service.clone(), text });
        let what = match entry.kind.as_str() {
            "started" if self.in_trouble.contains(&service) => restarted(with("was started")),
            "ready" if self.in_trouble.remove(&service) => restarted(with("is ready")),
            "unready" | "exited" => {
                self.in_trouble.insert(service.clone());
                restarted(with(if entry.kind == "exited" { "has ended" } else { "is not ready" }))
            }
            "restarting" => restarted(with("is restarted")),
            "rollout" => deployed(format!("rollout {}", entry.detail)),
            "deploying" | "rollback" => deployed(format!("{}: {}", entry.kind, entry.detail)),
            _ => None,
        };
        what.map(|what| Event { at, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(entries: &[(&str, Option<&str>, &str)]) -> Vec<String> {
        let mut happenings = Happenings::default();
        let entry = |(kind, instance, detail): &(&str, Option<&str>, &str)| JournalEntry {
            at: "2026-01-02T03:04:05.678Z".into(),
            service: Some("a".into()),
            instance: instance.map(str::to_owned),
            kind: (*kind).into(),
            detail: (*detail).into(),
        };
        let events = entries.iter().filter_map(|told| happenings.event(&entry(told)));
        let text = |event: Event| {
            assert_eq!(event.at, 1_767_323_045_678);
            match event.what {
                What::Restarted { text, .. } => format!("restart: {text}"),
                What::Deployed { text, .. } => format!("deploy: {text}"),
                other => panic!("{other:?}"),
            }
        };
        events.map(text).collect()
    }

    #[test]
    fn what_nobody_asked_for_is_told_until_the_service_is_back() {
        let entries = [
            ("alert", None, "firing: P1"),
            ("exited", Some("a-1f"), "signal 9 (SIGKILL)"),
            ("backoff", Some("a-1f"), ""),
            ("started", Some("a-2f"), "process 7"),
            ("ready", Some("a-2f"), ""),
            ("ready", Some("a-3f"), ""),
            ("unready", Some("a-2f"), ""),
            ("ready", Some("a-2f"), ""),
        ];
        let expected = [
            "restart: a-1f has ended (signal 9 (SIGKILL))",
            "restart: a-2f was started (process 7)",
            "restart: a-2f is ready",
            "restart: a-2f is not ready",
            "restart: a-2f is ready",
        ];
        assert_eq!(told(&entries), expected);
    }

    #[test]
    fn instances_that_a_rollout_or_a_person_starts_and_stops_are_not() {
        let entries = [
            ("rollout", None, "7: starting"),
            ("started", Some("a-2f"), "process 7"),
            ("ready", Some("a-2f"), ""),
            ("rollout", None, "7: done"),
            ("stopped", Some("a-1f"), "exit code 0"),
            ("restarting", None, "asked for by a person"),
            ("started", Some("a-3f"), "process 8"),
            ("ready", Some("a-3f"), ""),
            ("stopped", Some("a-2f"), "signal 15 (SIGTERM)"),
        ];
        let expected = [
            "deploy: rollout 7: starting",
            "deploy: rollout 7: done",
            "restart: a is restarted (asked for by a person)",
        ];
        assert_eq!(told(&entries), expected);
    }
}
