//! How bad a vulnerability is.

use std::fmt;
use std::str::FromStr as _;

use serde::{Deserialize, Serialize};

/// From harmless to the worst. What nobody has judged stands above what was judged to be bad: it may be the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth to know.
    Notice,
    /// 0.1 to 3.9.
    Low,
    /// 4.0 to 6.9.
    Medium,
    /// 7.0 to 8.9.
    High,
    /// Nobody has judged.
    Unknown,
    /// 9.0 to 10.0.
    Critical,
}

impl Severity {
    /// From here on a release is stopped.
    pub const STOPS: Self = Self::High;

    /// Of a CVSS vector, version 3 or 4; `None` where it is none.
    pub fn of_vector(vector: &str) -> Option<Self> {
        let vector = cvss::Cvss::from_str(vector.trim()).ok()?;
        Some(match vector.severity() {
            cvss::Severity::None => Self::Notice,
            cvss::Severity::Low => Self::Low,
            cvss::Severity::Medium => Self::Medium,
            cvss::Severity::High => Self::High,
            cvss::Severity::Critical => Self::Critical,
        })
    }

    /// Of a word, as GitHub writes it.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "low" => Self::Low,
            "moderate" | "medium" => Self::Medium,
            "high" => Self::High,
            "critical" => Self::Critical,
            _ => return None,
        })
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Unknown => "unknown",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_words_are_judged() {
        for (vector, severity) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Some(Severity::Critical)),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", Some(Severity::High)),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", Some(Severity::Low)),
            ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", Some(Severity::Medium)),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Some(Severity::Critical)),
            ("CVSS:9.0/AV:N", None),
            ("", None),
        ] {
            assert_eq!(Severity::of_vector(vector), severity, "{vector}");
        }
        assert_eq!(Severity::of_word("MODERATE"), Some(Severity::Medium));
        assert_eq!(Severity::of_word("awful"), None);
        assert!(Severity::Unknown >= Severity::STOPS && Severity::Medium < Severity::STOPS);
    }
}
