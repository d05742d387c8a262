//! Who is told when, as data: urgencies, paths of escalation, and the times that hold for all rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rule::{DEFAULT_PATH, Severity};
use super::span::Span;

/// How urgent alerts of one severity are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Urgency {
    /// Until somebody has to have acknowledged it; then the next ones of the path are told.
    pub answer_within: Span,
    /// How many steps of the path are told at once.
    pub at_once: u32,
    /// How often it is told again, while nobody acknowledged it and it is not over.
    pub repeat_every: Span,
    /// What joins a group that was told is told no sooner than this after the last time.
    pub grow_every: Span,
}

/// See the module's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// By severity.
    pub urgencies: Urgencies,
    /// By name: who is told first, who next, and so on.
    pub paths: BTreeMap<String, Vec<Vec<String>>>,
    /// What begins within this time, and belongs together, is told together.
    pub gather: Span,
    /// From so many groups on that are to be told at the same moment, to the same people, they are told as one.
    pub storm: u32,
    /// How long an alert has to outlive what held it back: what needs a database needs a moment after it.
    pub outlive: Span,
    /// How long an expression may find no series until that is told.
    pub no_data_for: Span,
    /// How long an evaluation may fail until that is told.
    pub error_for: Span,
    /// How long a rule may not be evaluated at all until that counts as an error.
    pub unheard_for: Span,
}

/// An urgency for each severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", deny_unknown_fields, default)]
pub struct Urgencies {
    /// At once.
    pub p1: Urgency,
    /// Within 30 minutes.
    pub p2: Urgency,
    /// Within two hours.
    pub p3: Urgency,
    /// Within a day.
    pub p4: Urgency,
}

impl Policy {
    /// The urgency of a severity.
    pub const fn urgency(&self, severity: Severity) -> Urgency {
        match severity {
            Severity::P1 => self.urgencies.p1,
            Severity::P2 => self.urgencies.p2,
            Severity::P3 => self.urgencies.p3,
            Severity::P4 => self.urgencies.p4,
        }
    }

    /// Who is told at once of what is so urgent.
    pub fn first_told(&self, path: &str, severity: Severity) -> impl Iterator<Item = &String> {
        self.path(path).iter().take(self.urgency(severity).at_once.max(1) as usize).flatten()
    }

    /// The steps of a path; those of the default one if it does not exist.
    pub fn path(&self, name: &str) -> &[Vec<String>] {
        self.paths.get(name).or_else(|| self.paths.get(DEFAULT_PATH)).map_or(&[], Vec::as_slice)
    }
}

impl Default for Urgencies {
    /// The reference's times to react: at once, 30 minutes, two hours, a day. Nobody is on the phone at once in fact, so P1 has five minutes
    /// until the next ones are called, and is told every 30 minutes. P4 is told once a day, not every four hours.
    fn default() -> Self {
        let repeat_every = Span::from_hours(4);
        let urgency = |answer_within, grow_every| Urgency { answer_within, at_once: 1, repeat_every, grow_every };
        Self {
            p1: Urgency {
                at_once: 2,
                repeat_every: Span::from_mins(30),
                ..urgency(Span::from_mins(5), Span::from_secs(30))
            },
            p2: urgency(Span::from_mins(30), Span::from_mins(1)),
            p3: urgency(Span::from_hours(2), Span::from_mins(5)),
            p4: Urgency { repeat_every: Span::from_hours(24), ..urgency(Span::from_hours(24), Span::from_mins(15)) },
        }
    }
}

impl Default for Policy {
    /// The reference's paths: a crash that restarts do not mend calls the DevOps lead, a broken database its administrator and the CTO, a
    /// lost server the infrastructure team and the CEO, a breach the security team and legal. At P1 both are called at once, as there;
    /// else the second ones when the first do not acknowledge. Who only has one place to write to gives it all of these names.
    fn default() -> Self {
        let path = |steps: &[&str]| steps.iter().map(|name| vec![(*name).to_owned()]).collect::<Vec<_>>();
        let paths = [
            (DEFAULT_PATH, path(&["on-call", "devops-lead"])),
            ("database", path(&["database-admin", "cto"])),
            ("server", path(&["infrastructure", "ceo"])),
            ("security", path(&["security", "legal"])),
        ];
        Self {
            urgencies: Urgencies::default(),
            paths: paths.into_iter().map(|(name, steps)| (name.to_owned(), steps)).collect(),
            gather: Span::from_secs(30),
            storm: 5,
            outlive: Span::from_mins(1),
            no_data_for: Span::from_mins(10),
            error_for: Span::from_mins(5),
            unheard_for: Span::from_mins(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_the_references_one() {
        let policy = Policy::default();
        let within = Severity::ALL.map(|severity| policy.urgency(severity).answer_within.to_string());
        assert_eq!(within, ["5m", "30m", "2h", "1d"]);
        let second = ["service", "database", "server", "security"].map(|path| policy.path(path)[1][0].as_str());
        assert_eq!(second, ["devops-lead", "cto", "ceo", "legal"]);
        assert_eq!(policy.path("unknown"), policy.path("service"));
        let told = |severity| policy.first_told("service", severity).cloned().collect::<Vec<_>>();
        assert_eq!((told(Severity::P1).len(), told(Severity::P3)), (2, vec!["on-call".to_owned()]));
        let text = toml::to_string(&policy).unwrap();
        assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy, "{text}");
        assert_eq!(toml::from_str::<Policy>("").unwrap(), policy);
    }
}
