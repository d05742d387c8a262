//! What people are told of a rollout: what happened to what, why, the figures, and what to type next.

use mana_delivery::rollout::{Headline, News, RolloutId};
use mana_notify::{Message, Severity};

use super::Supervisor;
use crate::supervisor::notifying::now_ms;

impl Supervisor {
    /// Tells people; whether that is on disk. `n`: of the effect's key.
    pub(super) fn tell_news(&mut self, id: RolloutId, n: u64, news: &News) -> bool {
        let (event, severity) = kind(news.what);
        let figures = news.figures.iter().flat_map(|look| &look.judgement.findings);
        let facts = figures.map(|finding| {
            let text = |value: f64| {
                // Shares, and not counts or odds.
                let share = ["errors", "slow"].iter().any(|name| finding.figure.starts_with(name));
                if share && !finding.figure.contains("odds") {
                    format!("{:.2} %", value * 100.0)
                } else if finding.figure.starts_with("gate ") && value.fract() != 0.0 {
                    format!("{value:.4}")
                } else {
                    format!("{value:.0}")
                }
            };
            let against = if finding.met { "against" } else { "breaks its limit of" };
            (finding.figure.clone(), format!("{}, {against} {}", text(finding.value), text(finding.limit)))
        });
        let next = next(id, news.what).map(|command| format!("Next: `{command}`"));
        let text = [news.why.clone(), next].into_iter().flatten().collect::<Vec<_>>().join("\n");
        self.tell_about(id, n, event, severity, &headline(news.what), text, facts.collect())
    }

    /// Asks people for an approval; whether that is on disk.
    pub(super) fn ask_people(&mut self, id: RolloutId, n: u64) -> bool {
        let text = format!("Next: `mana rollout approve {id}`, or `mana rollout reject {id}`");
        self.tell_about(id, n, "approval", Severity::Warning, "waits for an approval", text, Vec::new())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn tell_about(
        &mut self,
        id: RolloutId,
        n: u64,
        event: &str,
        severity: Severity,
        headline: &str,
        text: String,
        figures: Vec<(String, String)>,
    ) -> bool {
        let (Some(rollout), Some(desired)) = (self.rollouts.known.get(&id), &self.desired) else { return false };
        let (service, version) = (rollout.service.clone(), rollout.state.plan().version.clone());
        let (ecosystem, environment) = (&desired.plan.ecosystem, desired.plan.environment.as_str());
        let about = [
            ("service", service.clone()),
            ("version", version.clone()),
            ("environment", environment.to_owned()),
            ("rollout", id.to_string()),
            ("event", event.to_owned()),
        ];
        let message = Message {
            key: format!("{ecosystem}/{environment}/rollout/{id}/{n}"),
            title: format!("{service} {version} {headline} ({environment})"),
            text,
            severity,
            link: None,
            facts: about.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(figures).collect(),
            at_ms: now_ms(),
        };
        self.tell_people(&service, event, message)
    }
}

/// The manifest's word for it, and how urgent it is.
fn kind(what: Headline) -> (&'static str, Severity) {
    match what {
        _ if what.pages() => ("page", Severity::Page),
        Headline::Started => ("started", Severity::Info),
        Headline::Held(_) | Headline::Asking => ("held", Severity::Warning),
        Headline::Done => ("done", Severity::Info),
        Headline::RolledBack => ("rolled-back", Severity::Error),
        Headline::Superseded(_) => ("failed", Severity::Info),
        _ => ("failed", Severity::Error),
    }
}

fn headline(what: Headline) -> String {
    match what {
        Headline::Started => "is being rolled out".to_owned(),
        Headline::Held(stage) => format!("is held before {stage}: a person decides"),
        Headline::Asking => "serves, and its gate fails: a person decides".to_owned(),
        Headline::Reviving => "has lost the old version, which is being started again".to_owned(),
        Headline::NotWarm => "has no way back: the old version cannot be started".to_owned(),
        Headline::Stuck(stage) => format!("is stuck at {stage}: a person has to look"),
        Headline::Done => "is live".to_owned(),
        Headline::Aborted => "was aborted; it had no traffic".to_owned(),
        Headline::RolledBack => "was rolled back; the old version serves".to_owned(),
        Headline::Superseded(by) => format!("made way for rollout {by}"),
        Headline::RollbackImpossible => "could not be rolled back and still serves".to_owned(),
    }
}

/// What to type next.
fn next(id: RolloutId, what: Headline) -> Option<String> {
    Some(match what {
        Headline::Held(_) | Headline::Asking => format!("mana rollout promote {id}`, or `mana rollout abort {id}"),
        Headline::Stuck(_) => format!("mana rollout retry {id}`, or `mana rollout abort {id}"),
        Headline::Started => format!("mana rollout watch {id}"),
        Headline::Done | Headline::Superseded(_) => return None,
        _ => format!("mana rollout show {id}"),
    })
}
