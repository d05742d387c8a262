//! The words that all of this crate shares: a series is its labels, and samples in the order of their time.

use std::sync::Arc;

/// The label that holds a metric's name, as in Prometheus.
pub const NAME: &str = "__name__";

/// Says that a series ended here (its target is gone, or no longer gives it). The bits are Prometheus' own, so they travel.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Pairs of a label and its value, sorted by label, each label once. An empty value is no label. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

/// One measured value.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at: i64,
    /// What was measured; [`STALE_BITS`] says that the series ended.
    pub value: f64,
}

/// A series with those of its samples that were asked for.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its labels, its name among them.
    pub labels: Labels,
    /// In the order of their time, each time once.
    pub samples: Vec<Sample>,
}

/// What a label has to be like.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label. One that a series does not have reads as empty.
    pub label: String,
    /// How it is compared.
    pub test: Test,
}

/// How a label's value is compared.
#[derive(Debug, Clone)]
pub enum Test {
    /// It is this.
    Equal(String),
    /// It is not this.
    NotEqual(String),
    /// All of it fits the expression.
    Like(regex::Regex),
    /// It does not fit, as a whole, the expression.
    Unlike(regex::Regex),
}

/// Which of the values that stand for a span of time a query wants, where raw samples are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// The last one: right for counters and for what is looked at point by point.
    #[default]
    Last,
    /// The smallest, for `min_over_time`.
    Min,
    /// The largest, for `max_over_time`.
    Max,
}

/// Why a source gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// More series fit than are given out at once.
    #[error("{found} series fit, which is more than the {limit} that one query may read: name more labels")]
    TooManySeries {
        /// How many fit.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More samples lie there than are given out at once.
    #[error("the query would read more than {limit} samples: ask for less time or fewer series")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
    /// The store could not be read.
    #[error("the stored series could not be read")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where samples are read from.
pub trait Source {
    /// Every series that all matchers fit, with its samples from `from` to `to` (milliseconds, both included). Series without one are left out.
    /// Where raw samples are gone, what stands for them is given: the coarsest that has a sample for each `step` milliseconds, or what is left.
    ///
    /// # Errors
    /// More fits than its limits allow, or the store cannot be read.
    fn select(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        step: i64,
        keep: Keep,
    ) -> Result<Vec<Series>, SourceError>;
}

impl Labels {
    /// Sorted, with what is empty left out. Of a label that comes twice the last one counts.
    pub fn new<L: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (L, V)>) -> Self {
        let sorted: std::collections::BTreeMap<Arc<str>, Arc<str>> =
            pairs.into_iter().map(|(label, value)| (Arc::from(label.as_ref()), Arc::from(value.as_ref()))).collect();
        Self(sorted.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The label's value; empty if it is not there.
    #[must_use]
    pub fn get(&self, label: &str) -> &str {
        self.0.binary_search_by(|(known, _)| (**known).cmp(label)).map_or("", |at| &self.0[at].1)
    }

    /// The metric's name; empty after an operation that takes it away.
    #[must_use]
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// All pairs, sorted by label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(label, value)| (&**label, &**value))
    }
}

impl Sample {
    /// Says that a series ended at this time.
    #[must_use]
    pub const fn stale(at: i64) -> Self {
        Self { at, value: f64::from_bits(STALE_BITS) }
    }

    /// Whether it says that the series ended.
    #[must_use]
    pub const fn is_stale(self) -> bool {
        self.value.to_bits() == STALE_BITS
    }
}

impl Matcher {
    /// Whether these labels are meant.
    #[must_use]
    pub fn fits(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label);
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Like(expression) => expression.is_match(value),
            Test::Unlike(expression) => !expression.is_match(value),
        }
    }

    /// The label is the value.
    #[must_use]
    pub fn equal(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), test: Test::Equal(value.to_owned()) }
    }

    /// A test for an expression that is anchored at both ends, as Prometheus' are.
    ///
    /// # Errors
    /// It is no regular expression, or too large a one.
    pub fn like(expression: &str) -> Result<regex::Regex, regex::Error> {
        regex::RegexBuilder::new(&format!("^(?s:{expression})$")).size_limit(1 << 20).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_an_empty_one_is_none() {
        let labels = Labels::new([("service", "chat"), (NAME, "up"), ("zone", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [(NAME, "up"), ("service", "chat")]);
        assert_eq!((labels.name(), labels.get("zone"), labels.get("none")), ("up", "", ""));
    }

    #[test]
    fn matchers_look_at_the_whole_value_and_read_a_missing_label_as_empty() {
        let labels = Labels::new([("service", "chat-backend")]);
        let like =
            |expression| Matcher { label: "service".into(), test: Test::Like(Matcher::like(expression).unwrap()) };
        assert!(like("chat-.*").fits(&labels) && like("a|chat-backend").fits(&labels));
        assert!(!like("chat").fits(&labels));
        assert!(Matcher::equal("zone", "").fits(&labels));
    }
}
