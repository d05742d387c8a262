//! Who is not to be disturbed by what, until when, and why: silences, and maintenance that was announced.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::span::Span;
use super::template;
use crate::series::{Labels, Matcher, Test};

/// Conditions of one silence.
pub const MAX_CONDITIONS: usize = 20;
/// Longest value or expression of a condition, in bytes.
pub const MAX_VALUE: usize = 1_000;
/// Services of one maintenance.
pub const MAX_SERVICES: usize = 1_000;
/// Longest silence, and longest maintenance: what is silent for longer is not an alert.
pub const LONGEST: Span = Span::from_days(31);
/// Longest reason, in bytes.
pub const MAX_REASON: usize = 1_000;

/// What one label has to be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The label; `alertname` and `severity` are the rule's.
    pub label: String,
    /// How it is compared.
    pub is: Comparison,
    /// With what.
    pub value: String,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// The same.
    #[serde(rename = "=")]
    Equal,
    /// Another one.
    #[serde(rename = "!=")]
    NotEqual,
    /// Fits the expression as a whole.
    #[serde(rename = "=~")]
    Like,
    /// Does not.
    #[serde(rename = "!~")]
    Unlike,
}

/// Which alerts are meant: those that all conditions fit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<Condition>", into = "Vec<Condition>")]
pub struct Selector {
    conditions: Vec<Condition>,
    matchers: Vec<Matcher>,
}

/// Why somebody's wish is not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A silence of everything.
    #[error(
        "a silence names 1 to {MAX_CONDITIONS} conditions, this one has {0}: without any it would silence everything"
    )]
    Conditions(usize),
    /// A condition that is none.
    #[error("the condition on \"{label}\" cannot be understood: {why}")]
    Condition {
        /// On which label.
        label: String,
        /// Why.
        why: String,
    },
    /// It would be over before it begins.
    #[error("it would end before it begins: give a time that is still to come")]
    Ended,
    /// It is longer than [`LONGEST`].
    #[error("it would last longer than {}: what nobody wants to know for so long should be no rule", LONGEST.spoken())]
    Long,
    /// Nobody says why.
    #[error("a reason of 1 to {MAX_REASON} bytes is needed: whoever looks next has to know why it is silent")]
    Reason,
    /// Nobody says who.
    #[error("a name of 1 to {MAX_REASON} bytes is needed")]
    By,
    /// A maintenance of nothing, or of too much.
    #[error("a maintenance names 1 to {MAX_SERVICES} services, this one has {0}")]
    Services(usize),
    /// There are more than are kept.
    #[error("there are {0} silences and maintenances already: end some first")]
    Many(usize),
    /// What it is about is not there.
    #[error("there is no {what} {number}: it may be over")]
    Unknown {
        /// Of which kind.
        what: &'static str,
        /// Its number.
        number: u64,
    },
}

/// A time in which alerts are not told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quiet {
    /// Its number, for ever its own.
    pub number: u64,
    /// What it covers.
    pub covers: Covers,
    /// From when, in milliseconds since 1970.
    pub from: i64,
    /// To when, likewise; then it is forgotten.
    pub until: i64,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What a [`Quiet`] covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Covers {
    /// A silence: alerts that fit.
    Alerts(Selector),
    /// A maintenance: everything about these, by the names of their subjects.
    Services(BTreeSet<String>),
}

/// `LABEL=VALUE`, `!=`, `=~` or `!~`. The first sign counts: a value may hold others.
impl FromStr for Condition {
    type Err = NoCondition;

    fn from_str(text: &str) -> Result<Self, NoCondition> {
        let signs = [
            ("!=", Comparison::NotEqual),
            ("=~", Comparison::Like),
            ("!~", Comparison::Unlike),
            ("=", Comparison::Equal),
        ];
        let found = signs
            .iter()
            .filter_map(|(sign, is)| Some((text.find(sign)?, *sign, *is)))
            .min_by_key(|(at, sign, _)| (*at, 2 - sign.len()));
        let (at, sign, is) = found.ok_or_else(|| NoCondition(text.chars().take(80).collect()))?;
        Ok(Self { label: text[..at].to_owned(), is, value: text[at + sign.len()..].to_owned() })
    }
}

/// A text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no condition: write LABEL=VALUE, such as service=chat-backend; !=, =~ and !~ work, too")]
pub struct NoCondition(String);

impl Selector {
    /// Reads conditions.
    pub fn new(conditions: Vec<Condition>) -> Result<Self, Refusal> {
        if conditions.is_empty() || conditions.len() > MAX_CONDITIONS {
            return Err(Refusal::Conditions(conditions.len()));
        }
        let matchers = conditions.iter().map(matcher).collect::<Result<_, _>>()?;
        Ok(Self { conditions, matchers })
    }

    /// Whether these labels are meant.
    pub fn fits(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.fits(labels))
    }

    /// As it was written.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

fn matcher(condition: &Condition) -> Result<Matcher, Refusal> {
    let refuse =
        |why: &str| Refusal::Condition { label: condition.label.chars().take(80).collect(), why: why.to_owned() };
    if !template::is_label(&condition.label) {
        return Err(refuse("labels have letters, digits and _, and begin with no digit"));
    }
    if condition.value.len() > MAX_VALUE {
        return Err(refuse("its value is longer than 1,000 bytes"));
    }
    let like = || Matcher::like(&condition.value).map_err(|error| refuse(&error.to_string()));
    let test = match condition.is {
        Comparison::Equal => Test::Equal(condition.value.clone()),
        Comparison::NotEqual => Test::NotEqual(condition.value.clone()),
        Comparison::Like => Test::Like(like()?),
        Comparison::Unlike => Test::Unlike(like()?),
    };
    Ok(Matcher { label: condition.label.clone(), test })
}

impl Quiet {
    /// Looks at what a person asked for.
    pub(crate) fn check(&self, now: i64) -> Result<(), Refusal> {
        if let Covers::Services(services) = &self.covers
            && (services.is_empty() || services.len() > MAX_SERVICES)
        {
            return Err(Refusal::Services(services.len()));
        }
        if self.until <= self.from || self.until <= now {
            return Err(Refusal::Ended);
        }
        if Span::between(self.from, self.until) > LONGEST {
            return Err(Refusal::Long);
        }
        said(&self.by).then_some(()).ok_or(Refusal::By)?;
        said(&self.reason).then_some(()).ok_or(Refusal::Reason)
    }

    /// Whether it covers an alert now.
    pub(crate) fn covers(&self, labels: &Labels, subject: &str, now: i64) -> bool {
        self.from <= now
            && now < self.until
            && match &self.covers {
                Covers::Alerts(selector) => selector.fits(labels),
                Covers::Services(services) => services.contains(subject),
            }
    }
}

/// Whether it is a text that says something.
pub(crate) fn said(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_REASON
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.conditions == other.conditions
    }
}

impl TryFrom<Vec<Condition>> for Selector {
    type Error = Refusal;

    fn try_from(conditions: Vec<Condition>) -> Result<Self, Refusal> {
        Self::new(conditions)
    }
}

impl From<Selector> for Vec<Condition> {
    fn from(selector: Selector) -> Self {
        selector.conditions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn silence() -> Quiet {
        let condition = Condition { label: "service".into(), is: Comparison::Like, value: "chat-.*".into() };
        let covers = Covers::Alerts(Selector::new(vec![condition]).unwrap());
        Quiet { number: 1, covers, from: 0, until: DAY, by: "ana".into(), reason: "new disk".into() }
    }

    #[test]
    fn conditions_are_read_by_their_first_sign() {
        for (text, label, is, value) in [
            ("service=chat", "service", Comparison::Equal, "chat"),
            ("service!=chat", "service", Comparison::NotEqual, "chat"),
            ("service=~chat-.*", "service", Comparison::Like, "chat-.*"),
            ("service!~a=b", "service", Comparison::Unlike, "a=b"),
            ("path=/a!=b", "path", Comparison::Equal, "/a!=b"),
        ] {
            let read: Condition = text.parse().expect("a condition");
            assert_eq!((read.label.as_str(), read.is, read.value.as_str()), (label, is, value), "{text}");
        }
        "chat".parse::<Condition>().expect_err("no sign");
    }

    #[test]
    fn a_silence_covers_what_fits_while_it_lasts() {
        let (silence, chat) = (silence(), Labels::new([("service", "chat-web")]));
        assert!(silence.covers(&chat, "", 0) && silence.covers(&chat, "", DAY - 1));
        assert!(!silence.covers(&chat, "", DAY) && !silence.covers(&chat, "", -1));
        assert!(!silence.covers(&Labels::new([("service", "auth")]), "", 0));
        let text = serde_json::to_string(&silence).unwrap();
        assert!(text.contains(r#"{"label":"service","is":"=~","value":"chat-.*"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Quiet>(&text).unwrap(), silence);
    }

    #[test]
    fn a_silence_without_end_reason_name_or_condition_is_refused() {
        let condition = |label: &str, value: &str| {
            Selector::new(vec![Condition { label: label.into(), is: Comparison::Like, value: value.into() }])
        };
        assert_eq!(Selector::new(Vec::new()).unwrap_err(), Refusal::Conditions(0));
        assert!(condition("service", "(").unwrap_err().to_string().contains("\"service\""));
        assert!(condition("not a label", "x").is_err());
        for (changed, refusal) in [
            (Quiet { until: 0, ..silence() }, Refusal::Ended),
            (Quiet { until: 32 * DAY, ..silence() }, Refusal::Long),
            (Quiet { reason: " ".into(), ..silence() }, Refusal::Reason),
            (Quiet { by: String::new(), ..silence() }, Refusal::By),
            (Quiet { covers: Covers::Services(BTreeSet::new()), ..silence() }, Refusal::Services(0)),
        ] {
            assert_eq!(changed.check(0), Err(refusal));
        }
        assert_eq!(silence().check(0), Ok(()));
        assert_eq!(silence().check(DAY), Err(Refusal::Ended));
    }
}
