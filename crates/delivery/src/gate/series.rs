//! Limits of one's own: a query of whatever is measured, and what its value must keep to. What is not known keeps to nothing.

use serde::{Deserialize, Serialize};

use super::judge::Finding;

/// What the value of a query must keep to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesLimit {
    /// What it is called.
    pub name: String,
    /// The query; whoever asks it fills `$slot` and `$window` in.
    pub query: String,
    /// The most that it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The least that it has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
}

/// What a query of that name gave at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// Its one value, finite; `None`: it gave none.
    pub value: Option<f64>,
    /// Why it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a value stands against its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    No,
    /// There is no value, or no limit.
    Unknown,
}

impl SeriesLimit {
    /// Against what was given at this look.
    pub(super) fn kept(&self, given: &[Series], findings: &mut Vec<Finding>) -> Kept {
        let mut values = given.iter().filter(|series| series.name == self.name).filter_map(|series| series.value);
        let value = values.next().filter(|value| value.is_finite());
        let Some(value) = value.filter(|_| self.is_usable()) else {
            findings.push(Finding {
                figure: format!("gate {}, measured", self.name),
                value: 0.0,
                limit: 1.0,
                met: false,
            });
            return Kept::Unknown;
        };
        let most = self.max.map(|max| ("", max, value <= max));
        let least = self.min.map(|min| (", at least", min, value >= min));
        let mut kept = Kept::Yes;
        for (kind, limit, met) in most.into_iter().chain(least) {
            if !met {
                kept = Kept::No;
            }
            findings.push(Finding { figure: format!("gate {}{kind}", self.name), value, limit, met });
        }
        kept
    }

    /// A limit that is no number, or none at all, is refused rather than guessed at.
    fn is_usable(&self) -> bool {
        let limits = || [self.max, self.min].into_iter().flatten();
        limits().all(f64::is_finite) && limits().next().is_some()
    }
}
