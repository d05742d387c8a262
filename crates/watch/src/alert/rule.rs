//! What is watched for: a rule, and what has to be true of one.

use serde::{Deserialize, Serialize};

use super::span::Span;
use super::template::{self, Template};

/// Longest name of a rule, in bytes.
pub const MAX_NAME: usize = 100;
/// Longest expression, in bytes.
pub const MAX_EXPRESSION: usize = 4_000;
/// Names in one list of a rule: labels that it is grouped by, people who are told.
pub const MAX_LIST: usize = 20;
/// The path of escalation of a rule that names none.
pub const DEFAULT_PATH: &str = "service";

/// How urgent an alert is. The most urgent one comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// At once: people cannot work.
    P1,
    /// Within 30 minutes: it will get there, or some cannot.
    P2,
    /// Within two hours.
    P3,
    /// Within a day.
    P4,
}

/// What an alert says about what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Its subject is dead; alerts of it and of whatever needs it are held back meanwhile.
    Cause,
    /// It can follow from something dead that its subject needs.
    #[default]
    Symptom,
    /// It stands by itself: told even where a cause burns.
    Fact,
}

/// What follows from an expression that found no series at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// People are told, after a while: what is not measured is not well.
    #[default]
    Told,
    /// It is shown, and nobody is told: what it reads comes with its first event, or does not exist everywhere.
    Shown,
}

/// An alerting rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// In PromQL: whatever it gives is a breach, each set of labels one of its own.
    pub expression: String,
    /// How long a breach has to last until it fires.
    #[serde(rename = "for", default)]
    pub hold: Span,
    /// How long it has to be well again until it resolves.
    #[serde(default)]
    pub keep_firing_for: Span,
    /// How urgent it is.
    pub severity: Severity,
    /// One line for people.
    pub summary: Template,
    /// What to do about it: a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// The label that names what it is about, as the order of dependencies calls it.
    #[serde(default = "default_subject")]
    pub subject: String,
    /// Alerts that are alike in these labels are told together; without any, all alerts of the rule are.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// See [`Role`].
    #[serde(default)]
    pub role: Role,
    /// Which path of escalation it takes.
    #[serde(default = "default_path")]
    pub path: String,
    /// Who is told besides the first of the path.
    #[serde(default)]
    pub tell: Vec<String>,
    /// See [`Absence`].
    #[serde(default)]
    pub no_data: Absence,
}

/// Why a rule is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A text of it is empty or too long.
    #[error("the {what} of rule \"{rule}\" has {found} bytes: it has to have 1 to {limit}")]
    Size {
        /// Which rule.
        rule: String,
        /// Which text.
        what: &'static str,
        /// How long it is.
        found: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It names something as a label that cannot be one.
    #[error("rule \"{rule}\" names the label \"{label}\": labels have letters, digits and _, and begin with no digit")]
    Label {
        /// Which rule.
        rule: String,
        /// The name.
        label: String,
    },
    /// A list is too long.
    #[error("rule \"{rule}\" has {found} names in {what}: {MAX_LIST} are enough")]
    Many {
        /// Which rule.
        rule: String,
        /// Which list.
        what: &'static str,
        /// How many there are.
        found: usize,
    },
    /// Its link is none.
    #[error("the runbook of rule \"{rule}\" is no link: it has to begin with https:// or http://")]
    Runbook {
        /// Which rule.
        rule: String,
    },
    /// Nobody stands on its path.
    #[error("rule \"{rule}\" escalates by the path \"{path}\", which the policy does not have: there are {known}")]
    Path {
        /// Which rule.
        rule: String,
        /// The path.
        path: String,
        /// Those that there are.
        known: String,
    },
    /// Two have one name.
    #[error("two rules are called \"{rule}\": rename one of them")]
    Twice {
        /// The name.
        rule: String,
    },
    /// There are more than are watched.
    #[error("{found} rules are more than the {limit} that are watched: join some in one expression")]
    Rules {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
}

fn default_subject() -> String {
    "service".to_owned()
}

fn default_path() -> String {
    DEFAULT_PATH.to_owned()
}

impl Severity {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::P1, Self::P2, Self::P3, Self::P4];

    /// `P1` to `P4`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
        }
    }

    /// How urgent it is that a rule of this severity cannot be judged: nothing is known to be broken, so one less, and never a call.
    #[must_use]
    pub const fn of_blindness(self) -> Self {
        match self {
            Self::P1 | Self::P2 => Self::P3,
            Self::P3 | Self::P4 => Self::P4,
        }
    }
}

impl Rule {
    /// Looks at what does not need anything but the rule. The expression is for whoever evaluates it.
    pub fn check(&self) -> Result<(), Problem> {
        let rule = || self.name.chars().take(MAX_NAME).collect::<String>();
        for (what, text, limit) in [
            ("name", &self.name, MAX_NAME),
            ("expression", &self.expression, MAX_EXPRESSION),
            ("path", &self.path, MAX_NAME),
        ] {
            if text.trim().is_empty() || text.len() > limit {
                return Err(Problem::Size { rule: rule(), what, found: text.len(), limit });
            }
        }
        for (what, list) in [("group_by", &self.group_by), ("tell", &self.tell)] {
            if list.len() > MAX_LIST {
                return Err(Problem::Many { rule: rule(), what, found: list.len() });
            }
        }
        if let Some(label) = self.group_by.iter().chain([&self.subject]).find(|label| !template::is_label(label)) {
            return Err(Problem::Label { rule: rule(), label: label.chars().take(MAX_NAME).collect() });
        }
        let is_link = |link: &String| link.starts_with("https://") || link.starts_with("http://");
        if self.runbook.as_ref().is_some_and(|link| !is_link(link) || link.len() > MAX_EXPRESSION) {
            return Err(Problem::Runbook { rule: rule() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "ServiceSlow"
        expression = "p95 > 0.5"
        for = "5m"
        keep_firing_for = "2m"
        severity = "P3"
        summary = "{{service}} answers in {{value|seconds}}"
        runbook = "https://docs.example.com/slow"
        group_by = ["service"]
    "#;

    #[test]
    fn a_rule_is_read_from_a_manifest_and_has_sensible_defaults() {
        let rule: Rule = toml::from_str(GOOD).unwrap();
        rule.check().unwrap();
        assert_eq!((rule.hold, rule.keep_firing_for), (Span::from_mins(5), Span::from_mins(2)));
        assert_eq!((rule.subject.as_str(), rule.path.as_str()), ("service", "service"));
        assert_eq!((rule.role, rule.no_data), (Role::Symptom, Absence::Told));
        assert_eq!(toml::from_str::<Rule>(&toml::to_string(&rule).unwrap()).unwrap(), rule);
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for (from, to, problem) in [
            ("\"ServiceSlow\"", "\"\"", "the name of rule"),
            ("\"p95 > 0.5\"", "\" \"", "the expression of rule \"ServiceSlow\" has 1 bytes"),
            ("https://docs", "docs", "runbook"),
            ("[\"service\"]", "[\"1st\"]", "\"1st\""),
            ("[\"service\"]", &format!("{:?}", vec!["a"; 21]), "21 names in group_by"),
        ] {
            let rule: Rule = toml::from_str(&GOOD.replace(from, to)).unwrap();
            let error = rule.check().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        for (from, to) in
            [("{{service}}", "{{service"), ("\"5m\"", "\"soon\""), ("\"P3\"", "\"P5\""), ("runbook", "book")]
        {
            toml::from_str::<Rule>(&GOOD.replace(from, to)).unwrap_err();
        }
    }
}
