//! What happened to services, for the timelines of incidents: from the journal's entries. Pure.

use mana_watch::incident::{Event, What};

use crate::api::JournalEntry;

/// What an entry says, where it belongs into a timeline.
pub(super) fn event(entry: &JournalEntry) -> Option<Event> {
    let service = entry.service.clone()?;
    let at = entry.at.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    let who = entry.instance.as_deref().unwrap_or(&service);
    let with = |words: &str| match entry.detail.as_str() {
        "" => format!("{who} {words}"),
        detail => format!("{who} {words} ({detail})"),
    };
    let text = match entry.kind.as_str() {
        "started" => with("was started"),
        "ready" => with("is ready"),
        "unready" => with("is not ready"),
        "exited" => with("has ended"),
        "restarting" => with("is restarted"),
        "rollout" => {
            return Some(Event { at, what: What::Deployed { service, text: format!("rollout {}", entry.detail) } });
        }
        "deploying" | "rollback" => {
            return Some(Event {
                at,
                what: What::Deployed { service, text: format!("{}: {}", entry.kind, entry.detail) },
            });
        }
        _ => return None,
    };
    Some(Event { at, what: What::Restarted { service, text } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_and_rollouts_are_happenings_and_other_entries_are_not() {
        for (kind, instance, detail, expected) in [
            ("exited", Some("a-1f"), "signal 9 (SIGKILL)", Some("restart: a-1f has ended (signal 9 (SIGKILL))")),
            ("ready", Some("a-1f"), "", Some("restart: a-1f is ready")),
            ("restarting", None, "asked for by a person", Some("restart: a is restarted (asked for by a person)")),
            ("rollout", None, "7: done", Some("deploy: rollout 7: done")),
            ("alert", None, "firing: P1", None),
            ("backoff", Some("a-1f"), "", None),
        ] {
            let entry = JournalEntry {
                at: "2026-01-02T03:04:05.678Z".into(),
                service: Some("a".into()),
                instance: instance.map(str::to_owned),
                kind: kind.into(),
                detail: detail.into(),
            };
            let found = event(&entry).map(|event| {
                assert_eq!(event.at, 1_767_323_045_678);
                match event.what {
                    What::Restarted { text, .. } => format!("restart: {text}"),
                    What::Deployed { text, .. } => format!("deploy: {text}"),
                    other => panic!("{other:?}"),
                }
            });
            assert_eq!(found.as_deref(), expected, "{kind}");
        }
    }
}
